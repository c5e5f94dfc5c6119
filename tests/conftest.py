"""Fixtures for every test: the run's Kafka and PostgreSQL, and whole stacks of a test's own."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.postgres import Postgres
from tests.support.own_kafka import STANDING_KAFKA
from tests.support.ports import free_port_base
from tests.support.scheduling import StackSharing, scheduler
from tests.support.shared_stack import SharedStack, TestRun, shared_stack
from tests.support.stack import StackProcess, new_home

TEST_RUN = pytest.StashKey[TestRun]()


def pytest_configure(config: pytest.Config) -> None:
    # Workers of pytest-xdist find the run in their environment.
    if not hasattr(config, "workerinput"):
        config.stash[TEST_RUN] = TestRun()


def pytest_unconfigure(config: pytest.Config) -> None:
    STANDING_KAFKA.end()
    if TEST_RUN in config.stash:
        config.stash[TEST_RUN].end()


@pytest.hookimpl(optionalhook=True)  # without xdist there is nothing to schedule
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> StackSharing | None:
    return scheduler(config, log)


@dataclass(frozen=True)
class Databases:
    """The run's PostgreSQL, which gives every test a database of its own."""

    server: Postgres
    numbers: Iterator[int]

    def create_database(self, name: str) -> str:
        """Make a fresh, empty database, owned by a role of its own, and return its SQLAlchemy URL (psycopg driver)."""
        unique = f"{name}_{os.getpid()}_{next(self.numbers)}"
        self.server.create_databases([unique])
        return self.server.url(unique, unique)


@pytest.fixture(scope="session")
def shared() -> SharedStack:
    return shared_stack()


@pytest.fixture(scope="session")
def kafka(shared: SharedStack) -> str:
    """The bootstrap address of the run's Kafka. Topics are shared: name yours after your test."""
    return shared.kafka


@pytest.fixture(scope="session")
def postgres(shared: SharedStack) -> Databases:
    """The run's PostgreSQL: `postgres.create_database("consent")` returns the URL of a fresh database."""
    return Databases(shared.postgres, itertools.count())


@pytest.fixture
def stack_home() -> Iterator[Path]:
    """A path for the home of a stack of the test's own."""
    with new_home() as home:
        yield home


@pytest.fixture
def port_base() -> Iterator[int]:
    """A base whose ports nobody uses."""
    with free_port_base() as base:
        yield base


@pytest.fixture
def stack(stack_home: Path, port_base: int) -> Iterator[StackProcess]:
    """A whole stack that is not started yet: `stack.start()`."""
    process = StackProcess(stack_home, port_base)
    yield process
    process.end()
