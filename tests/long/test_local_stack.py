"""`threshold up` while it runs: kept data, parts that die, topics that differ, an end without a trace."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition

from deploy.local.ports import is_free
from deploy.local.postgres import Postgres
from tests.support.ports import free_port_base
from tests.support.processes import processes_of
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until

DECLARED = "deliveries"  # a topic that the stack needs
NOTES = "notes"  # one that nobody but a test reads


@pytest.fixture(scope="module")
def one_stack() -> Iterator[StackProcess]:
    with started_stack() as started:
        yield started


@pytest.fixture
def running(one_stack: StackProcess) -> StackProcess:
    """A stack that runs, for a test that may leave it running or not, but whole; the next one has the same home."""
    if not one_stack.is_running:
        one_stack.start()
    return one_stack


def test_a_restart_keeps_all_data(running: StackProcess) -> None:
    Postgres(running.home / "postgres", running.home).create_databases(["kept"])
    with _connected(running, "kept") as connection:
        connection.execute("CREATE TABLE note (text text)")
        connection.execute("INSERT INTO note VALUES ('still here')")
    _produce(running.kafka, b"still here")

    running.restart()

    with _connected(running, "kept") as connection:
        assert connection.execute("SELECT text FROM note").fetchall() == [("still here",)]
    assert _consume_one(running.kafka) == b"still here"


def test_a_part_that_is_killed_is_reported_and_restarted_and_ends_no_other(running: StackProcess) -> None:
    postgres = running.pid("postgres")
    before = len(running.output())
    killed = running.kill("kafka", signal.SIGKILL)
    running.wait_restarted("kafka", killed)
    running.wait_kafka()
    assert (
        f"kafka was ended by SIGKILL and is started again in 0.5 s; its log: {running.home}/logs/kafka.log"
        in (running.output()[before:])
    )
    _produce(running.kafka, b"after the restart")
    assert running.pid("postgres") == postgres
    assert running.is_running


def test_kafka_stays_down_while_its_port_is_taken_and_comes_back(running: StackProcess) -> None:
    before = len(running.output())
    with running.kafka_down():
        wait_until(lambda: "kafka ended with exit code 1" in running.output()[before:], what="a failed restart")
        assert is_free(running.port_base + 92)
    _produce(running.kafka, b"after the outage")


def test_killing_the_supervisor_leaves_no_process_and_the_next_start_works(running: StackProcess) -> None:
    assert running._process is not None
    running.stop(signal.SIGKILL)
    wait_until(lambda: processes_of(running.home) == [], what="the supervisor's children to end with it")
    running.start()


def test_topics_that_differ_are_told_and_corrected(running: StackProcess) -> None:
    # After it only the end is tried on this stack: the readers of a topic that was deleted have something to do.
    assert _threshold(running, "topics", "check").stdout == "Every topic is as declared.\n"
    _delete_topic(running.kafka)
    found = _threshold(running, "topics", "check", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout) == [f"The topic {DECLARED} does not exist."]
    assert _threshold(running, "topics", "apply").stdout == f"{DECLARED}: created with 12 partitions\n"
    assert _threshold(running, "topics", "check").returncode == 0


def test_the_stack_is_described_held_and_stopped_without_a_trace(running: StackProcess) -> None:
    stack_file = running.home / "stack.json"
    assert stat.S_IMODE(stack_file.stat().st_mode) == 0o600
    assert running.kafka == f"127.0.0.1:{running.port_base + 92}"
    assert set(running.admin) == {"client_id", "client_secret"}
    assert running.kafka in running.output()
    assert len(processes_of(running.home)) >= 3, "the check for leftovers below sees what runs"

    with free_port_base() as other_ports:
        second = StackProcess(running.home, other_ports)
        second.printed = running.home.with_name("second.printed")
        second.launch()
        assert second.wait() == 1
    second.assert_said(f"Threshold already runs in {running.home} (process ")

    assert running.stop(signal.SIGINT) == 0
    assert processes_of(running.home) == []
    assert is_free(running.port_base + 92)
    assert not stack_file.exists()


def _threshold(stack: StackProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "THRESHOLD_HOME": str(stack.home), "THRESHOLD_PORT_BASE": str(stack.port_base)}
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)


def _connected(stack: StackProcess, name: str) -> psycopg.Connection[tuple[object, ...]]:
    url = Postgres(stack.home / "postgres", stack.home).url(name, name)
    return psycopg.connect(url.replace("+psycopg", ""))


def _delete_topic(kafka: str) -> None:
    with _admin(kafka) as admin:
        admin.delete_topics([DECLARED])
        wait_until(lambda: DECLARED not in admin.list_topics(), what="the topic to be gone")


def _produce(kafka: str, value: bytes) -> None:
    with _admin(kafka) as admin:
        if NOTES not in admin.list_topics():
            admin.create_topics({NOTES: {"num_partitions": 1}}, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=kafka)
    producer.send(NOTES, value, partition=0).get(timeout=30)
    producer.close()


def _consume_one(kafka: str) -> bytes:
    consumer = KafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    consumer.assign([TopicPartition(NOTES, 0)])
    value: bytes = next(consumer).value
    consumer.close()
    return value


@contextmanager
def _admin(kafka: str) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    yield admin
    admin.close()
