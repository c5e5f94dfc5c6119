"""Logs of all sorts for the policy's properties: what a few organizations record about two clients."""

from collections.abc import Sequence
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

from policy.allowed import allowed_now
from schemas.events import Party, PurposeOfUse
from tests.policy.case_files import Step
from tests.policy.playing import CURRENT, Players
from tests.policy.said import instant
from tests.policy.scribe import CLIENTS, write
from tests.support.log import START, Log, Record

# The same examples in every run; what fails is printed so that it can be run again.
DETERMINISTIC = settings(derandomize=True, print_blob=True, database=None, deadline=None, max_examples=100)
SEARCHING = settings(DETERMINISTIC, max_examples=4000, phases=[Phase.generate])
PLAYERS = Players(CURRENT)

_PURPOSES: tuple[PurposeOfUse, ...] = ("shelter-placement", "care-coordination")
_DISCLOSERS = ("outreach", "haven", "clinic")
_RECIPIENTS = ("shelter", "refuge", "hub", "county")
_CATEGORIES = ("identity", "health", "documents", "education")
_TIMES = [int(instant(day).timestamp() * 1000) for day in ("2026-11-23", "2026-12-15")]


def _some(names: Sequence[str], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=least, max_size=3, unique=True)


def _step(verb: str, says: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    client = st.fixed_dictionaries({"client": st.sampled_from(["maria", "maria", "ben"])})
    return st.builds(Step, st.just(verb), says, client)


_CONSENT: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["one", "another"]),
    "version": st.integers(1, 2),
    "by": st.sampled_from(_DISCLOSERS),
    "to": _some(_RECIPIENTS, 1),
    "categories": _some(_CATEGORIES, 1),
    "purposes": _some(_PURPOSES, 1),
    "how": st.sampled_from(["written", "electronic", "verbal"]),
    "until": st.sampled_from(["never", "2026-12-01", "2027-01-01", "2026-10-01"]),
    "from": st.sampled_from(["2026-01-01", "2026-12-10"]),
}
_REVOCATION: dict[str, st.SearchStrategy[Any]] = {
    "scope": st.sampled_from(["all", "consent", "recipient", "category"]),
    "consent": st.sampled_from([None, "one", "another"]),
    "recipient": st.sampled_from([None, *_RECIPIENTS]),
    "category": st.sampled_from([None, *_CATEGORIES]),
}
_REFERRAL: dict[str, st.SearchStrategy[Any]] = {
    "by": st.sampled_from(_DISCLOSERS),
    "to": _some(_RECIPIENTS, 1),
    "purpose": st.sampled_from(_PURPOSES),
    "boxes": _some(["need", *_CATEGORIES]),
    "referral": st.sampled_from(["one", "two"]),
}
_ENDED = st.fixed_dictionaries({"id": _CONSENT["id"], "reason": st.sampled_from(["expired", "entered-in-error"])})
GRANTS = _step("grant", st.fixed_dictionaries(_CONSENT))
NARROWINGS = st.one_of(
    _step("refuse", st.fixed_dictionaries(_CONSENT)),
    _step("exclude", st.fixed_dictionaries(_CONSENT)),
    _step("revoke", st.fixed_dictionaries(_REVOCATION)),
    _step("in_error", st.fixed_dictionaries(_REVOCATION)),
    _step("in_error", st.fixed_dictionaries({"consent": _CONSENT["id"]})),
    _step("expire", st.fixed_dictionaries(_CONSENT)),
)
_RESTATEMENTS = _step(
    "restate",
    st.fixed_dictionaries(
        {"grants": st.lists(st.fixed_dictionaries({**_CONSENT, "order": st.integers(1, 50)}), max_size=2)}
    ),
)
_REFERRALS = st.one_of(
    _step("request", st.fixed_dictionaries(_REFERRAL)),
    _step("update", st.fixed_dictionaries(_REFERRAL)),
    _step("accepted", st.fixed_dictionaries({**_REFERRAL, "by": st.sampled_from(_RECIPIENTS), "boxes": st.just([])})),
    _step("cancelled", st.fixed_dictionaries({**_REFERRAL, "boxes": st.just([])})),
    _step("consent_ended", st.fixed_dictionaries({**_REFERRAL, "boxes": st.just([]), "ended": _ENDED})),
)
_NEXT = {"id": "next", "like": "sharing", "supersedes": "sharing"}
_ENDS: list[tuple[str, Any]] = [
    ("suspend", "sharing"),
    ("suspend", "housing"),
    *(("leave", {"organization": one}) for one in _DISCLOSERS[:2]),
]
_CONTROLS = st.one_of(
    st.builds(lambda end: Step(end[0], end[1], {}), st.sampled_from(_ENDS)),
    _step("agreement", st.sampled_from([{"id": "sharing"}, {"id": "sharing", "parties": ["haven", "shelter"]}, _NEXT])),
    _step("organization", st.sampled_from([{"id": "county", "kind": "provider"}, {"id": "county"}])),
    _step("organization", st.sampled_from([{"id": "outreach", "victim_service_provider": True}, {"id": "outreach"}])),
    _step("retire_key", st.just("consent")),
    _step("add_key", st.just({"id": "consent"})),
    _step("restate_control", st.just({})),
)
_NOISE = _step("text", st.sampled_from(["", "no event", '{"type":"consent.revoked"}', '{"type":"referral.lost"}']))
STEPS = st.one_of(GRANTS, GRANTS, NARROWINGS, _REFERRALS, _REFERRALS, _CONTROLS, _CONTROLS, _RESTATEMENTS, _NOISE)


def records(steps: Sequence[Step]) -> list[Record]:
    """The steps as records, after those of the community's beginning."""
    log = Log(now=START)
    return [write(log, step, number) for number, step in enumerate(steps, start=1)]


def permitted(state: Any) -> frozenset[tuple[object, ...]]:
    """All that may cross in this state: client, publisher, recipient, purpose, time, category."""
    return frozenset(
        (client, publisher, recipient, purpose, at, category)
        for client in CLIENTS.values()
        for publisher in _DISCLOSERS
        for recipient in _RECIPIENTS
        for purpose in _PURPOSES
        for at in _TIMES
        for category in allowed_now(
            state.consents_of(client),
            state.control,
            Party(organization=publisher),
            Party(organization=recipient),
            purpose,
            at,
        ).categories
    )


def outputs(fold: Any, those: Sequence[Record]) -> list[bytes]:
    """What a fold answers to these records."""
    return [fold.step(one.timestamp, one.key, one.headers, one.value) for one in those]
