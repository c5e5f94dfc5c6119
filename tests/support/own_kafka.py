"""A broker of a test's own, to be killed and started again."""

import signal
import subprocess
from pathlib import Path

from deploy.local.kafka import Kafka
from deploy.local.ports import answers
from deploy.local.settings import LocalSettings
from tests.support.waiting import wait_until_async


class OwnKafka:
    """One broker on ports from `base`; its data survives its end."""

    def __init__(self, folder: Path, base: int) -> None:
        folder.mkdir(exist_ok=True)
        jars = LocalSettings.from_environment().jars
        self._kafka = Kafka(folder / "kafka", folder / "kafka.log", jars, base + 92, base + 93)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return self._kafka.bootstrap

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
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(
                program.command, env=dict(program.environment), stdout=log, stderr=log, start_new_session=True
            )
