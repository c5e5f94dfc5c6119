"""Sessions of the board's pages: what a cookie proves, for how long, and that a secret in it is never shown."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit import keys
from services.kit.attempts import MOST_NAMES, PER_ADDRESS, PER_CLIENT, WINDOW_SECONDS, Attempts
from services.kit.auth import Principal, Scope
from services.shelter_beds.board.session import LASTS_SECONDS, READABLE_SECONDS, VERIFIED_SECONDS, Seal, Session
from services.shelter_beds.board.sign_in import after

NOW = 1_800_000_000.0
SEAL = Seal.of(keys.generate())
PRINCIPAL = Principal("laptop", "street-outreach", frozenset({Scope.BEDS_READ, Scope.HOLDS_WRITE}))
SESSION = Session.begun(PRINCIPAL, "the-secret", NOW)


def test_a_cookie_gives_back_the_session_and_shows_nothing_of_it() -> None:
    cookie = SEAL.seal(SESSION)
    assert SEAL.open(cookie, NOW) == SESSION
    assert SESSION.principal == PRINCIPAL
    assert cookie != SEAL.seal(SESSION)
    assert "the-secret" not in cookie + repr(SESSION)
    assert SESSION.csrf not in repr(SESSION)
    assert len(SEAL.seal(Session.begun(replace(PRINCIPAL, scopes=frozenset(Scope)), "s" * 256, NOW))) < 2000


@given(position=st.integers(0, 10_000), replacement=st.characters(min_codepoint=33, max_codepoint=126))
def test_a_cookie_altered_in_any_character_opens_nothing(position: int, replacement: str) -> None:
    cookie = SEAL.seal(SESSION)
    at = position % len(cookie)
    altered = cookie[:at] + replacement + cookie[at + 1 :]
    if altered != cookie:
        assert SEAL.open(altered, NOW) is None


@given(st.text(max_size=200))
def test_no_other_text_is_a_cookie(text: str) -> None:
    assert SEAL.open(text, NOW) is None


def test_the_cookie_of_another_service_or_of_yesterday_opens_nothing() -> None:
    cookie = SEAL.seal(SESSION)
    assert Seal.of(keys.generate()).open(cookie, NOW) is None
    assert SEAL.open(cookie, NOW + LASTS_SECONDS - 1) == SESSION
    assert SEAL.open(cookie, NOW + LASTS_SECONDS) is None


def test_verifying_again_makes_no_session_longer() -> None:
    renewed = SESSION.renewed(replace(PRINCIPAL, scopes=frozenset({Scope.BEDS_READ})), NOW + 700)
    assert (renewed.scopes, renewed.issued_at, renewed.csrf) == ((Scope.BEDS_READ,), SESSION.issued_at, SESSION.csrf)
    assert SEAL.open(SEAL.seal(renewed), NOW + LASTS_SECONDS) is None


def test_a_session_is_a_tests_as_its_credential_is_though_its_cookie_is_from_before() -> None:
    trial = replace(PRINCIPAL, test=True)
    opened = SEAL.open(SEAL.seal(Session.begun(trial, "the-secret", NOW)), NOW)
    assert opened is not None
    assert opened.principal == trial
    assert SESSION.renewed(trial, NOW + 700).principal == trial


@pytest.mark.parametrize(
    ("seconds", "verified", "readable"),
    [
        (0, True, True),
        (VERIFIED_SECONDS - 1, True, True),
        (VERIFIED_SECONDS, False, True),
        (READABLE_SECONDS - 1, False, True),
        (READABLE_SECONDS, False, False),
    ],
)
def test_how_long_a_credential_counts_without_being_asked_for(seconds: int, verified: bool, readable: bool) -> None:
    assert (SESSION.is_verified(NOW + seconds), SESSION.is_readable(NOW + seconds)) == (verified, readable)


def test_attempts_are_counted_by_address_and_there_by_client() -> None:
    attempts = Attempts()
    assert [attempts.allow("a", "1.1.1.1", NOW) for _ in range(PER_CLIENT + 1)] == [True] * PER_CLIENT + [False]
    assert attempts.allow("b", "1.1.1.1", NOW)
    assert attempts.allow("a", "1.1.1.2", NOW), "its owner, who is elsewhere"
    for _ in range(2 * PER_ADDRESS):  # who succeeds does not count
        assert attempts.allow("c", "3.3.3.3", NOW)
        attempts.forgive("c", "3.3.3.3")
    assert attempts.allow("a", "1.1.1.1", NOW + WINDOW_SECONDS)
    allowed = [attempts.allow(f"c{number}", "2.2.2.2", NOW) for number in range(PER_ADDRESS + 1)]
    assert allowed == [True] * PER_ADDRESS + [False]


def test_no_address_keeps_others_from_signing_in() -> None:
    attempts = Attempts()
    allowed = sum(attempts.allow(f"{number}", "6.6.6.6", NOW) for number in range(MOST_NAMES + 1))
    assert (allowed, len(attempts)) == (PER_ADDRESS, 1 + PER_ADDRESS), "what is refused leaves no trace"
    assert attempts.allow("laptop", "1.1.1.1", NOW)
    flood = MOST_NAMES + 2
    assert all(attempts.allow(f"{number}", f"7.7.{number // 250}.{number % 250}", NOW) for number in range(flood))
    assert len(attempts) == MOST_NAMES
    assert attempts.allow("laptop", "1.1.1.1", NOW)


def test_a_client_id_is_counted_as_governance_is_asked_for_it() -> None:
    attempts = Attempts()
    tried = [attempts.allow(f"{' ' * number}a\t", "1.1.1.1", NOW) for number in range(PER_CLIENT + 1)]
    assert tried == [True] * PER_CLIENT + [False]


@pytest.mark.parametrize(
    "asked",
    ["//evil.example", "https://evil.example", "/board/../x", "/boardx", "/board//", "javascript:alert(1)", "",
     "/units", "/board\\evil", "/board?a=1\r\nSet-Cookie: x=y", "/board/"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(asked: str) -> None:
    assert after(asked) == "/board"


def test_signing_in_leads_back_to_the_page_that_was_asked_for() -> None:
    assert after("/board?household_type=with_children&open=true") == "/board?household_type=with_children&open=true"
