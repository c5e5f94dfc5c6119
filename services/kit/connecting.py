"""How Kafka is reached: in the clear on one's own machine, anywhere else by TLS and as a user with a password."""

import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from msgspec import Struct
from pydantic import SecretStr

MECHANISM: Final = "SCRAM-SHA-512"


class UnusableSettingsError(ValueError):
    """One sentence for whoever runs the service, that names the variable and shows no value."""


class SecuredKafka(Struct, frozen=True):
    """Brokers that are reached by SASL_SSL: `tls` verifies their certificates and the names in them."""

    bootstrap: str
    user: str
    password: SecretStr
    tls: ssl.SSLContext


Kafka = str | SecuredKafka
"""Where Kafka is: bootstrap servers "host:port,..." alone are reached in the clear."""


def from_environment(user: str, environment: Mapping[str, str] = os.environ) -> Kafka | None:
    """Read THRESHOLD_KAFKA, and for a secured one THRESHOLD_KAFKA_PASSWORD and THRESHOLD_KAFKA_CA; None without it.

    THRESHOLD_KAFKA_CA is a file of PEM; without it the system's authorities are believed. Raises
    UnusableSettingsError: without a password for brokers elsewhere, and for a file that is none.
    """
    bootstrap = environment.get("THRESHOLD_KAFKA")
    if not bootstrap:
        return None
    password, authorities = environment.get("THRESHOLD_KAFKA_PASSWORD"), environment.get("THRESHOLD_KAFKA_CA")
    if password:
        return SecuredKafka(bootstrap, user, SecretStr(password), _verifying(authorities))
    if authorities or not are_this_machine(bootstrap):
        raise UnusableSettingsError(
            "THRESHOLD_KAFKA_PASSWORD must be set: only brokers on this machine are reached without TLS and a user."
        )
    return bootstrap


def are_this_machine(bootstrap: str) -> bool:
    """Whether all bootstrap servers have loopback addresses."""
    return all(_is_this_machine(address) for address in bootstrap.split(","))


def bootstrap_of(kafka: Kafka) -> str:
    """Return the bootstrap servers, which are no secret."""
    return kafka if isinstance(kafka, str) else kafka.bootstrap


def for_client(kafka: Kafka) -> dict[str, Any]:
    """Return what the constructors of aiokafka's and kafka-python's clients are told: the two name it alike."""
    servers = {"bootstrap_servers": bootstrap_of(kafka).split(",")}
    if isinstance(kafka, str):
        return servers
    return servers | {
        "security_protocol": "SASL_SSL",
        "ssl_context": kafka.tls,
        "sasl_mechanism": MECHANISM,
        "sasl_plain_username": kafka.user,
        "sasl_plain_password": kafka.password.get_secret_value(),
    }


def _verifying(authorities: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities or None)
    except OSError:  # ssl.SSLError is one
        raise UnusableSettingsError("THRESHOLD_KAFKA_CA must be a file of certificates in PEM.") from None


def _is_this_machine(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
