"""examples/receiver.mjs in Node: what every receiver must do, and every kind of event from a real sandbox."""

import asyncio
import os
import shutil
import sys

import pytest

from services.cli.sandbox.kinds import KINDS
from services.cli.sandbox.town import YOU
from tests.extra.tools import MissingToolError
from tests.support.example_receivers import check, running
from tests.support.governance import Caller
from tests.support.stack import StackProcess, started_stack


def receiver() -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise MissingToolError("Node is not installed: `apt-get install nodejs npm`.")
    return [node, "examples/receiver.mjs"]


async def test_it_takes_what_is_signed_new_and_newer_and_nothing_else() -> None:
    await check(receiver())


@pytest.mark.timeout(300)  # the shortest hold is a minute, and its end is one of the kinds
async def test_every_kind_of_event_comes_signed() -> None:
    with started_stack("--sandbox") as stack:
        you = Caller(stack, **stack.described("sandbox")["organizations"][YOU])
        endpoints = f"{stack.services['webhooks']}/endpoints"
        made = you.post(endpoints, {"url": "http://127.0.0.1:9/", "types": ["*", "unit.availability"]}).json()
        async with running(receiver(), made["secret"]) as node:
            you.http.patch(f"{endpoints}/{made['id']}", json={"url": node.url})
            await _send_all(stack)
            came = set[str]()
            while came != set(KINDS):
                line = await node.line()
                assert line.startswith("new:     "), line
                came.add(line.removeprefix("new:     ").split(" | ")[0])


async def _send_all(stack: StackProcess) -> None:
    sent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "sandbox", "send", "--all"), env={**os.environ, **stack.environment}
    )
    assert await sent.wait() == 0
