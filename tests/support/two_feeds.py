"""Two processes of shelter_beds on one broker and one database, and who of them relays."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.kit.service import create_service
from tests.support.feed import served_at
from tests.support.ports import free_port_base
from tests.support.service_process import ServiceProcess
from tests.support.shared_stack import RUN_FOLDER
from tests.support.shelter import Shelter, opened, projects
from tests.support.waiting import wait_until_async

RELAYING = (
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND pg_locks.database = (SELECT oid FROM pg_database"
    "  WHERE datname = current_database())"
    " AND (classid::bigint << 32 | objid::bigint) = hashtextextended('outbox relay', 0)"
)


@dataclass
class TwoFeeds:
    """Both; the shelter's requests go to `other` until a test says otherwise."""

    shelter: Shelter
    one: ServiceProcess
    other: ServiceProcess

    def relaying(self) -> list[ServiceProcess]:
        """Those that relay now."""
        named = {"one": self.one, "other": self.other}
        return [named[name] for (name,) in self.shelter.sql(RELAYING)]

    async def relays(self, process: ServiceProcess) -> None:
        """Wait until a process is the one that relays."""
        await wait_until_async(lambda: self.relaying() == [process], what="it to relay")


@asynccontextmanager
async def two_feeds(database_url: str) -> AsyncIterator[TwoFeeds]:
    """Start both, and leave nothing running."""
    folder = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER]))
    async with opened(database_url) as shelter:
        with free_port_base() as base, free_port_base() as second:
            services = {"governance": f"http://127.0.0.1:{base + 1}"}
            settings = shelter.settings.model_copy(update={"services": services})
            one, other = (
                ServiceProcess(settings, port, folder / f"{name}.log", {"PGAPPNAME": name})
                for name, port in (("one", base + 4), ("other", second + 4))
            )
            governance = create_service(shelter.community.settings("governance"), routers=[projects()])
            try:
                async with (
                    served_at(governance, base + 1),
                    httpx.AsyncClient(base_url=other.url, trust_env=False) as shelter.http,
                ):
                    found = TwoFeeds(shelter, one, other)
                    await one.start()
                    await other.start()
                    yield found
            finally:
                one.kill()
                other.kill()
