"""The supervisor with real processes: restarts, order of stopping, an environment of one's own, a sudden end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.supervisor import LONGEST_BACK_OFF, Program, Supervisor, _back_offs
from tests.support.processes import processes_of
from tests.support.waiting import wait_until, wait_until_async

# Says in the file it is given that it is up, then waits; on SIGTERM says that it ends.
WAITS = """
import pathlib, signal, sys
story, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def tell(what):
    with story.open("a") as file:
        file.write(f"{name} {what}\\n")
def end(*_):
    tell("ends")
    sys.exit()
signal.signal(signal.SIGTERM, end)
tell("is up")
while True:
    signal.pause()
"""
IGNORES_SIGTERM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
)


class Scene:
    """A folder, the story its programs write, and what the supervisor reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self.supervisor = Supervisor(folder / "run", self.reports.append)
        (folder / "story").touch()

    def program(self, name: str, code: str = WAITS, *, stop_grace: float = 10) -> Program:
        command = (sys.executable, "-c", code, str(self.folder / "story"), name)
        return Program(name, command, {"ONLY": "this"}, self.folder / f"{name}.log", stop_grace=stop_grace)

    def story(self) -> list[str]:
        return (self.folder / "story").read_text().splitlines()

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / name).read_text())

    async def until(self, *lines: str) -> None:
        await wait_until_async(lambda: set(lines) <= set(self.story()), what=f"{lines}")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_what_is_killed_is_reported_and_restarted_and_the_others_go_on(scene: Scene) -> None:
    async with scene.supervisor as supervisor:
        await supervisor.start(scene.program("one"), scene.program("two"))
        await scene.until("one is up", "two is up")
        other = scene.pid("two")
        os.kill(scene.pid("one"), signal.SIGKILL)
        await wait_until_async(lambda: scene.story().count("one is up") == 2, what="a restart")
        assert scene.reports == [
            f"one was ended by SIGKILL and is started again in 0.5 s; its log: {scene.folder}/one.log"
        ]
        assert scene.pid("two") == other


async def test_groups_are_stopped_in_reverse_order(scene: Scene) -> None:
    async with scene.supervisor as supervisor:
        for name in ("first", "second", "third"):
            await supervisor.start(scene.program(name))
        await scene.until("first is up", "second is up", "third is up")
    assert scene.story()[-3:] == ["third ends", "second ends", "first ends"]
    assert list((scene.folder / "run").iterdir()) == []
    assert scene.reports == []


async def test_what_does_not_stop_in_time_is_killed_and_reported(scene: Scene) -> None:
    async with scene.supervisor as supervisor:
        await supervisor.start(scene.program("deaf", IGNORES_SIGTERM, stop_grace=0.2))
        await wait_until_async(lambda: (scene.folder / "deaf.log").read_text() == "up\n", what="a start")
    assert scene.reports == ["deaf did not stop within 0.2 s and was killed."]
    assert processes_of(scene.folder) == []


async def test_a_program_that_keeps_dying_is_restarted_later_each_time_and_stops_at_once(scene: Scene) -> None:
    async with scene.supervisor as supervisor:
        await supervisor.start(scene.program("broken", "raise SystemExit(3)"))
        await wait_until_async(lambda: len(scene.reports) == 2, what="two deaths")
        assert [report.partition(";")[0] for report in scene.reports] == [
            "broken ended with exit code 3 and is started again in 0.5 s",
            "broken ended with exit code 3 and is started again in 1 s",
        ]


async def test_a_program_sees_its_own_environment_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOTHER", "secret")
    async with scene.supervisor as supervisor:
        await supervisor.start(
            scene.program("curious", "import os, signal; print(dict(os.environ), flush=True); signal.pause()")
        )
        log = scene.folder / "curious.log"
        await wait_until_async(lambda: log.read_text().endswith("}\n"), what="its environment")
    assert "'ONLY': 'this'" in log.read_text()
    assert "ANOTHER" not in log.read_text()


def test_a_program_is_not_shown_with_its_secrets(scene: Scene) -> None:
    assert "this" not in repr(scene.program("quiet"))


def test_back_off_grows_to_its_limit() -> None:
    back_offs = _back_offs()
    assert [next(back_offs) for _ in range(7)] == [0.5, 1, 2, 4, 8, LONGEST_BACK_OFF, LONGEST_BACK_OFF]


def test_programs_end_when_the_supervisor_is_killed(scene: Scene) -> None:
    process = subprocess.Popen([sys.executable, "-m", __name__, str(scene.folder)])
    wait_until(lambda: "one is up" in scene.story(), what="a start")
    assert len(processes_of(scene.folder)) == 2
    process.kill()
    process.wait()
    wait_until(lambda: processes_of(scene.folder) == [], what="the program to end")


async def _supervise_for_ever(folder: Path) -> None:
    scene = Scene(folder)
    async with scene.supervisor as supervisor:
        await supervisor.start(scene.program("one"))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_supervise_for_ever(Path(sys.argv[1])))
