"""One service as a process of its own, as `threshold up` runs it."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx

from deploy.local.services import service_command
from services.kit import keys
from services.kit.connecting import bootstrap_of
from services.kit.settings import DatabaseSettings
from tests.support.waiting import wait_until_async


class ServiceProcess:
    """The process on a port of its own; its log is a file. `environment` are settings beyond a database's."""

    def __init__(
        self, settings: DatabaseSettings, port: int, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self._name = settings.service
        self._environment = {
            "PATH": os.environ["PATH"],
            "THRESHOLD_KAFKA": bootstrap_of(settings.kafka),
            "THRESHOLD_SERVICES": json.dumps(settings.services),
            f"THRESHOLD_{settings.service.upper()}_ASSERTION_KEY": keys.encode_private(settings.assertion_key),
            "THRESHOLD_ASSERTION_PUBLIC_KEYS": json.dumps(
                {name: keys.encode_public(key) for name, key in settings.assertion_public_keys.items()}
            ),
            "THRESHOLD_ROOT_FINGERPRINT": settings.root_fingerprint,
            "THRESHOLD_DATABASE_URL": settings.database_url.get_secret_value(),
            **(environment or {}),
        }
        self._command = service_command(settings.service, port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def processor_seconds(self) -> float:
        """What it has used of the processors' time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident(self) -> int:
        """How many bytes of memory it has now (Linux's VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024

    async def start(self) -> None:
        self._launch()
        await wait_until_async(self._ready, what=f"{self._name} to be ready", deadline=60)

    def kill(self) -> None:
        """End it with -9; nothing if it has ended, which is said with its log, or never began."""
        if self._process is not None:
            if self._process.poll() not in {None, -signal.SIGKILL, -signal.SIGTERM}:
                print(f"{self._name} had ended by itself, with {self._process.returncode}:\n{self.log.read_text()}")
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
