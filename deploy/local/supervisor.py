"""Keeps processes alive: starts them, restarts with back-off what dies, stops them in reverse order."""

import asyncio
import contextlib
import itertools
import pwd
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deploy.local.parent_death import die_with_parent

FIRST_BACK_OFF = 0.5  # seconds
LONGEST_BACK_OFF = 10.0  # seconds
STEADY_AFTER = 30.0  # seconds a process must have run for its next death to count as the first again


@dataclass(frozen=True)
class Program:
    """A process to keep alive; `user` runs it as another one, `stop_grace` is the seconds it has before SIGKILL."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)  # holds secrets
    log: Path
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL  # what it gets when the supervisor itself is killed
    stop_grace: float = 10.0


class Supervisor:
    """Runs programs until it is stopped; one that dies is reported and restarted, the others go on.

    `report` is given one sentence per event; `pids` is a folder with one file per running program.
    """

    def __init__(self, pids: Path, report: Callable[[str], None]) -> None:
        self._pids = pids
        self._report = report
        self._groups: list[list[_Kept]] = []

    async def __aenter__(self) -> Self:
        self._pids.mkdir(exist_ok=True)
        for stale in self._pids.iterdir():
            stale.unlink()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *programs: Program) -> None:
        """Start programs as one group: they are stopped together, before the groups that were started earlier."""
        group: list[_Kept] = []
        self._groups.append(group)
        for program in programs:
            kept = _Kept(program, self._pids / program.name, self._report)
            await kept.start()
            group.append(kept)

    async def stop(self) -> None:
        """Stop every program, the last group first; return when none runs."""
        while self._groups:
            await asyncio.gather(*(kept.stop() for kept in self._groups.pop()))


class _Kept:
    """One program and the task that restarts it."""

    def __init__(self, program: Program, pid_file: Path, report: Callable[[str], None]) -> None:
        self._program = program
        self._pid_file = pid_file
        self._report = report

    async def start(self) -> None:
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        # First the keeper, so that nothing is restarted while it is being stopped.
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        self._signal(self._program.stop_signal)
        try:
            await asyncio.wait_for(self._process.wait(), self._program.stop_grace)
        except TimeoutError:
            self._report(f"{self._program.name} did not stop within {self._program.stop_grace:g} s and was killed.")
            self._signal(signal.SIGKILL)
            await self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    async def _spawn(self) -> asyncio.subprocess.Process:
        user = self._program.user
        with self._program.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._program.command,
                env=dict(self._program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: Ctrl-C in a terminal reaches the supervisor alone, which stops the rest in order.
                start_new_session=True,
                preexec_fn=die_with_parent(self._program.death_signal),
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        self._pid_file.write_text(str(process.pid))
        return process

    async def _keep_alive(self) -> None:
        back_offs = _back_offs()
        started = time.monotonic()
        while True:
            code = await self._process.wait()
            self._pid_file.unlink(missing_ok=True)
            if time.monotonic() - started > STEADY_AFTER:
                back_offs = _back_offs()
            wait = next(back_offs)
            self._report(
                f"{self._program.name} {_ending(code)} and is started again in {wait:g} s; its log: {self._program.log}"
            )
            await asyncio.sleep(wait)
            started = time.monotonic()
            try:
                self._process = await self._spawn()
            except OSError as error:  # the old process's end is seen again above, and the next back-off is longer
                self._report(f"{self._program.name} could not be started: {error.strerror}.")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            self._process.send_signal(number)


def _back_offs() -> Iterator[float]:
    return (min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2**attempt) for attempt in itertools.count())


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
