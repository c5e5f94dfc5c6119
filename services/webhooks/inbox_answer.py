"""The answer that carries a page of the inbox: checks its leases before the first byte, settles after the last."""

import json

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.kit.problems import Problem
from services.webhooks.inbox import Inbox, Page


class InboxAnswer(Response):
    """A page as JSON; 503 instead when it has become too late to send it. No cache may keep it."""

    media_type = "application/json"

    def __init__(self, inbox: Inbox, organization: str, page: Page) -> None:
        items = b",".join(reading.body for reading in page.readings if reading.body is not None)
        following = json.dumps(inbox.next_cursor(organization, page)).encode()
        content = b'{"items":[' + items + b'],"next":' + following + b"}"
        super().__init__(content, headers={"Cache-Control": "no-store"})
        self._inbox = inbox
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and settle it."""
        try:
            self._inbox.check_leases(self._page)
        except Problem as late:
            await late.response()(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
        await self._inbox.sent(self._page)
