"""The webhooks service as a process of its own, as it runs."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.hooked import Hooked
from tests.support.ports import free_port_base
from tests.support.service_process import ServiceProcess
from tests.support.shared_stack import RUN_FOLDER


@asynccontextmanager
async def processed(town: Hooked) -> AsyncIterator[ServiceProcess]:
    log = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER])) / "webhooks.log"
    with free_port_base() as base:
        process = ServiceProcess(town.settings, base + 5, log, {"THRESHOLD_ALLOW_LOOPBACK_RECEIVERS": "true"})
        try:
            await process.start()
            async with httpx.AsyncClient(base_url=process.url, trust_env=False) as town.http:
                yield process
        finally:
            process.kill()
