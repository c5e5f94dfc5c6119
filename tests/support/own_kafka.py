"""A broker of a test's own, to be killed and started again, and one per worker that serves one module after another."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from kafka.admin import KafkaAdminClient

from deploy.local.kafka import Kafka
from deploy.local.ports import answers
from deploy.local.settings import LocalSettings
from services.kit import cluster
from tests.support.ports import free_port_base
from tests.support.shared_stack import RUN_FOLDER
from tests.support.waiting import wait_until, wait_until_async


class OwnKafka:
    """One broker on ports from `base`, which says that it is at `advertised`; its data survives its end."""

    def __init__(self, folder: Path, base: int, advertised: str = "127.0.0.1") -> None:
        self._advertised = advertised
        folder.mkdir(exist_ok=True)
        jars = LocalSettings.from_environment().jars
        self._kafka = Kafka(folder / "kafka", folder / "kafka.log", jars, base + 92, base + 93)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return self._kafka.bootstrap

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it and wait until clients can connect."""
        self._launch()
        await wait_until_async(lambda: answers(self._kafka.client_port), what="the test's own Kafka", deadline=60)

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP): connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with -9, in the midst of whatever it does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    def _launch(self) -> None:
        program = self._kafka.prepare()
        written = self._kafka.folder / "server.properties"
        here, there = (f"advertised.listeners=CLIENT://{host}:" for host in ("127.0.0.1", self._advertised))
        written.write_text(written.read_text().replace(here, there))
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(
                program.command, env=dict(program.environment), stdout=log, stderr=log, start_new_session=True
            )


class StandingKafka:
    """A broker that one module of tests after another is given, its log new each time: a start costs seconds."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._broker: OwnKafka | None = None
        self._is_lent = False

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[OwnKafka]:
        """Give the broker, with the topics as declared and nothing on them; who has it may kill it and start it."""
        assert not self._is_lent, "one at a time"
        self._is_lent = True
        try:
            broker = self._broker = self._broker or self._new()
            if not broker.is_running:
                await broker.start()
            await asyncio.to_thread(_empty, broker.bootstrap)
            await asyncio.to_thread(cluster.apply, broker.bootstrap)
            yield broker
        finally:
            self._is_lent = False

    def end(self) -> None:
        """Leave nothing running."""
        self._held.close()

    def _new(self) -> OwnKafka:
        base = self._held.enter_context(free_port_base())
        broker = OwnKafka(Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER])), base)
        self._held.callback(broker.kill)
        return broker


STANDING_KAFKA = StandingKafka()


def _empty(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def there() -> list[str]:
        return [name for name in admin.list_topics() if not name.startswith("__")]

    if left := there():
        admin.delete_topics(left)
        wait_until(lambda: not there(), what="the topics to be gone")
    admin.close()
