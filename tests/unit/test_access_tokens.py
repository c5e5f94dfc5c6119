"""Access tokens prove exactly what they say, for as long as they last, and nothing that was altered proves anything."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from policy import base64url
from services.kit import keys
from services.kit.auth import (
    ACCESS_TOKEN_SECONDS,
    Principal,
    Scope,
    issue_access_token,
    verify_access_token,
)
from services.kit.tokens import RefusedTokenError, key_id, public_jwk
from tests.support.callers import NOW, Community

# The forgeries here are made with joserfc's own registry, which warns of the name EdDSA.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")

COMMUNITY = Community()
KEY = COMMUNITY.private_keys["governance"]
PRINCIPAL = Principal("a-client", "harbor", frozenset({Scope.REFERRALS_READ, Scope.INBOX_READ}))


def test_a_token_gives_back_whom_it_was_issued_to() -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    assert verify_access_token(token, KEY.public_key(), NOW) == PRINCIPAL
    assert verify_access_token(token, KEY.public_key(), NOW + ACCESS_TOKEN_SECONDS - 1) == PRINCIPAL


def test_a_tests_token_says_so_and_another_ones_is_as_it_ever_was() -> None:
    trial = replace(PRINCIPAL, test=True)
    assert verify_access_token(issue_access_token(trial, KEY, NOW), KEY.public_key(), NOW) == trial
    claims = base64url.decode(issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1])
    assert b"test" not in claims, "a service from before takes it too"


def test_the_administrator_belongs_to_no_organization() -> None:
    admin = Principal("root-client", None, frozenset({Scope.ADMIN}))
    assert verify_access_token(issue_access_token(admin, KEY, NOW), KEY.public_key(), NOW) == admin


def test_a_token_that_counted_before_does_not_count_for_longer_nor_for_another_key() -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    assert verify_access_token(token, KEY.public_key(), NOW) == PRINCIPAL
    with pytest.raises(RefusedTokenError):
        verify_access_token(token, KEY.public_key(), NOW + ACCESS_TOKEN_SECONDS)
    with pytest.raises(RefusedTokenError):
        verify_access_token(token, keys.generate().public_key(), NOW)


@pytest.mark.parametrize("now", [NOW - 60, NOW + ACCESS_TOKEN_SECONDS, NOW + 10**9])
def test_a_token_counts_only_in_its_time(now: float) -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(issue_access_token(PRINCIPAL, KEY, NOW), KEY.public_key(), now)


@given(position=st.integers(0, 10_000), replacement=st.characters(min_codepoint=1, max_codepoint=0x2FF))
def test_a_token_altered_in_any_character_is_refused(position: int, replacement: str) -> None:
    token = issue_access_token(PRINCIPAL, KEY, NOW)
    at = position % len(token)
    altered = token[:at] + replacement + token[at + 1 :]
    if altered != token:
        with pytest.raises(RefusedTokenError):
            verify_access_token(altered, KEY.public_key(), NOW)


@given(st.text(max_size=300) | st.from_regex(r"[\w-]{0,60}(\.[\w-]{0,60}){0,4}", fullmatch=True))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(text, KEY.public_key(), NOW)


def segment(content: object) -> str:
    return base64url.encode(json.dumps(content).encode())


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64url.decode(token.split(".")[1]))
    return found


def header(**changes: object) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": "at+jwt", "kid": key_id(KEY.public_key()), **changes}


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 0])
def test_no_algorithm_is_not_an_algorithm(name: object) -> None:
    payload = issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1]
    for signature in ("", base64url.encode(bytes(64))):
        with pytest.raises(RefusedTokenError):
            verify_access_token(f"{segment(header(alg=name))}.{payload}.{signature}", KEY.public_key(), NOW)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_cannot_be_used_as_a_shared_secret(algorithm: str) -> None:
    public_key = KEY.public_key()
    payload = base64url.decode(issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1])
    spellings = [
        public_key.public_bytes_raw(),
        keys.encode_public(public_key).encode(),
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk(public_key)).encode(),
    ]
    for secret in spellings:
        key = OctKey.import_key(base64.urlsafe_b64encode(secret).rstrip(b"="))
        forged = jws.serialize_compact(header(alg=algorithm), payload, key, algorithms=[algorithm])
        with pytest.raises(RefusedTokenError):
            verify_access_token(forged, public_key, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "Ed25519"},
        {"typ": "assertion+jwt"},
        {"typ": "JWT"},
        {"kid": "another"},
        {"jku": "https://keys.test"},
        {"jwk": public_jwk(keys.generate().public_key())},
    ],
)
def test_a_rightly_signed_token_with_another_header_is_refused(change: dict[str, Any]) -> None:
    payload = base64url.decode(issue_access_token(PRINCIPAL, KEY, NOW).split(".")[1])
    signed = jws.serialize_compact(header(**change), payload, OKPKey.import_key(KEY), algorithms=["EdDSA", "Ed25519"])
    with pytest.raises(RefusedTokenError):
        verify_access_token(signed, KEY.public_key(), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "consent"},
        {"aud": "elsewhere"},
        {"exp": int(NOW) + ACCESS_TOKEN_SECONDS + 1},
        {"exp": str(int(NOW) + 60)},
        {"scope": "referrals:read everything"},
        {"sub": None},
        {"sub": 7},
        {"more": "claims"},
    ],
)
def test_a_rightly_signed_token_with_other_claims_is_refused(change: dict[str, Any]) -> None:
    claims = {**claims_of(issue_access_token(PRINCIPAL, KEY, NOW)), **change}
    signed = jws.serialize_compact(header(), json.dumps(claims), OKPKey.import_key(KEY), algorithms=["EdDSA"])
    with pytest.raises(RefusedTokenError):
        verify_access_token(signed, KEY.public_key(), NOW)


def test_another_key_proves_nothing() -> None:
    with pytest.raises(RefusedTokenError):
        verify_access_token(issue_access_token(PRINCIPAL, Ed25519PrivateKey.generate(), NOW), KEY.public_key(), NOW)
