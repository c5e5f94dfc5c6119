"""secrets.env: who can read it, what it holds, and that it is made once."""

import json
import stat
from pathlib import Path

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.secrets import ensure_secrets, secrets_path
from deploy.local.services import SERVICES
from policy import base64url
from services.kit import keys


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    assert stat.S_IMODE(secrets_path(tmp_path).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.env"]


def test_it_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    first = ensure_secrets(tmp_path)
    written = secrets_path(tmp_path).read_bytes()
    assert ensure_secrets(tmp_path) == first
    assert secrets_path(tmp_path).read_bytes() == written


def test_two_homes_share_nothing(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    one, two = (ensure_secrets(home) for home in homes)
    assert not set(one.values()) & set(two.values())


def test_its_keys_are_those_the_services_expect(tmp_path: Path) -> None:
    secrets = ensure_secrets(tmp_path)
    root = keys.decode_private(secrets["THRESHOLD_ROOT_KEY"]).public_key()
    assert secrets["THRESHOLD_ROOT_FINGERPRINT"] == keys.fingerprint(root)
    assert len(base64url.decode(secrets["THRESHOLD_KEY_ENCRYPTION_KEY"])) == keys.RAW_KEY_BYTES
    public_keys = json.loads(secrets["THRESHOLD_ASSERTION_PUBLIC_KEYS"])
    for service in SERVICES:
        own = keys.decode_private(secrets[f"THRESHOLD_{service.name.upper()}_ASSERTION_KEY"])
        assert public_keys[service.name] == keys.encode_public(own.public_key())


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    secrets_path(tmp_path).chmod(0o640)
    with pytest.raises(LocalStackError, match="others can read it: run `chmod 600"):
        ensure_secrets(tmp_path)


def test_a_file_that_lacks_a_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    kept = [line for line in secrets_path(tmp_path).read_text().splitlines() if "ROOT_KEY" not in line]
    secrets_path(tmp_path).write_text("\n".join(kept))
    with pytest.raises(LocalStackError, match="lacks THRESHOLD_ROOT_KEY:"):
        ensure_secrets(tmp_path)
    assert secrets_path(tmp_path).read_text() == "\n".join(kept)
