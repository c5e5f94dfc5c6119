"""shelter_beds as a process on a Kafka and a PostgreSQL of its own, and no other service, to be measured."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from services.kit import cluster
from services.kit.service import create_service
from services.kit.settings import DatabaseSettings
from tests.conftest import Databases
from tests.support.callers import Community, bearer
from tests.support.ports import free_port_base
from tests.support.service_process import ServiceProcess
from tests.support.shared_stack import TestRun, shared_stack
from tests.support.shelter import SCOPES, projects
from tests.support.waiting import wait_until_async

CONNECTIONS = 210  # of the measurement's client


@dataclass
class Town:
    """The service in its process, and whom it knows."""

    service: ServiceProcess
    community: Community
    http: httpx.AsyncClient

    def headers(self, organization: str) -> dict[str, str]:
        """The access of an organization."""
        self.community.now = time.time()
        return bearer(self.community.token(organization, SCOPES))


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """Start it, and leave nothing behind."""
    run = TestRun()
    try:
        stack = await asyncio.to_thread(shared_stack)
        await asyncio.to_thread(cluster.apply, stack.kafka)
        url = Databases(stack.postgres, iter(range(9))).create_database("shelter_beds")
        community = Community(now=time.time())
        with tempfile.TemporaryDirectory() as folder, free_port_base() as base:
            services = {"governance": f"http://127.0.0.1:{base + 1}"}
            values = {"kafka": stack.kafka, "database_url": url, "services": services}
            settings = DatabaseSettings(**community.setting_values("shelter_beds") | values)
            service = ServiceProcess(settings, base + 4, Path(folder, "shelter_beds.log"))
            limits = httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=2
            )
            async with _governance(community, base + 1):
                try:
                    await service.start()
                    async with httpx.AsyncClient(
                        base_url=service.url, trust_env=False, limits=limits, timeout=30
                    ) as http:
                        yield Town(service, community, http)
                finally:
                    service.kill()
    finally:
        run.end()


@asynccontextmanager
async def _governance(community: Community, port: int) -> AsyncIterator[None]:
    """As much of governance as the registration of a unit asks."""
    app = create_service(community.settings("governance"), routers=[projects()])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    await wait_until_async(lambda: server.started, what="governance")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
