"""Brings a PostgreSQL in line: for each service that has one, its role with its password, and its database."""

from collections.abc import Mapping

import psycopg

from deploy.compose.secrets import DATABASES
from deploy.local.errors import LocalStackError
from deploy.local.postgres import create_database

URL = "THRESHOLD_POSTGRES_URL"


def apply(environment: Mapping[str, str]) -> None:
    """Do it as the superuser of THRESHOLD_POSTGRES_URL, each THRESHOLD_<SERVICE>_DATABASE_PASSWORD being the role's.

    Raises LocalStackError, naming what is missing of these, or that the server does not let us do it.
    """
    passwords = {name: f"THRESHOLD_{name.upper()}_DATABASE_PASSWORD" for name in DATABASES}
    if missing := [name for name in (URL, *passwords.values()) if not environment.get(name)]:
        raise LocalStackError(f"{', '.join(missing)} must be set (`threshold secrets --compose` writes them).")
    try:
        with psycopg.connect(environment[URL], autocommit=True) as connection:
            for name, password in passwords.items():
                create_database(connection, name, environment[password])
    except psycopg.Error as error:
        what = type(error).__name__  # its text may show the password
        raise LocalStackError(f"PostgreSQL did not do it ({what}): is it up, and the URL right?") from None
