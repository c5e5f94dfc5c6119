"""What both deciders ask of the history of a referral, as a table."""

import pytest

from policy.allowed import Allowed
from policy.decide import CLOSED, release, status_word
from policy.regimes import Rule
from policy.state import BY_ID, BY_REFERENCE, STRANGER
from schemas.disclosures import Verdict
from schemas.events import DataCategory, HeldConsent
from tests.policy.said import held

GRANT: HeldConsent = held({"order": 1, "categories": ["identity"]})
NOTHING = Allowed(Rule(), {}, {})
NEED = Allowed(Rule(), {}, {}, need=True)
IDENTITY = Allowed(Rule(), {"identity": GRANT}, {}, need=True)


def denied(reason: str) -> Allowed:
    return Allowed(Rule(denial=reason), {}, {}, denial=reason)


@pytest.mark.parametrize(
    ("allowed", "known", "told_originator", "word"),
    [
        (IDENTITY, BY_ID, False, "accepted"),
        (IDENTITY, BY_REFERENCE, False, "accepted"),
        (IDENTITY, STRANGER, False, None),
        (NEED, BY_ID, False, CLOSED),
        (NEED, BY_REFERENCE, False, "accepted"),
        (NOTHING, BY_ID, False, CLOSED),
        (NOTHING, BY_REFERENCE, False, CLOSED),
        (denied("no-agreement"), BY_ID, False, CLOSED),
        (denied("excluded"), BY_ID, False, None),
        (denied("excluded"), BY_REFERENCE, False, None),
        (denied("client-in-doubt"), BY_ID, False, None),
        (denied("control-in-doubt"), BY_ID, False, None),
        (NEED, STRANGER, True, "accepted"),
        (NOTHING, BY_ID, True, CLOSED),
        (denied("excluded"), BY_ID, True, CLOSED),
        (denied("client-in-doubt"), BY_ID, True, None),
        (denied("control-in-doubt"), BY_ID, True, None),
    ],
)
def test_what_a_party_hears_of_a_status(allowed: Allowed, known: int, told_originator: bool, word: str | None) -> None:
    assert status_word(allowed, "accepted", known, told_originator) == word


@pytest.mark.parametrize(
    ("requested", "allowed", "boxed", "had_permit", "verdict", "categories"),
    [
        (True, IDENTITY, {"need", "identity"}, False, "permit", {"need", "identity"}),
        (False, IDENTITY, {"need", "identity"}, True, "permit", {"need", "identity"}),
        (False, IDENTITY, {"identity", "health"}, False, "permit", {"identity"}),
        (True, IDENTITY, {"need"}, False, "deidentified", {"need"}),
        (True, IDENTITY, {"need"}, True, "deny", set()),
        (False, IDENTITY, {"need"}, False, "deny", set()),
        (True, NEED, {"need", "identity"}, False, "deidentified", {"need"}),
        (True, NEED, {"identity"}, False, "deny", set()),
        (True, NOTHING, {"need", "identity"}, False, "deny", set()),
        (True, IDENTITY, set(), False, "deny", set()),
    ],
)
def test_what_of_its_boxes_an_event_releases(
    requested: bool,
    allowed: Allowed,
    boxed: set[DataCategory],
    had_permit: bool,
    verdict: Verdict,
    categories: set[DataCategory],
) -> None:
    assert release(requested, allowed, frozenset(boxed), had_permit) == (verdict, frozenset(categories))
