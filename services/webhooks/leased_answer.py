"""The answer that carries what was released: checks the leases before the first byte, settles after the last."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.kit.problems import Problem
from services.webhooks.readings import Reading, Readings


class LeasedAnswer(Response):
    """Readings as JSON; 503 instead when it has become too late to send them. No cache may keep it."""

    media_type = "application/json"

    def __init__(self, readings: Readings, shown: Sequence[Reading], content: bytes) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store"})
        self._readings = readings
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and settle it."""
        try:
            self._readings.check_leases(self._shown)
        except Problem as late:
            await late.response()(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
        await self._readings.sent(self._shown)
