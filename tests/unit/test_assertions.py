"""A service's assertion proves one request to one service, once, for half a minute."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.kit.assertions import ASSERTION_SECONDS, AssertionVerifier, sign_assertion
from services.kit.auth import Principal, Scope, issue_access_token, verify_access_token
from services.kit.tokens import RefusedTokenError
from tests.support.callers import NOW, Community

COMMUNITY = Community()
KEY = COMMUNITY.private_keys["governance"]
PRINCIPAL = Principal("a-client", "harbor", frozenset({Scope.REFERRALS_READ}))
METHOD, TARGET, BODY = "POST", "/releases?dry=1", b'{"decision":"0/1/harbor"}'


def assertion(
    issuer: str = "webhooks", audience: str = "consent", key: Ed25519PrivateKey | None = None, now: float = NOW
) -> str:
    return sign_assertion(
        key or COMMUNITY.private_keys["webhooks"],
        issuer=issuer,
        audience=audience,
        method=METHOD,
        target=TARGET,
        body=BODY,
        now=now,
    )


def verify_assertion(
    text: str, method: str = METHOD, target: str = TARGET, body: bytes = BODY, now: float = NOW
) -> str:
    return AssertionVerifier("consent", COMMUNITY.public_keys).verify(text, method, target, body, now)


def test_an_assertion_names_the_service_that_sent_the_request() -> None:
    assert verify_assertion(assertion()) == "webhooks"
    assert verify_assertion(assertion(), now=NOW + ASSERTION_SECONDS - 1) == "webhooks"


def test_an_assertion_counts_once() -> None:
    verifier = AssertionVerifier("consent", COMMUNITY.public_keys)
    once = assertion()
    verifier.verify(once, METHOD, TARGET, BODY, NOW)
    with pytest.raises(RefusedTokenError, match="already used"):
        verifier.verify(once, METHOD, TARGET, BODY, NOW)
    assert verifier.verify(assertion(), METHOD, TARGET, BODY, NOW) == "webhooks"


def test_used_assertions_are_forgotten_only_when_expired() -> None:
    verifier = AssertionVerifier("consent", COMMUNITY.public_keys)
    for second in range(100):
        verifier.verify(assertion(now=NOW + second), METHOD, TARGET, BODY, NOW + second)
    assert len(verifier._used) == len(verifier._expiries) == ASSERTION_SECONDS


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"},
        {"method": "post"},
        {"target": "/releases"},
        {"target": "/releases?dry=0"},
        {"target": "/releases/settlements"},
        {"body": b""},
        {"body": b'{"decision":"0/1/harbor"} '},
        {"now": NOW - 6},
        {"now": NOW + ASSERTION_SECONDS},
    ],
)
def test_an_assertion_proves_no_other_request(other: dict[str, Any]) -> None:
    with pytest.raises(RefusedTokenError):
        verify_assertion(assertion(), **other)


@pytest.mark.parametrize(
    "made",
    [
        {"audience": "referrals"},
        {"issuer": "governance"},  # signed with the key of webhooks
        {"key": Ed25519PrivateKey.generate()},
    ],
)
def test_an_assertion_for_or_by_another_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(RefusedTokenError):
        verify_assertion(assertion(**made))


@given(position=st.integers(0, 10_000), replacement=st.characters(min_codepoint=1, max_codepoint=0x2FF))
def test_an_assertion_altered_in_any_character_is_refused(position: int, replacement: str) -> None:
    text = assertion()
    at = position % len(text)
    altered = text[:at] + replacement + text[at + 1 :]
    if altered != text:
        with pytest.raises(RefusedTokenError):
            verify_assertion(altered)


def test_a_token_is_no_assertion_and_an_assertion_no_token() -> None:
    with pytest.raises(RefusedTokenError):
        verify_assertion(issue_access_token(PRINCIPAL, KEY, NOW))
    with pytest.raises(RefusedTokenError):
        verify_access_token(assertion(key=KEY, issuer="governance"), KEY.public_key(), NOW)
