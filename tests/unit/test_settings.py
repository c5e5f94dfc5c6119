"""Settings come from the environment, are named when they are wrong, and are never shown."""

import json
import os

import pytest
from pydantic import SecretStr

from policy import base64url
from services.kit import keys
from services.kit.keys import PrivateKeyText, SymmetricKeyText
from services.kit.settings import ConfigurationError, DatabaseSettings, ServiceSettings
from tests.support.callers import NAMES

PRIVATE = {name: keys.generate() for name in NAMES}
ROOT = keys.generate()
KEY_ENCRYPTION_KEY = keys.generate_symmetric()
ENVIRONMENT = {
    "THRESHOLD_KAFKA": "127.0.0.1:7092",
    "THRESHOLD_SERVICES": json.dumps({"consent": "http://127.0.0.1:7002"}),
    "THRESHOLD_CONSENT_ASSERTION_KEY": keys.encode_private(PRIVATE["consent"]),
    "THRESHOLD_ASSERTION_PUBLIC_KEYS": json.dumps(
        {name: keys.encode_public(key.public_key()) for name, key in PRIVATE.items()}
    ),
    "THRESHOLD_ROOT_FINGERPRINT": keys.fingerprint(ROOT.public_key()),
    "THRESHOLD_DATABASE_URL": "postgresql+psycopg://consent:a-password@/consent",
    "THRESHOLD_CONSENT_SIGNING_KEY": keys.encode_private(PRIVATE["referrals"]),
    "THRESHOLD_KEY_ENCRYPTION_KEY": base64url.encode(KEY_ENCRYPTION_KEY),
}


class ConsentSettings(DatabaseSettings):
    """As a service with secrets of its own declares them."""

    consent_signing_key: PrivateKeyText
    key_encryption_key: SymmetricKeyText


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THRESHOLD_")]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_the_environment_is_read_into_ready_values() -> None:
    settings = ConsentSettings.read("consent")
    assert settings.service == "consent"
    assert settings.services == {"consent": "http://127.0.0.1:7002"}
    assert settings.assertion_key.private_bytes_raw() == PRIVATE["consent"].private_bytes_raw()
    assert settings.assertion_public_keys["audit"] == PRIVATE["audit"].public_key()
    assert settings.consent_signing_key.public_key() == PRIVATE["referrals"].public_key()
    assert settings.key_encryption_key.raw == KEY_ENCRYPTION_KEY
    assert settings.database_url == SecretStr(ENVIRONMENT["THRESHOLD_DATABASE_URL"])


@pytest.mark.parametrize("address", ["far.example:9092", "127.0.0.1:9092,far.example:9092", ""])
def test_no_other_spelling_of_a_variable_reaches_a_broker_elsewhere_in_the_clear(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THRESHOLD_KAFKA")
    monkeypatch.setenv("threshold_kafka", address)
    with pytest.raises(ConfigurationError, match=r"THRESHOLD_KAFKA must be on this machine"):
        ServiceSettings.read("consent")


def test_no_representation_shows_a_secret() -> None:
    settings = ConsentSettings.read("consent")
    shown = f"{settings!r} {settings} {settings.model_dump()!r} {vars(settings)!r}"
    secrets = ("CONSENT_ASSERTION_KEY", "CONSENT_SIGNING_KEY", "KEY_ENCRYPTION_KEY", "DATABASE_URL")
    assert [name for name in secrets if ENVIRONMENT[f"THRESHOLD_{name}"] in shown] == []
    assert repr(KEY_ENCRYPTION_KEY) not in shown


@pytest.mark.parametrize("name", list(ENVIRONMENT))
def test_a_missing_variable_is_named_in_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError) as caught:
        ConsentSettings.read("consent")
    assert str(caught.value) == f"{name} must be set (`threshold secrets` writes the secrets)."


@pytest.mark.parametrize(
    "name", [name for name in ENVIRONMENT if name not in {"THRESHOLD_KAFKA", "THRESHOLD_DATABASE_URL"}]
)
def test_a_malformed_variable_is_named_and_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "s3cr3t-but-wrong")
    with pytest.raises(ConfigurationError) as caught:
        ConsentSettings.read("consent")
    assert name in str(caught.value)
    assert "s3cr3t-but-wrong" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_service_starts_only_with_the_key_that_the_others_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRESHOLD_CONSENT_ASSERTION_KEY", keys.encode_private(PRIVATE["audit"]))
    with pytest.raises(ConfigurationError, match=r"THRESHOLD_CONSENT_ASSERTION_KEY must be the key pinned for it"):
        ServiceSettings.read("consent")


def test_a_service_that_has_no_database_needs_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRESHOLD_DATABASE_URL")
    assert ServiceSettings.read("consent").kafka == "127.0.0.1:7092"


def test_a_key_has_one_spelling() -> None:
    written = base64url.encode(bytes(32))
    assert base64url.decode(written) == bytes(32)
    for other in (f"{written}=", f"{written[:-1]}B", f" {written}", f"{written}\n", "ä"):
        with pytest.raises(ValueError, match="base64url"):
            base64url.decode(other)
