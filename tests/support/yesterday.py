"""A backup of a running service's database, and its restoration while the service is made to start anew on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from deploy.local.postgres import SUPERUSER, Postgres
from tests.support.stack import StackProcess


class Backup:
    """The database of one service of a stack as it is now."""

    def __init__(self, stack: StackProcess, service: str) -> None:
        self._stack = stack
        self._service = service
        settings = stack.settings
        self._postgres = Postgres(settings.home / "postgres", settings.logs / "postgres.log")
        with self._alone() as connection:
            stack.kill(service)  # it would answer 503 once for each of its connections
            self._run(connection, "CREATE DATABASE {backup} TEMPLATE {name} OWNER {name}")
        stack.wait_ready(service, deadline=120)

    def restore(self, *, declared: bool = False) -> str:
        """Put it back and let the service start on it; `declared`, by `threshold restored` before; what that said."""
        with self._alone() as connection:
            self._stack.kill(self._service)
            self._run(connection, "DROP DATABASE {name}")
            self._run(connection, "ALTER DATABASE {backup} RENAME TO {name}")
            told = self._declare() if declared else ""
        self._stack.wait_ready(self._service, deadline=120)
        return told

    def _declare(self) -> str:
        # As the superuser, since the service's own role has to stay out until this is done.
        url = self._postgres.url(self._service, SUPERUSER)
        command = [sys.executable, "-m", "services.cli", "restored", self._service]
        environment = {**os.environ, "THRESHOLD_DATABASE_URL": url}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def _alone(self) -> Iterator[psycopg.Connection[Any]]:
        """Keep the service out of its database while the block runs."""
        with psycopg.connect(self._postgres._superuser_connection(), autocommit=True) as connection:
            self._run(connection, "ALTER ROLE {name} NOLOGIN")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [self._service]
            )
            try:
                yield connection
            finally:
                self._run(connection, "ALTER ROLE {name} LOGIN")

    def _run(self, connection: psycopg.Connection[Any], statement: str) -> None:
        names = {"name": sql.Identifier(self._service), "backup": sql.Identifier(f"{self._service}_yesterday")}
        connection.execute(sql.SQL(statement).format(**names))
