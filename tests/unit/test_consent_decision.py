"""The second decision only ever cuts: whatever is asked, whatever the consents, whatever the control states."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.allowed import Allowed
from policy.regimes import Rule
from schemas.events import Consent, DataCategory, HeldConsent
from services.consent.asked import ReleaseRequest
from services.consent.decision import Case, Outcome, decide, withheld

CATEGORIES: tuple[DataCategory, ...] = ("need", "identity", "household", "health")
RANK = {"withheld": 0, "closed": 1, "status": 2, "deidentified": 3, "permit": 4}
AT = 1_800_000_000_000
ENDED = "referral.consent_ended"


def held(number: int) -> HeldConsent:
    consent = Consent(
        id=f"consent-{number}",
        version=1,
        to=("shelter",),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        method="written",
        notice_version="1",
    )
    return HeldConsent(order=number, recorder="outreach", consent=consent)


def allowed(*categories: DataCategory, need: bool = True, denial: str | None = None, consent: int = 1) -> Allowed:
    grants: dict[DataCategory, HeldConsent] = {one: held(consent) for one in categories if one != "need"}
    withheld: dict[DataCategory, str] = {one: "no-consent" for one in CATEGORIES[1:] if one not in grants}
    return Allowed(Rule(), grants, withheld, need=need and denial is None, denial=denial)


def asked(**changes: Any) -> ReleaseRequest:
    shelter, outreach = {"organization": "shelter"}, {"organization": "outreach"}
    body: dict[str, Any] = {
        "decision_id": "0/1/shelter",
        "attempt": 1,
        "channel": "webhook",
        "event_type": "referral.requested",
        "client_id": "client",
        "referral_id": "referral",
        "originator": outreach,
        "publisher": outreach,
        "purpose": "shelter-placement",
        "recipients": [shelter],
        "recipient": shelter,
        "told": shelter,
        "verdict": "permit",
        "known_as": "referral",
        "status": "requested",
        "categories": CATEGORIES,
        "envelopes": [{"seq": 1, "suite": "x25519", "key_id": "k", "wrapped": "w", "categories": CATEGORIES}],
    }
    return ReleaseRequest.model_validate(body | changes)


def answer(
    request: ReleaseRequest,
    states: list[Allowed],
    before: frozenset[str],
    *,
    excluded: bool = False,
    in_error: bool = False,
) -> Outcome:
    return decide(request, Case(states, excluded, before, AT, in_error))


def status(**changes: Any) -> ReleaseRequest:
    return asked(
        **{"event_type": "referral.accepted", "verdict": "status", "categories": (), "envelopes": ()} | changes
    )


NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("request_", "states", "before", "verdict", "categories", "reason"),
    [
        (asked(), [allowed("identity")], NONE, "permit", {"need", "identity"}, "no-consent"),
        (asked(categories=["need", "identity"]), [allowed("identity")], NONE, "permit", {"need", "identity"}, None),
        (asked(), [allowed("identity"), allowed("health")], NONE, "deidentified", {"need"}, "no-consent"),
        (asked(), [allowed("identity"), allowed(denial="excluded")], NONE, "withheld", set(), "excluded"),
        (asked(), [allowed()], {"permit"}, "withheld", set(), "no-consent"),
        (asked(), [allowed()], {"deidentified", "withheld"}, "deidentified", {"need"}, "no-consent"),
        (asked(), [allowed(need=False)], NONE, "withheld", set(), "no-consent"),
        (asked(event_type="referral.updated"), [allowed()], NONE, "withheld", set(), "no-consent"),
        (asked(verdict="deidentified"), [allowed(*CATEGORIES)], NONE, "deidentified", {"need"}, "nothing-permitted"),
        (asked(ends={"identity": AT}), [allowed("identity")], NONE, "deidentified", {"need"}, "expired"),
        (asked(ends={"identity": AT + 1}), [allowed("identity")], NONE, "permit", {"need", "identity"}, "no-consent"),
        (
            asked(categories=["need", "identity", "health"], ends={"identity": AT - 1, "health": AT + 1}),
            [allowed("identity", "health")],
            NONE,
            "permit",
            {"need", "health"},
            "expired",
        ),
        (asked(envelopes=[]), [allowed(*CATEGORIES)], NONE, "withheld", set(), "nothing-permitted"),
        (status(status="accepted"), [allowed("identity")], NONE, "status", set(), None),
        (status(status="accepted"), [allowed()], NONE, "closed", set(), "no-consent"),
        (status(status="accepted", known_as="reference"), [allowed()], NONE, "status", set(), None),
        (status(event_type=ENDED), [allowed("identity")], {"permit"}, "status", set(), None),
        (status(event_type=ENDED), [allowed()], {"permit"}, "closed", set(), "no-consent"),
        (status(event_type=ENDED), [allowed()], {"deidentified"}, "withheld", set(), "not-known-to-recipient"),
        (status(event_type=ENDED), [allowed("identity")], NONE, "withheld", set(), "not-known-to-recipient"),
        (status(event_type=ENDED), [allowed("identity")], {"unsent"}, "withheld", set(), "not-known-to-recipient"),
        (status(event_type=ENDED), [allowed("identity")], {"unsent", "permit"}, "status", set(), None),
        (status(status="accepted"), [allowed("identity")], {"unsent"}, "status", set(), None),
        (asked(), [allowed()], {"unsent"}, "withheld", set(), "no-consent"),
        (
            status(status="accepted", known_as=None),
            [allowed("identity")],
            NONE,
            "withheld",
            set(),
            "not-known-to-recipient",
        ),
        (status(status="accepted"), [allowed(denial="excluded")], NONE, "withheld", set(), "excluded"),
        (status(status="accepted"), [allowed("identity"), allowed()], NONE, "closed", set(), "no-consent"),
        (status(status="closed"), [allowed("identity")], NONE, "closed", set(), None),
        (status(status="accepted"), [allowed("identity")], {"withheld"}, "withheld", set(), "not-known-to-recipient"),
        (status(status="accepted", told={"organization": "outreach"}), [allowed()], NONE, "status", set(), None),
        (
            status(status="accepted", told={"organization": "outreach"}),
            [allowed(need=False)],
            NONE,
            "closed",
            set(),
            "no-consent",
        ),
    ],
)
def test_the_second_decision(
    request_: ReleaseRequest,
    states: list[Allowed],
    before: set[str],
    verdict: str,
    categories: set[str],
    reason: str | None,
) -> None:
    outcome = answer(request_, states, frozenset(before))
    assert (outcome.verdict, set(outcome.categories), outcome.reason) == (verdict, categories, reason)
    silenced = answer(request_, states, frozenset(before), excluded=True)
    assert (silenced.verdict, silenced.reason) == ("withheld", "excluded"), "whoever is told, whatever is asked"
    in_error = answer(request_, states, frozenset(before), in_error=True)
    nothing_but_the_word = outcome if request_.verdict == "status" else withheld("entered-in-error")
    assert in_error == nothing_but_the_word


def test_a_release_rests_on_the_consents_of_what_it_gives() -> None:
    grants = {"identity": held(1), "household": held(2), "health": held(3)}
    state = Allowed(Rule(), grants, {}, need=True)  # type: ignore[arg-type]
    outcome = answer(asked(categories=["need", "identity", "household"]), [state], NONE)
    assert [(one.id, one.to, one.categories) for one in outcome.consents] == [
        ("consent-1", ("shelter",), ("identity",)),
        ("consent-2", ("shelter",), ("household",)),
    ]
    cut = answer(asked(categories=["need", "identity"]), [state], NONE)
    assert [one.id for one in cut.consents] == ["consent-1"]


def test_under_several_control_states_a_permit_rests_on_all_of_them_and_obliges_to_what_any_of_them_does() -> None:
    electronic = Allowed(Rule(), {"identity": held(2), "household": held(2)}, {}, need=True)
    written = Allowed(Rule(obligations=("42-cfr-2.32",)), {"identity": held(1), "household": held(2)}, {}, need=True)
    outcome = answer(asked(categories=["need", "identity", "household"]), [electronic, written], NONE)
    assert [(one.id, one.categories) for one in outcome.consents] == [
        ("consent-1", ("identity",)),
        ("consent-2", ("household", "identity")),
    ]
    assert outcome.obligations == ("42-cfr-2.32",)


def test_an_obligation_that_hangs_on_a_category_goes_with_it_alone() -> None:
    categories = ["need", "identity", "education"]
    sealed = [{"seq": 1, "suite": "x25519", "key_id": "k", "wrapped": "w", "categories": categories}]
    request = asked(categories=categories, envelopes=sealed)
    assert answer(request, [allowed("identity", "education")], NONE).obligations == ("34-cfr-99.33",)
    assert answer(request, [allowed("identity")], NONE).obligations == ()


some_categories = st.sets(st.sampled_from(CATEGORIES)).map(sorted)
states = st.lists(
    st.builds(
        lambda categories, need, denial: allowed(*([] if denial else categories), need=need, denial=denial),
        some_categories,
        st.booleans(),
        st.sampled_from([None, None, None, "excluded", "no-agreement"]),
    ),
    min_size=1,
    max_size=3,
)
requests = st.builds(
    lambda verdict, categories, enveloped, event_type, word, known_as: asked(
        verdict=verdict,
        categories=categories,
        envelopes=[{"seq": 1, "suite": "x", "key_id": "k", "wrapped": "w", "categories": enveloped}]
        if enveloped
        else [],
        event_type=event_type,
        status=word,
        known_as=known_as,
    ),
    st.sampled_from(["permit", "deidentified", "status"]),
    some_categories,
    some_categories,
    st.sampled_from(["referral.requested", "referral.updated", "referral.accepted"]),
    st.sampled_from(["requested", "accepted", "closed"]),
    st.sampled_from([None, "reference", "referral"]),
)
befores = st.frozensets(st.sampled_from(["permit", "unsent", "deidentified", "withheld"]))


@given(requests, states, befores)
def test_the_answer_is_never_more_than_what_was_asked_or_any_state_permits(
    request_: ReleaseRequest, states: list[Allowed], before: frozenset[str]
) -> None:
    outcome = answer(request_, states, before)
    assert RANK[outcome.verdict] <= RANK[request_.verdict]
    assert outcome.categories <= set(request_.categories)
    for state in states:
        assert outcome.categories <= state.categories
    if request_.verdict == "status":
        assert outcome.verdict in {"status", "closed", "withheld"}
        assert not outcome.categories
    if outcome.verdict == "permit":
        assert outcome.categories - {"need"}
        assert {category for one in outcome.consents for category in one.categories} == outcome.categories - {"need"}
    if outcome.verdict == "deidentified":
        assert outcome.categories == {"need"}
        assert not {"permit", "unsent"} & before


@given(requests, states, befores)
def test_another_control_state_never_permits_more(
    request_: ReleaseRequest, states: list[Allowed], before: frozenset[str]
) -> None:
    fewer, more = answer(request_, states, before), answer(request_, states[:1], before)
    assert RANK[fewer.verdict] <= RANK[more.verdict]
    assert fewer.categories <= more.categories
