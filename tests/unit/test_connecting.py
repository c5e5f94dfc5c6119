"""How Kafka is reached follows from the environment: in the clear on this machine only, and no secret is shown."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.kit.connecting import SecuredKafka, UnusableSettingsError, for_client, from_environment

SECURED = {"THRESHOLD_KAFKA": "kafka-1:9092,kafka-2:9092", "THRESHOLD_KAFKA_PASSWORD": "s3cr3t-and-long"}


@pytest.mark.parametrize("address", ["127.0.0.1:7092", "localhost:9092", "[::1]:9092", "127.1.2.3:1,127.0.0.1:2"])
def test_this_machine_is_reached_in_the_clear(address: str) -> None:
    kafka = from_environment("audit", {"THRESHOLD_KAFKA": address})
    assert kafka == address
    assert for_client(address) == {"bootstrap_servers": address.split(",")}


@pytest.mark.parametrize(
    "environment",
    [
        {"THRESHOLD_KAFKA": "kafka-1:9092"},
        {"THRESHOLD_KAFKA": "127.0.0.1:9092,kafka-1:9092"},
        {"THRESHOLD_KAFKA": "10.0.0.1:9092", "THRESHOLD_KAFKA_PASSWORD": ""},
        {"THRESHOLD_KAFKA": "localhost.example:9092"},
        {"THRESHOLD_KAFKA": "127.0.0.1:9092", "THRESHOLD_KAFKA_CA": "ca.pem"},
    ],
    ids=str,
)
def test_nothing_else_is(environment: Mapping[str, str]) -> None:
    with pytest.raises(UnusableSettingsError, match="THRESHOLD_KAFKA_PASSWORD must be set"):
        from_environment("audit", environment)


def test_what_has_a_password_is_reached_by_tls_that_verifies() -> None:
    kafka = from_environment("audit", SECURED)
    assert isinstance(kafka, SecuredKafka)
    assert (kafka.tls.verify_mode, kafka.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    told = for_client(kafka)
    assert told.pop("ssl_context") is kafka.tls
    assert told == {
        "bootstrap_servers": ["kafka-1:9092", "kafka-2:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "audit",
        "sasl_plain_password": "s3cr3t-and-long",
    }
    assert "s3cr3t" not in f"{kafka!r} {kafka}"


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=str)
def test_authorities_that_are_none_are_refused_by_name_alone(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UnusableSettingsError, match=r"^THRESHOLD_KAFKA_CA must be a file of certificates in PEM\.$"):
        from_environment("audit", {**SECURED, "THRESHOLD_KAFKA_CA": str(file)})


def test_without_an_address_there_is_none() -> None:
    assert from_environment("audit", {}) is None
