"""The receivers in examples/, as processes: what each prints of what is sent to it, and what it answers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import httpx
from standardwebhooks import Webhook

from tests.support.tree import ROOT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LINE_WITHIN = 30.0  # seconds


class ExampleReceiver:
    """One that runs; `lines` are what it printed after it said where it listens."""

    def __init__(self, url: str, output: asyncio.StreamReader, secret: str) -> None:
        self.url = url
        self._output = output
        self._webhook = Webhook(secret)

    async def line(self) -> str:
        """Return the next line that it prints."""
        return (await asyncio.wait_for(self._output.readline(), LINE_WITHIN)).decode().rstrip("\n")

    async def post(
        self, id_: str, message: dict[str, Any], changed: Mapping[str, str] = MappingProxyType({}), *, minutes: int = 0
    ) -> httpx.Response:
        """Send a message, signed so many minutes ago by an independent implementation, with some headers changed."""
        at, body = datetime.now(UTC) - timedelta(minutes=minutes), json.dumps(message)
        headers = {
            "webhook-id": id_,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(id_, at, body),
        }
        headers |= changed
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(self.url, content=body, headers=headers)


@asynccontextmanager
async def running(command: Sequence[str], secret: str = SECRET) -> AsyncIterator[ExampleReceiver]:
    """An example, on a port of its own choice, for as long as the block runs."""
    process = await asyncio.create_subprocess_exec(
        *command, "0", env={"WEBHOOK_SECRET": secret}, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        began = ExampleReceiver("", process.stdout, secret)
        began.url = (await began.line()).removeprefix("listening on ")
        yield began
    finally:
        process.kill()
        await process.wait()


def message(type_: str = "referral.updated", **data: Any) -> dict[str, Any]:
    """A permit about Rosa, changed."""
    said = {"verdict": "permit", "referral_id": "r1", "client_id": "c1", "referral_version": 2, "status": "requested"}
    shared = {"identity": {"first_name": "Rosa"}}
    return {"type": type_, "timestamp": "2026-11-26T12:00:00Z", "data": said | {"shared": shared} | data}


async def check(command: Sequence[str]) -> None:
    """What every receiver must do: refuse what is not ours or old, ignore what is repeated or overtaken."""
    async with running(command) as receiver:
        await _check_refusals(receiver)
        assert (await receiver.post("msg_2", message())).status_code == 204
        assert await receiver.line() == "new:     referral.updated | permit | requested | identity"
        await _check_ignored(receiver)


async def _check_refusals(receiver: ExampleReceiver) -> None:
    refused = "refused: not signed by Threshold, or too old"
    another = Webhook("whsec_" + "A" * 32).sign("msg_1", datetime.now(UTC), json.dumps(message()))
    for changed in (
        {"webhook-signature": another},
        {"webhook-signature": "v1"},
        {"webhook-signature": ""},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(time.time()) - 1)},
        {"webhook-timestamp": "yesterday"},
    ):
        assert (await receiver.post("msg_1", message(), changed)).status_code == 400, changed
        assert await receiver.line() == refused, changed
    for minutes in (6, -6):
        assert (await receiver.post("msg_1", message(), minutes=minutes)).status_code == 400, minutes
        assert await receiver.line() == refused, minutes


async def _check_ignored(receiver: ExampleReceiver) -> None:
    told = {
        ("msg_2", "again:   referral.updated, done before"): message(),
        ("msg_3", "older:   referral.updated, a newer one is there"): message(referral_version=1),
        ("msg_4", "new:     referral.updated | permit | requested | identity"): message(referral_version=3),
        ("msg_5", "new:     referral.updated | permit | requested | identity"): message(client_id="c2"),
        ("msg_6", "new:     referral.accepted | status | accepted"): _status("referral.accepted", "accepted", 5),
        ("msg_7", "older:   referral.started, a newer one is there"): _status("referral.started", "started", 4),
        ("msg_8", "new:     unit.availability"): _unit(7),
        ("msg_9", "older:   unit.availability, a newer one is there"): _unit(6),
        ("msg_10", "new:     endpoint.test"): {
            "type": "endpoint.test",
            "timestamp": "2026-11-26T12:00:00Z",
            "data": {},
        },
    }
    for (id_, line), sent in told.items():
        assert (await receiver.post(id_, sent, minutes=4)).status_code == 204
        assert await receiver.line() == line


def _status(type_: str, status: str, version: int) -> dict[str, Any]:
    found = message(type_, verdict="status", status=status, referral_version=version, shared={})
    del found["data"]["client_id"]
    return found


def _unit(version: int) -> dict[str, Any]:
    data = {"unit_id": "u1", "version": version}
    return {"type": "unit.availability", "timestamp": "2026-11-26T12:00:00Z", "data": data}
