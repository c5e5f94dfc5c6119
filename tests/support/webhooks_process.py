"""The webhooks service as a process of its own, as it runs."""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local.services import service_command
from services.kit import keys
from tests.support.hooked import Hooked
from tests.support.ports import free_port_base
from tests.support.shared_stack import RUN_FOLDER
from tests.support.waiting import wait_until_async


class Process:
    """The process that `threshold up` runs, on a port of its own; its log is a file."""

    def __init__(self, town: Hooked, port: int, log: Path) -> None:
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        given = town.settings
        self._environment = {
            "PATH": os.environ["PATH"],
            "THRESHOLD_KAFKA": given.kafka,
            "THRESHOLD_SERVICES": json.dumps(given.services),
            "THRESHOLD_WEBHOOKS_ASSERTION_KEY": keys.encode_private(given.assertion_key),
            "THRESHOLD_ASSERTION_PUBLIC_KEYS": json.dumps(
                {name: keys.encode_public(key) for name, key in given.assertion_public_keys.items()}
            ),
            "THRESHOLD_ROOT_FINGERPRINT": given.root_fingerprint,
            "THRESHOLD_DATABASE_URL": given.database_url.get_secret_value(),
            "THRESHOLD_ALLOW_LOOPBACK_RECEIVERS": "true",
        }
        self._command = service_command("webhooks", port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def processor_seconds(self) -> float:
        """What it has used of the processors' time so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def start(self) -> None:
        self._launch()
        await wait_until_async(self._ready, what="webhooks to be ready", deadline=60)

    def kill(self) -> None:
        """End it with -9; nothing if it has ended."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    async def stop(self) -> None:
        """Let it end by itself, as a supervisor does; it ends with the signal that it was given."""
        assert self._process is not None
        self._process.terminate()
        assert await asyncio.to_thread(self._process.wait, 30) == -signal.SIGTERM, self.log.read_text()

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    async def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def processed(town: Hooked) -> AsyncIterator[Process]:
    log = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER])) / "webhooks.log"
    with free_port_base() as base:
        process = Process(town, base + 5, log)
        try:
            await process.start()
            async with httpx.AsyncClient(base_url=process.url, trust_env=False) as town.http:
                yield process
        finally:
            process.kill()
