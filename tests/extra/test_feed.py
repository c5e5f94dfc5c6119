"""The feed as browsers and Node's best-known package read it, through a restart of the service."""

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from playwright.async_api import Browser

from services.kit.auth import Scope
from tests.conftest import Databases
from tests.extra.tools import line_of, start_node
from tests.support.ports import free_port_base
from tests.support.said_units import said_unit, say
from tests.support.service_process import ServiceProcess
from tests.support.shared_stack import RUN_FOLDER
from tests.support.shelter import OUTREACH, opened

LISTEN = """
() => {
  window.heard = [];
  window.taken = 0;
  const source = new EventSource("/feed");
  for (const name of ["snapshot", "changes", "reset", "goodbye"]) {
    source.addEventListener(name, (event) => {
      window.heard.push({ event: name, id: event.lastEventId, data: JSON.parse(event.data) });
    });
  }
}
"""
HAS_NEXT = "() => window.heard.length > window.taken"
TAKE_NEXT = "() => window.heard[window.taken++]"
Next = Callable[[], Awaitable[dict[str, Any]]]


class Beds:
    """The service as a process, and a writer to its log."""

    def __init__(self, process: ServiceProcess, token: str, producer: AIOKafkaProducer) -> None:
        self.process = process
        self.token = token
        self._producer = producer

    async def say(self, unit_id: str, **values: Any) -> int:
        return await say(self._producer, said_unit(unit_id, **values))


@asynccontextmanager
async def beds(postgres: Databases) -> AsyncIterator[Beds]:
    log = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER])) / "shelter_beds.log"
    async with (
        opened(postgres.create_database("shelter_beds")) as shelter,
        AIOKafkaProducer(bootstrap_servers=shelter.bootstrap, acks="all") as producer,
    ):
        shelter.lets_others_say_units()
        with free_port_base() as base:
            process = ServiceProcess(shelter.settings, base + 4, log)
            try:
                await process.start()
                yield Beds(process, shelter.community.token(OUTREACH, [Scope.BEDS_READ]), producer)
            finally:
                process.kill()


async def test_a_browser_goes_on_where_it_was_when_the_service_is_back(postgres: Databases, browser: Browser) -> None:
    async with beds(postgres) as served:
        page = await browser.new_page(extra_http_headers={"Authorization": f"Bearer {served.token}"})
        await page.goto(f"{served.process.url}/healthz")
        await page.evaluate(LISTEN)

        async def heard() -> dict[str, Any]:
            await page.wait_for_function(HAS_NEXT)
            event: dict[str, Any] = await page.evaluate(TAKE_NEXT)
            return event

        await goes_on_through_a_restart(served, heard)


async def test_the_eventsource_package_goes_on_where_it_was(postgres: Databases) -> None:
    async with beds(postgres) as served:
        node = await start_node("listen.mjs", f"{served.process.url}/feed", served.token)
        try:
            await goes_on_through_a_restart(served, lambda: line_of(node))
        finally:
            node.kill()
            await node.wait()


async def goes_on_through_a_restart(served: Beds, heard: Next) -> None:
    first = await heard()
    assert (first["event"], first["data"]["items"]) == ("snapshot", [])
    for name in ("staying", "changing", "going"):
        last = await served.say(name)
        told = await heard()
        assert [unit["unit_id"] for unit in told["data"]["items"]] == [name]
        assert told["id"].endswith(f":{last}")
    await served.process.stop()
    goodbye = await heard()
    assert (goodbye["event"], goodbye["data"]) == ("goodbye", {"reason": "stopping"})
    await served.say("changing", available=7)
    last = await served.say("going", withdrawn=True)
    await served.process.start()
    missed = await heard()
    assert missed["event"] == "changes", "it went on, and did not begin again"
    assert [(unit["unit_id"], unit["available"]) for unit in missed["data"]["items"]] == [("changing", 7)]
    assert missed["data"]["removed"] == ["going"]
    assert missed["id"].endswith(f":{last}")
    served.process.kill()  # without a goodbye
    last = await served.say("staying", available=2)
    await served.process.start()
    missed = await heard()
    assert (missed["event"], missed["id"].rsplit(":", 1)[1]) == ("changes", str(last))
