"""The secrets of docker-compose.yml: made once in one file, and given to each container in a file of its own."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

from deploy.compose.certificates import Certified, new_authority, new_broker
from deploy.kafka_id import new_kafka_id
from deploy.local.errors import LocalStackError
from deploy.local.home import write_private
from deploy.local.secrets import generate_secrets, read_secrets, write_secrets
from deploy.local.services import SERVICES
from services.kit.rights import OPERATOR

FILE: Final = "secrets.env"
AUTHORITY_FILE: Final = "kafka-ca.pem"
BROKERS: Final = 3
BROKER_HOSTS: Final = tuple((f"kafka-{number}", "kafka") for number in range(1, BROKERS + 1))
ITERATIONS: Final = 8192
CERTIFICATE: Final = re.compile(r"THRESHOLD_KAFKA_([1-9])_CERTIFICATE")
USERS: Final = (*(service.name for service in SERVICES), OPERATOR)
DATABASES: Final = tuple(service.name for service in SERVICES if service.has_database)
PASSWORDS: Final = (
    *(f"THRESHOLD_{user.upper()}_KAFKA_PASSWORD" for user in USERS),
    *(f"THRESHOLD_{name.upper()}_DATABASE_PASSWORD" for name in DATABASES),
)
"""Those that the jobs set: each can be replaced by itself."""


def ensure(folder: Path, broker_hosts: Sequence[Sequence[str]] = BROKER_HOSTS) -> None:
    """Make the secrets if there are none, and write from them what each container is given, all of it 0600.

    Raises LocalStackError for a file of secrets that others can read or that lacks one.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        write_secrets(path, generate(broker_hosts))
    secrets = _read(path)
    for container, environment in environments(secrets).items():
        write_secrets(folder / f"{container}.env", environment)
    authority = folder / AUTHORITY_FILE
    write_private(authority, _unfolded(secrets["THRESHOLD_KAFKA_CA_CERTIFICATE"]))
    authority.chmod(0o644)  # no secret, and the containers read it as another user


def renew(folder: Path, names: Iterable[str], broker_hosts: Sequence[Sequence[str]] = BROKER_HOSTS) -> None:
    """Replace passwords, and brokers' certificates with their keys; raises LocalStackError for any other name."""
    secrets = _read(folder / FILE)
    for name in names:
        secrets |= _renewed(name, secrets, broker_hosts)
    write_secrets(folder / FILE, secrets)
    ensure(folder)


def generate(broker_hosts: Sequence[Sequence[str]] = BROKER_HOSTS) -> dict[str, str]:
    """Make a complete set: a local stack's, passwords for each user of Kafka and PostgreSQL, certificates."""
    authority = new_authority()
    made = generate_secrets()
    made |= {name: token_urlsafe(32) for name in PASSWORDS}
    made |= {
        "THRESHOLD_ADMIN_KAFKA_PASSWORD": token_urlsafe(32),
        "THRESHOLD_POSTGRES_DATABASE_PASSWORD": token_urlsafe(32),
        "THRESHOLD_KAFKA_CLUSTER_ID": new_kafka_id(),
        "THRESHOLD_KAFKA_DIRECTORY_IDS": ",".join(new_kafka_id() for _ in range(BROKERS)),
        "THRESHOLD_KAFKA_CA_KEY": _folded(authority.key),
        "THRESHOLD_KAFKA_CA_CERTIFICATE": _folded(authority.certificate),
    }
    for number, hosts in enumerate(broker_hosts, 1):
        made |= _broker(authority, number, hosts)
    return made


def environments(secrets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what each container is given; no service is given what is another's."""
    given = {service.name: {name: secrets[name] for name in service.allowed_secrets} for service in SERVICES}
    for name, environment in given.items():
        environment["THRESHOLD_KAFKA_PASSWORD"] = secrets[f"THRESHOLD_{name.upper()}_KAFKA_PASSWORD"]
    for name in DATABASES:
        password = secrets[f"THRESHOLD_{name.upper()}_DATABASE_PASSWORD"]
        given[name]["THRESHOLD_DATABASE_URL"] = f"postgresql+psycopg://{name}:{password}@postgres:5432/{name}"
    superuser = secrets["THRESHOLD_POSTGRES_DATABASE_PASSWORD"]
    jobs = {
        "topics": {
            "THRESHOLD_KAFKA_PASSWORD": secrets["THRESHOLD_ADMIN_KAFKA_PASSWORD"],
            **{name: secrets[name] for name in PASSWORDS if name.endswith("_KAFKA_PASSWORD")},
        },
        "databases": {
            "THRESHOLD_POSTGRES_URL": f"postgresql://postgres:{superuser}@postgres:5432/postgres",
            **{name: secrets[name] for name in PASSWORDS if name.endswith("_DATABASE_PASSWORD")},
        },
        "postgres": {"POSTGRES_PASSWORD": superuser},
    }
    return given | jobs | {f"kafka-{number}": _of_broker(secrets, number) for number in range(1, BROKERS + 1)}


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        raise LocalStackError(f"{path} is not there: run `threshold secrets --compose` first.")
    return read_secrets(path, generate().keys())


def _renewed(name: str, secrets: Mapping[str, str], broker_hosts: Sequence[Sequence[str]]) -> dict[str, str]:
    if name in PASSWORDS:
        return {name: token_urlsafe(32)}
    if name in secrets and (found := CERTIFICATE.fullmatch(name)):
        authority = Certified(*(_unfolded(secrets[f"THRESHOLD_KAFKA_CA_{part}"]) for part in ("KEY", "CERTIFICATE")))
        number = int(found[1])
        return _broker(authority, number, broker_hosts[number - 1])
    raise LocalStackError(f"{name} is no password or certificate that can be renewed: others would no longer fit it.")


def _broker(authority: Certified, number: int, hosts: Iterable[str]) -> dict[str, str]:
    made = new_broker(authority, number, hosts)
    return {
        f"THRESHOLD_KAFKA_{number}_KEY": _folded(made.key),
        f"THRESHOLD_KAFKA_{number}_CERTIFICATE": _folded(made.certificate),
    }


def _of_broker(secrets: Mapping[str, str], number: int) -> dict[str, str]:
    cluster = secrets["THRESHOLD_KAFKA_CLUSTER_ID"]
    return {
        "KAFKA_CLUSTER_ID": cluster,
        "KAFKA_DIRECTORY_IDS": secrets["THRESHOLD_KAFKA_DIRECTORY_IDS"],
        "KAFKA_AUTHORITY": secrets["THRESHOLD_KAFKA_CA_CERTIFICATE"],
        "KAFKA_KEY": secrets[f"THRESHOLD_KAFKA_{number}_KEY"],
        "KAFKA_CERTIFICATES": secrets[f"THRESHOLD_KAFKA_{number}_CERTIFICATE"],
        "KAFKA_ADMINISTRATOR": _scram("admin", secrets["THRESHOLD_ADMIN_KAFKA_PASSWORD"], cluster),
    }


def _scram(user: str, password: str, cluster: str) -> str:
    """Return a password as Kafka's formatting takes it; the salt is the cluster's, the same for each broker of it."""
    salt = hashlib.sha256(cluster.encode()).digest()
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    parts = (b64encode(part).decode() for part in (salt, salted))
    return f'name={user},iterations={ITERATIONS},salt="{next(parts)}",saltedpassword="{next(parts)}"'


def _folded(pem: str) -> str:
    """Write PEM in one line, with backslash and n for the ends of its lines, as Kafka's own files take it."""
    return pem.replace("\n", "\\n")


def _unfolded(text: str) -> str:
    return text.replace("\\n", "\n")
