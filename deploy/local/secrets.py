"""The stack's secrets: made once, kept in one file that only its owner can read."""

import json
import stat
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from secrets import token_hex, token_urlsafe

from dotenv import dotenv_values

from deploy.local.errors import LocalStackError
from deploy.local.home import write_private
from deploy.local.services import SERVICES
from policy import base64url
from services.kit import keys


def ensure_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of a home by name, making `secrets.env` (0600) if there is none; never overwrite one.

    The file is in dotenv form; docker-compose reads the same names. Raises LocalStackError for a file that others can
    read or that lacks a name.
    """
    path = secrets_path(home)
    if not path.exists():
        write_secrets(path, generate_secrets())
    return read_secrets(path)


def secrets_path(home: Path) -> Path:
    """Return where the secrets of a home are."""
    return home / "secrets.env"


def write_secrets(path: Path, secrets: Mapping[str, str]) -> None:
    """Write a file (0600) in dotenv form; a value stands between single quotes, where nothing is expanded."""
    write_private(path, "".join(f"{name}='{value}'\n" for name, value in secrets.items()))


def read_secrets(path: Path, names: AbstractSet[str] | None = None) -> dict[str, str]:
    """Read and check a file that must hold `names`, those of a local stack if none are given.

    Raises LocalStackError as `ensure_secrets` does.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise LocalStackError(f"{path} holds secrets and others can read it: run `chmod 600 {path}`.")
    found = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
    missing = sorted((secret_names() if names is None else names) - found.keys())
    if missing:
        raise LocalStackError(f"{path} lacks {', '.join(missing)}: complete it, or move it away to get a new one.")
    return found


def secret_names() -> set[str]:
    """Return every name the file holds."""
    return set(generate_secrets())


def generate_secrets() -> dict[str, str]:
    """Make a complete set of new secrets, in the forms that services.kit.keys reads."""
    root, consent = keys.generate(), keys.generate()
    assertion_keys = {service.name: keys.generate() for service in SERVICES}
    public_keys = {name: keys.encode_public(key.public_key()) for name, key in assertion_keys.items()}
    return {
        "THRESHOLD_ADMIN_CLIENT_ID": token_hex(16),
        "THRESHOLD_ADMIN_CLIENT_SECRET": token_urlsafe(32),
        "THRESHOLD_ROOT_KEY": keys.encode_private(root),
        "THRESHOLD_ROOT_FINGERPRINT": keys.fingerprint(root.public_key()),
        "THRESHOLD_GOVERNANCE_SIGNING_KEY": keys.encode_private(keys.generate()),
        "THRESHOLD_CONSENT_SIGNING_KEY": keys.encode_private(consent),
        "THRESHOLD_CONSENT_PUBLIC_KEY": keys.encode_public(consent.public_key()),  # no secret: genesis names it
        "THRESHOLD_KEY_ENCRYPTION_KEY": base64url.encode(keys.generate_symmetric()),
        **{f"THRESHOLD_{name.upper()}_ASSERTION_KEY": keys.encode_private(key) for name, key in assertion_keys.items()},
        "THRESHOLD_ASSERTION_PUBLIC_KEYS": json.dumps(public_keys),
    }
