"""A Kafka of the test's own with a boundary on it, and nothing else: the test writes what stands on the log."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from deploy.local.kafka import Kafka
from deploy.local.secrets import generate_secrets
from deploy.local.services import service_command
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Program
from policy.state import PartitionState
from policy.step import Fold
from services.boundary.snapshots import Snapshots
from services.kit import cluster
from services.kit.broker import Record as Stored
from services.kit.broker import read_all
from services.kit.keys import decode_private
from tests.support.log import PARTITIONS, ROOT_FINGERPRINT
from tests.support.waiting import wait_until, wait_until_async

SOURCE, OUTPUT = "client-events", "disclosures"
Placed = tuple[int, bytes, bytes]  # partition, key, value


class BoundaryRig:
    """Brings up the broker and the boundary as processes, wounds them, and reads both topics."""

    STOP = signal.SIGTERM

    def __init__(self, home: Path, port_base: int, root_fingerprint: str = ROOT_FINGERPRINT) -> None:
        settings = LocalSettings(home=home, port_base=port_base, jars=LocalSettings.from_environment().jars)
        home.mkdir(parents=True, exist_ok=True)
        self.kafka = settings.kafka
        self.url = f"http://127.0.0.1:{port_base + 7}"
        self._home, self._port = home, port_base + 7
        self.snapshots = home / "snapshots"
        self._broker = Kafka(home / "kafka", home / "kafka.log", settings.jars, port_base + 92, port_base + 93)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._secrets = generate_secrets() | {"THRESHOLD_ROOT_FINGERPRINT": root_fingerprint}

    @property
    def own_snapshots(self) -> Snapshots:
        """The boundary's snapshots, read as it reads them."""
        key = decode_private(self._secrets["THRESHOLD_BOUNDARY_ASSERTION_KEY"])
        return Snapshots.of(self.snapshots, key, self._secrets["THRESHOLD_ROOT_FINGERPRINT"])

    async def start_broker(self, environment: Mapping[str, str] | None = None) -> None:
        """Run the broker until it takes connections, with the topics as declared; `environment` adds to its own."""
        program = self._broker.prepare()
        self._run(replace(program, environment={**program.environment, **(environment or {})}))
        await self._broker.ready()
        await asyncio.to_thread(cluster.apply, self.kafka)

    def start_boundary(self) -> None:
        """Run a boundary; `decided` or /readyz tell when it decides."""
        self._run(self._boundary())

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to `kafka` or `boundary`, and wait for its end if it is one that ends it."""
        process = self._running[name]
        process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            process.wait(30)

    def ended(self, name: str) -> int | None:
        """The exit code of a part that has ended."""
        return self._running[name].poll()

    def peak_memory(self, name: str) -> float:
        """The most memory a running part ever had, in MB (Linux's VmHWM)."""
        status = Path(f"/proc/{self._running[name].pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024

    def log(self, name: str) -> str:
        """What a part has logged."""
        return (self._home / f"{name}.log").read_text()

    def end(self) -> None:
        """Leave nothing running."""
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
                process.wait(30)

    async def produce(self, records: Iterable[Placed]) -> None:
        """Write records to client-events, in order within a partition."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=5, max_batch_size=262_144)
        async with producer:
            remaining = iter(records)
            while chunk := list(islice(remaining, 20_000)):
                sent = [await producer.send(SOURCE, value, key, partition) for partition, key, value in chunk]
                await asyncio.gather(*sent)

    async def unanswer(self) -> None:
        """End the boundary and let nothing be decided: an empty `disclosures`, no snapshot."""
        self.kill("boundary")
        shutil.rmtree(self.snapshots, ignore_errors=True)
        await asyncio.to_thread(_delete, self.kafka, OUTPUT)
        await asyncio.to_thread(cluster.apply, self.kafka)

    async def forge_disclosure(self, partition: int) -> None:
        """Write what the boundary would write next, from nothing: as one with its rights on the topic could."""
        outputs = firsts((await self.read(OUTPUT, [partition]))[partition])
        last = json.loads(outputs[-1].value or b"")
        forged = {**last, "source_offset": len(outputs), "digest": "f" * 64}
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            await producer.send_and_wait(OUTPUT, json.dumps(forged).encode(), b"control/forged", partition)
            await producer.send_and_wait(SOURCE, b"{}", b"control/forged", partition)

    async def read(self, topic: str, partitions: Iterable[int] = range(PARTITIONS)) -> dict[int, list[Stored]]:
        """Everything that stands on a topic now."""
        found: dict[int, list[Stored]] = {partition: [] for partition in partitions}
        async for run in read_all(self.kafka, topic, dict.fromkeys(found, 0)):
            found[run[0].partition] += run
        return found

    async def count(self, topic: str) -> int:
        """How many records stand on a topic, copies included."""
        partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka) as consumer:
            return sum((await consumer.end_offsets(partitions)).values())

    async def answered(self, partitions: Iterable[int] = range(PARTITIONS), deadline: float = 60) -> None:
        """Wait until every record has its answer in disclosures (copies may stand there besides)."""
        sources = await self.read(SOURCE, partitions)

        async def complete() -> bool | None:
            outputs = await self.read(OUTPUT, partitions)
            return all(len(firsts(outputs[partition])) >= len(sources[partition]) for partition in sources)

        async def plausible() -> bool | None:
            return await self.count(OUTPUT) >= sum(map(len, sources.values()))

        await wait_until_async(plausible, what="as many answers as records", deadline=deadline)
        await wait_until_async(complete, what="every record to be answered", deadline=deadline)

    def _run(self, program: Program) -> None:
        with program.log.open("ab") as log:
            self._running[program.name] = subprocess.Popen(
                program.command, env=dict(program.environment), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _boundary(self) -> Program:
        given = ("ASSERTION_PUBLIC_KEYS", "ROOT_FINGERPRINT", "BOUNDARY_ASSERTION_KEY")
        environment = {f"THRESHOLD_{name}": self._secrets[f"THRESHOLD_{name}"] for name in given}
        environment |= {"THRESHOLD_KAFKA": self.kafka, "THRESHOLD_SERVICES": json.dumps({"boundary": self.url})}
        environment |= {"THRESHOLD_SNAPSHOTS": str(self.snapshots), "PATH": os.environ["PATH"]}
        return Program("boundary", service_command("boundary", self._port), environment, self._home / "boundary.log")


def _delete(kafka: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        admin.delete_topics([topic])
        wait_until(lambda: topic not in admin.list_topics(), what=f"{topic} to be gone")
    finally:
        admin.close()


def firsts(outputs: Iterable[Stored]) -> list[Stored]:
    """The first occurrences, in order: what a reader keeps. Asserts that later copies are copies."""
    kept: list[Stored] = []
    for output in outputs:
        offset = json.loads(output.value or b"")["source_offset"]
        assert offset <= len(kept), f"a hole before {offset}"
        if offset == len(kept):
            kept.append(output)
        else:
            assert kept[offset].value == output.value, f"a copy of {offset} differs"
    return kept


def serial_fold(sources: list[Stored], partition: int, root_fingerprint: str = ROOT_FINGERPRINT) -> list[bytes]:
    """What one fold over exactly these records decides."""
    fold = Fold(PartitionState(partition=partition, root_fingerprint=root_fingerprint))
    return [fold.step(one.timestamp_ms, one.key, one.headers, one.value) for one in sources]
