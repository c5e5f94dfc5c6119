"""The image, built and run by podman: the services of docker-compose.yml in containers, as the file hardens them."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.kit import keys
from tests.support.composed import Composed
from tests.support.tree import ROOT

BASE: Final = "localhost/threshold-base:test"
IMAGE: Final = "localhost/threshold:test"
PODMAN: Final = ("podman",)
RUN: Final = (*PODMAN, "run", "--rm", "--runtime", "runc", "--network", "host", "--no-healthcheck")
PACKAGES: Final = "python3,python3-venv,python3-pip,ca-certificates"
MACHINES_OWN: Final = ("/etc/ssl/certs", "/etc/pip.conf")  # whom this machine trusts, and how it reaches packages
TOOLS: Final = ("podman", "runc", "mmdebstrap")


class NoContainersError(Exception):
    """A tool that builds or runs containers is not installed, or it failed; the message says which and how."""


def build(folder: Path) -> None:
    """Build the image from deploy/Dockerfile, on a base made of Debian's packages: none can be pulled everywhere."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise NoContainersError(f"No container runtime: `apt-get install {' '.join(missing)}`.")
    if _podman("image", "exists", BASE):
        archive = folder / "base.tar"
        _done(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(archive)])
        _done(["podman", "import", str(archive), BASE])
    mounts = [f"--volume={path}:{path}:ro" for path in MACHINES_OWN if Path(path).exists()]
    options = ["--isolation=chroot", "--network=host", "--format=docker", f"--build-arg=BASE={BASE}", *mounts]
    _done(["podman", "build", *options, "--file", "deploy/Dockerfile", "--tag", IMAGE, "."])


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a container of the image that may write nothing."""
    container = [*RUN, *_limits(), "--read-only", "--cap-drop", "ALL", IMAGE]
    return subprocess.run([*container, *command], check=False, capture_output=True, text=True)


def health_check() -> list[str]:
    """Return the command by which the image says whether it serves."""
    shown = _done(["podman", "image", "inspect", "--format", "{{json .HealthCheck}}", IMAGE])
    kind, *command = json.loads(shown)["Test"]
    assert kind == "CMD"
    return [str(word) for word in command]


class Contained(Composed):
    """Kafka and PostgreSQL run as in Composed, and everything of ours in a container of the image."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._run = keys.random_id()[:8]

    def start(self, name: str, **changes: str) -> subprocess.Popen[bytes]:
        """Start a container as the file has it, on this machine's network; the rest as a process."""
        if not self._is_ours(name):
            return super().start(name, **changes)
        environment = self.environment(name) | changes
        given = {key: value for key, value in environment.items() if key != "PATH"}
        options = [*self._hardening(name), "--name", self.container(name), *(f"--env={key}" for key in given)]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # the values go by its environment: a command line can be read by all
                [*RUN, *options, IMAGE, *self.command(name)],
                env={**os.environ, **given},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running[name] = process
        return process

    def container(self, name: str) -> str:
        """Return what the container of a service is called."""
        return f"threshold-{self._run}-{name}"

    def is_healthy_by_itself(self, name: str, address: str | None = None) -> bool:
        """Whether the image's own check says so, asked inside its container (where each address is a service's)."""
        command = [word.replace("127.0.0.1", address or self.address(name)) for word in health_check()]
        return _podman("exec", self.container(name), *command) == 0

    def down(self) -> None:
        """Leave nothing running and no volume."""
        super().down()
        _podman("volume", "rm", f"threshold-{self._run}-snapshots")

    def program(self, name: str) -> list[str]:
        """Return a program's own name: the image has it."""
        return [name]

    def volumes(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield none for a container: it has the file's own paths."""
        return iter(()) if self._is_ours(name) else super().volumes(name)

    def _is_ours(self, name: str) -> bool:
        return "build" in self.services[name]

    def _hardening(self, name: str) -> Iterator[str]:
        service = self.services[name]
        yield from _limits()
        assert service["read_only"]
        yield "--read-only"
        yield from (f"--cap-drop={capability}" for capability in service["cap_drop"])
        yield from (f"--security-opt={option.removesuffix(':true')}" for option in service["security_opt"])
        yield from (f"--tmpfs={place}" for place in service["tmpfs"])
        yield f"--memory={service['mem_limit']}"
        yield f"--pids-limit={service['pids_limit']}"
        for volume in service["volumes"]:
            if isinstance(volume, dict):
                yield f"--volume={self.authority}:{volume['target']}:ro"
            else:
                yield f"--volume=threshold-{self._run}-{volume}"


def _limits() -> list[str]:
    """Return how many files may be open, as this machine has it: podman's own default may be more than is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [f"--ulimit=nofile={soft}:{hard}", "--ulimit=nproc=1024:1024"]


def _podman(*arguments: str) -> int:
    """Return the exit code."""
    return subprocess.run([*PODMAN, *arguments], check=False, capture_output=True).returncode


def _done(command: list[str]) -> str:
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if result.returncode:
        raise NoContainersError(f"{' '.join(command)} failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result.stdout
