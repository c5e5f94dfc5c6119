"""`threshold up` when it can't start, or may not: one sentence, and nothing left behind."""

import signal
import socket
from pathlib import Path

import pytest

from deploy.local.jars import pinned_sums
from deploy.local.settings import LocalSettings
from tests.support.processes import processes_of
from tests.support.stack import StackProcess


@pytest.mark.parametrize("offset", [92, 93])
def test_a_used_port_is_refused_with_a_sentence(stack: StackProcess, offset: int) -> None:
    with socket.create_server(("127.0.0.1", stack.port_base + offset)):
        stack.launch()
        assert stack.wait() == 1
    stack.assert_said(f"Port {stack.port_base + offset}, which kafka")
    assert processes_of(stack.home) == []


def test_a_signal_during_the_start_stops_cleanly(stack: StackProcess) -> None:
    stack.launch()
    stack.pid("kafka")
    assert stack.stop(signal.SIGTERM) == 0, stack.output()
    assert "Traceback" not in stack.output()
    assert processes_of(stack.home) == []


@pytest.fixture
def own_jars(tmp_path: Path) -> Path:
    folder = LocalSettings.from_environment().jars
    for name in pinned_sums():
        (tmp_path / name).symlink_to(folder / name)
    return tmp_path


def test_a_tampered_jar_is_refused(stack_home: Path, port_base: int, own_jars: Path) -> None:
    jar = own_jars / "kafka-clients-4.4.0.jar"
    content = jar.read_bytes()
    jar.unlink()
    jar.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    stack = StackProcess(stack_home, port_base, {"THRESHOLD_JARS": str(own_jars)})
    stack.launch()
    assert stack.wait() == 1
    stack.assert_said(f"{jar} is not the file that jars.sha256 pins")
    assert processes_of(stack.home) == []


def test_a_missing_jar_is_named(stack_home: Path, port_base: int, own_jars: Path) -> None:
    (own_jars / "kafka-clients-4.4.0.jar").unlink()
    stack = StackProcess(stack_home, port_base, {"THRESHOLD_JARS": str(own_jars)})
    stack.launch()
    assert stack.wait() == 1
    stack.assert_said(f"Kafka's kafka-clients-4.4.0.jar is missing from {own_jars}: run `make setup`.")
