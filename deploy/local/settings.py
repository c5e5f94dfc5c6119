"""Where the local stack lives and which ports it takes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalStackError

KAFKA_CLIENT_OFFSET = 92
KAFKA_CONTROLLER_OFFSET = 93
HIGHEST_PORT_BASE = 65535 - KAFKA_CONTROLLER_OFFSET
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LocalSettings:
    """Everything that tells one local stack from another.

    `home` is absolute and holds all of the stack's data, logs and secrets; ports are counted from `port_base`; `jars`
    is the folder of Kafka's jars, which stacks share.
    """

    home: Path
    port_base: int
    jars: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "LocalSettings":
        """Read THRESHOLD_HOME (.threshold), THRESHOLD_PORT_BASE (7000) and THRESHOLD_JARS (the project's cache)."""
        return cls(
            home=Path(environment.get("THRESHOLD_HOME", ".threshold")).expanduser().resolve(),
            port_base=_port_base(environment.get("THRESHOLD_PORT_BASE", "7000")),
            jars=Path(environment.get("THRESHOLD_JARS", PROJECT / ".cache" / "kafka")).expanduser().resolve(),
        )

    @property
    def logs(self) -> Path:
        """The folder of one log file per process."""
        return self.home / "logs"

    @property
    def stack_file(self) -> Path:
        """The file that says, once all is ready, where everything is."""
        return self.home / "stack.json"

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap address."""
        return f"127.0.0.1:{self.port_base + KAFKA_CLIENT_OFFSET}"


def _port_base(text: str) -> int:
    if text.isdecimal() and 1024 <= int(text) <= HIGHEST_PORT_BASE:
        return int(text)
    raise LocalStackError(f"THRESHOLD_PORT_BASE must be a number from 1024 to {HIGHEST_PORT_BASE}, not {text!r}.")
