"""PostgreSQL as the local stack runs it: databases apart from each other, homes with long paths, refusals."""

import os
import stat
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from deploy.local.errors import LocalStackError
from deploy.local.postgres import LONGEST_SOCKET_PATH, MAXIMUM_CONNECTIONS, Postgres, _refuse_closed_parents
from deploy.local.supervisor import Supervisor
from tests.conftest import Databases


def test_a_database_admits_its_own_role_alone(postgres: Databases) -> None:
    consent, webhooks = (make_url(postgres.create_database(name)) for name in ("consent", "webhooks"))
    with _connected(consent.database, consent.username, consent.query["host"]) as connection:
        connection.execute("CREATE TABLE box (key bytea)")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        _connected(consent.database, webhooks.username, consent.query["host"])


def test_creating_a_database_again_changes_nothing(postgres: Databases) -> None:
    url = make_url(postgres.create_database("again"))
    with _connected(url.database, url.username, url.query["host"]) as connection:
        connection.execute("CREATE TABLE kept (row integer)")
    postgres.server.create_databases([str(url.database)])
    with _connected(url.database, url.username, url.query["host"]) as connection:
        assert connection.execute("SELECT * FROM kept").fetchall() == []


def test_every_pool_of_every_service_finds_connections(postgres: Databases) -> None:
    url = make_url(postgres.create_database("pools"))
    with _connected(url.database, url.username, url.query["host"]) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == (str(MAXIMUM_CONNECTIONS),)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


async def test_a_home_too_long_for_a_socket_gets_a_short_one_that_nobody_else_can_enter(stack_home: Path) -> None:
    home = stack_home / ("long" * 30)
    home.mkdir(parents=True)
    server = Postgres(home / "postgres", home / "postgres.log")
    assert len(os.fsencode(server.data)) > LONGEST_SOCKET_PATH
    async with Supervisor(home / "run", print) as supervisor:
        await supervisor.start(server.prepare())
        await server.ready()
        server.create_databases(["far"])
        url = make_url(server.url("far", "far"))
        with _connected(url.database, url.username, url.query["host"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        socket_folder = Path(str(url.query["host"]))
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    socket_folder.rmdir()


def test_a_socket_folder_of_somebody_else_is_refused(stack_home: Path) -> None:
    home = stack_home / ("long" * 30)
    home.mkdir(parents=True)
    server = Postgres(home / "postgres", home / "postgres.log")
    server.socket_folder.symlink_to(home)
    try:
        with pytest.raises(LocalStackError, match="belongs to somebody else"):
            server.prepare()
    finally:
        server.socket_folder.unlink()


def test_root_is_told_of_a_folder_that_the_servers_user_cannot_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.joinpath("home").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LocalStackError, match="never runs as root") as refusal:
        _refuse_closed_parents(closed / "home" / "postgres")
    assert str(closed) in str(refusal.value)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def _connected(database: object, role: object, host: object) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(dbname=str(database), user=str(role), host=str(host))
