"""As whom, and how, a command reaches Kafka: the local stack's if its environment names no other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.cli.outcome import one_sentence

if TYPE_CHECKING:
    from services.kit.connecting import Kafka


def kafka_as(user: str, bootstrap: str | None = None) -> "Kafka":
    """Return how `user` reaches Kafka at `bootstrap`, at THRESHOLD_KAFKA, or that of the local stack.

    THRESHOLD_KAFKA_USER names another user; raises UnusableSettingsError.
    """
    from deploy.local.settings import LocalSettings
    from services.kit.connecting import from_environment

    environment = {**os.environ, **({"THRESHOLD_KAFKA": bootstrap} if bootstrap else {})}
    found = from_environment(environment.get("THRESHOLD_KAFKA_USER", user), environment)
    return LocalSettings.from_environment().kafka if found is None else found


@contextmanager
def reached_as(user: str, bootstrap: str | None) -> "Iterator[Kafka]":
    """Give how Kafka is reached; what it refuses, or that it is not there, ends the command with one sentence."""
    from kafka.errors import KafkaError

    from deploy.local.errors import LocalStackError
    from services.kit.connecting import UnusableSettingsError, bootstrap_of
    from services.kit.granting import NotGrantedError

    with one_sentence(LocalStackError, UnusableSettingsError):
        kafka = kafka_as(user, bootstrap)
        try:
            yield kafka
        except (KafkaError, NotGrantedError) as error:
            raise LocalStackError(f"Kafka at {bootstrap_of(kafka)} did not do it ({error}): is the stack up?") from None
