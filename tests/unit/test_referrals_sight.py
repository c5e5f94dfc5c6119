"""What each party sees after each kind of decision, and what is said to have crossed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from policy.reasons import DENIALS, WITHHELD
from schemas.events import DataCategory
from services.kit.sayable import SAYABLE, UNSAID, explained, sayable
from services.referrals.crossing import Crossing, Trouble, crossing
from services.referrals.sight import Sight

NOON, LATER = (datetime(2026, 11, 23, hour, tzinfo=UTC) for hour in (12, 13))
ONLY_WITH_REQUEST: dict[DataCategory, str] = {"need": "only-with-the-request", "identity": "no-consent"}


@dataclass
class Decided:
    """A row of decisions."""

    verdict: str | None
    categories: list[DataCategory] = field(default_factory=list)
    withheld: dict[DataCategory, str] = field(default_factory=dict)
    released_verdict: str | None = None
    released_categories: list[DataCategory] | None = None
    delivered_at: datetime | None = None
    stopped: str | None = None
    decided_at: datetime | None = NOON
    trouble: Trouble | None = None


def test_a_recipient_hears_the_newest_word_whatever_comes_late() -> None:
    seen = Sight("requested", 1).told("accepted", 3)
    assert seen.shown == "accepted"
    assert seen.told("requested", 2).shown == "accepted"


def test_closed_lasts_until_a_later_decision_permits_again() -> None:
    closed = Sight("accepted", 2).told("closed", 3)
    assert (closed.shown, closed.lapsed) == ("closed", True)
    assert closed.said("declined", 4).shown == "closed"
    assert closed.told("accepted", 5).shown == "accepted"


def test_what_a_recipient_did_itself_it_sees_at_once() -> None:
    assert Sight("requested", 1).said("accepted", 2).shown == "accepted"


def test_an_excluded_recipient_sees_nothing_until_it_is_permitted_again() -> None:
    hidden = Sight("accepted", 2).denied(("excluded",), {}, by_reference=False)
    assert hidden.shown is None
    assert hidden.told("accepted", 3).shown == "accepted"


@pytest.mark.parametrize(
    ("reasons", "withheld", "by_reference", "shown"),
    [
        (("nothing-permitted",), {"identity": "revoked"}, False, "closed"),
        (("nothing-permitted",), ONLY_WITH_REQUEST, False, "closed"),
        (("nothing-permitted",), ONLY_WITH_REQUEST, True, "requested"),
        (("no-agreement",), {"need": "no-agreement"}, True, "closed"),
        (("client-in-doubt",), {"need": "client-in-doubt"}, True, "closed"),
        (("not-known-to-recipient",), {}, False, "requested"),
        (("historical",), {}, False, "requested"),
    ],
)
def test_a_denial_closes_unless_the_permission_stands(
    reasons: tuple[str, ...], withheld: dict[DataCategory, str], by_reference: bool, shown: str
) -> None:
    assert Sight("requested", 1).denied(reasons, withheld, by_reference=by_reference).shown == shown


def test_an_originator_hears_closed_and_still_knows_what_it_does_itself() -> None:
    closed = Sight("requested", 1).told_originator("closed", 2, NOON)
    assert (closed.shown, closed.status_at) == ("closed", NOON)
    cancelled = closed.said_by_originator("cancelled", 3, LATER)
    assert (cancelled.shown, cancelled.status_at) == ("cancelled", LATER)
    assert cancelled.told_originator("closed", 2, NOON) == cancelled
    assert Sight("accepted", 2).told_originator("started", 3, LATER).status_at == LATER


def test_nothing_decided_is_nothing_sent() -> None:
    assert crossing([]) == crossing([Decided(None)]) == Crossing("not_sent", (), {}, None, None, "pending")


def test_what_crossed_once_stays_and_the_newest_denial_says_what_stays_behind() -> None:
    sent = Decided("permit", ["identity", "need"], {"health": "no-consent"}, delivered_at=NOON)
    denied = Decided("deny", [], {"identity": "revoked", "need": "only-with-the-request"})
    assert crossing([sent, denied]) == Crossing(
        "permit", ("identity", "need"), denied.withheld, NOON, NOON, "delivered"
    )


def test_the_custodian_may_cut_what_the_boundary_permitted() -> None:
    cut = Decided(
        "permit", ["identity", "need"], released_verdict="deidentified", released_categories=["need"], delivered_at=NOON
    )
    assert crossing([cut]) == Crossing("deidentified", ("need",), {"identity": UNSAID}, NOON, NOON, "delivered")


def test_what_the_custodian_stopped_was_not_sent() -> None:
    stopped = Decided("permit", ["identity"], {"health": "no-consent"}, stopped="revoked")
    withheld: dict[DataCategory, str] = {"health": "no-consent", "identity": "revoked"}
    assert crossing([stopped]) == Crossing("not_sent", (), withheld, None, NOON, "withheld")
    earlier = Decided("deidentified", ["need"], delivered_at=NOON)
    assert crossing([earlier, stopped]).verdict == "deidentified"


def test_one_endpoint_that_got_it_outweighs_one_that_did_not() -> None:
    assert crossing([Decided("permit", ["identity"], delivered_at=NOON, stopped="revoked")]).verdict == "permit"


def test_an_exclusion_at_another_desk_is_not_told_by_name() -> None:
    assert crossing([Decided("deny", [], {"need": "excluded"})]).withheld == {"need": UNSAID}


def test_every_word_said_is_a_reason_of_the_policy() -> None:
    assert set(DENIALS | WITHHELD) >= SAYABLE.keys()
    assert not SAYABLE.keys() & {"excluded", "client-in-doubt", "control-in-doubt"}


@pytest.mark.parametrize("reason", [*DENIALS, *WITHHELD, "does-not-open", UNSAID])
def test_each_reason_is_a_sentence_and_what_may_not_be_said_is_no_other_than_any_other_such(reason: str) -> None:
    """Nothing of another organization: not that the client is known there, nor what was said there."""
    sentence = explained(sayable(reason))
    assert (sentence == explained(UNSAID)) == (reason not in SAYABLE)
    assert explained(reason) == sentence
    assert sentence.endswith(".")
    assert len(sentence) < 100
    for telling in ("exclu", "doubt", "another", "desk", "elsewhere", "recorded by"):
        assert telling not in sentence.lower()


@pytest.mark.parametrize(
    ("decisions", "delivery", "begins"),
    [
        ([], "pending", "It is not decided yet"),
        ([Decided(None)], "pending", "It is not decided yet"),
        ([Decided("deny", [], {"need": "excluded"})], "withheld", "The recipient gets nothing"),
        ([Decided("permit", ["identity"], stopped="revoked")], "withheld", "The recipient gets nothing"),
        ([Decided("permit", ["identity"])], "pending", "The recipient may know who this is"),
        ([Decided("deidentified", ["need"])], "pending", "The recipient gets the need alone"),
        ([Decided("permit", ["identity"], trouble="failed")], "failed", "The recipient may know who this is"),
        ([Decided("permit", ["identity"], trouble="given_up")], "given_up", "The recipient may know who this is"),
        ([Decided("permit", ["identity"], trouble="failed", delivered_at=LATER)], "delivered", "The recipient may"),
        ([Decided("permit", ["identity"], trouble="failed", stopped="revoked")], "withheld", "The recipient gets noth"),
    ],
)
def test_how_the_delivery_fares_and_what_crossed_in_a_sentence(
    decisions: list[Decided], delivery: str, begins: str
) -> None:
    found = crossing(decisions)
    assert (found.delivery, found.explained.startswith(begins)) == (delivery, True)
