"""What a service is told by its environment, read once at start and never shown."""

import os
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.kit.connecting import Kafka, UnusableSettingsError, are_this_machine, from_environment
from services.kit.keys import PrivateKeyText, PublicKeyText
from services.kit.logs import OperatorError

PREFIX = "THRESHOLD_"


class ConfigurationError(OperatorError):
    """One sentence that names every variable to set or correct; it shows no value."""


class ServiceSettings(BaseSettings):
    """What every service needs. A service with needs of its own adds fields: `root_key` reads THRESHOLD_ROOT_KEY.

    The values are ready to use (keys, not texts); secrets have no representation that shows them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    service: str
    """The service's own name, as in THRESHOLD_SERVICES."""
    kafka: Kafka
    """Bootstrap servers, "host:port,...", and how they are reached: `services.kit.connecting` says what it reads."""
    services: dict[str, str]
    """Base URL of each service, by name."""
    assertion_key: PrivateKeyText
    """This service's own key: THRESHOLD_<SERVICE>_ASSERTION_KEY."""
    assertion_public_keys: dict[str, PublicKeyText]
    """The pinned public key of each service; governance's also verifies access tokens."""
    root_fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Lower-case hex SHA-256 of the root public key."""

    @field_validator("kafka")
    @classmethod
    def _in_the_clear_only_here(cls, kafka: Kafka) -> Kafka:
        """However the addresses got here: the environment's names are read in any case, of letters too."""
        if isinstance(kafka, str) and not are_this_machine(kafka):
            raise PydanticCustomError("kafka", "must be on this machine, or be reached by TLS and with a password")
        return kafka

    @model_validator(mode="after")
    def _own_key_is_pinned(self) -> Self:
        if self.assertion_public_keys.get(self.service) != self.assertion_key.public_key():
            raise PydanticCustomError("key", "must be the key pinned for it in THRESHOLD_ASSERTION_PUBLIC_KEYS")
        return self

    @classmethod
    def read(cls, service: str) -> Self:
        """Read the settings of `service` from the environment; ConfigurationError names what is wrong."""
        own_key = own_key_name(service)
        given: dict[str, Any] = {"assertion_key": os.environ[own_key]} if own_key in os.environ else {}
        try:
            if (kafka := from_environment(service)) is not None:
                given["kafka"] = kafka
            return cls(service=service, **given)
        except ValidationError as error:
            raise ConfigurationError(_sentence(error, own_key)) from None
        except UnusableSettingsError as error:
            raise ConfigurationError(str(error)) from None
        except SettingsError:
            raise ConfigurationError(
                "THRESHOLD_SERVICES and THRESHOLD_ASSERTION_PUBLIC_KEYS must be JSON objects."
            ) from None


class DatabaseSettings(ServiceSettings):
    """The settings of a service with tables of its own."""

    database_url: SecretStr
    """SQLAlchemy URL with the psycopg driver; secret, since it may hold a password."""


def own_key_name(service: str) -> str:
    """Return the variable that holds a service's assertion key."""
    return f"{PREFIX}{service.upper()}_ASSERTION_KEY"


def _sentence(error: ValidationError, own_key: str) -> str:
    faults = {_variable(fault["loc"], own_key): fault for fault in error.errors(include_input=False)}
    missing = [name for name, fault in faults.items() if fault["type"] == "missing"]
    sentences = [f"{name} {_requirement(fault['msg'])}." for name, fault in faults.items() if name not in missing]
    if missing:
        sentences.insert(0, f"{', '.join(missing)} must be set (`threshold secrets` writes the secrets).")
    return " ".join(sentences)


def _requirement(message: str) -> str:
    return message if message.startswith("must") else f"is not usable: {message}"


def _variable(location: tuple[int | str, ...], own_key: str) -> str:
    field = str(location[0]) if location else "assertion_key"
    return own_key if field == "assertion_key" else PREFIX + field.upper()
