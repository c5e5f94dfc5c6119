"""In which form a consent may be renewed: in none that permits less than the one whose place it takes."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from policy import consents
from policy.allowed import allowed_under
from policy.regimes import ANY_METHOD, Rule
from schemas.events import ConsentMethod
from services.consent import bodies, ending, model
from services.consent.model import Locked
from services.kit.problems import Problem

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
CLIENT = "client-0000000000000001"
PART_2: frozenset[ConsentMethod] = frozenset({"written", "electronic"})
WRITTEN: frozenset[ConsentMethod] = frozenset({"written"})
FORMS: dict[ConsentMethod, dict[str, Any]] = {
    "written": {"method": "written", "notice_version": "1", "signers": [{"role": "client", "on": "2026-09-01"}]},
    "electronic": {"method": "electronic", "notice_version": "1", "signers": [{"role": "client", "on": "2026-09-01"}]},
    "verbal": {"method": "verbal", "notice_version": "1"},
}


class Case(NamedTuple):
    """A renewal; `excluding` are those who excluded the shelter before the consent, `since` its time, in days."""

    what: str
    old: ConsentMethod
    new: ConsentMethod
    methods: frozenset[ConsentMethod] = ANY_METHOD
    excluding: tuple[str, ...] = ()
    ends: float = 30
    needed: str = ""


CASES = [
    Case("nothing asks for a signature", "written", "verbal"),
    Case("more than is needed", "verbal", "written"),
    Case("Part 2, spoken after written", "written", "verbal", PART_2, needed="electronic or written"),
    Case("Part 2, spoken after electronic", "electronic", "verbal", PART_2, needed="electronic or written"),
    Case("Part 2, what has expired too", "written", "verbal", PART_2, ends=-1, needed="electronic or written"),
    Case("Part 2, another signed form", "written", "electronic", PART_2),
    Case("Part 2, what never was enough for it", "verbal", "verbal", PART_2),
    Case("Part 2, enough from now on", "verbal", "electronic", PART_2),
    Case("written alone counts", "written", "electronic", WRITTEN, needed="written"),
    Case("written alone counts, and did not before", "electronic", "verbal", WRITTEN),
    Case("an exclusion is lifted", "written", "verbal", excluding=("outreach",), needed="electronic or written"),
    Case("an exclusion is lifted again", "written", "electronic", excluding=("outreach",)),
    Case("an exclusion is not lifted", "verbal", "verbal", excluding=("outreach",)),
    Case("another's exclusion is not lifted by it", "written", "verbal", excluding=("annex",)),
]


def recorded(client: Locked, body: bodies.NewConsent, id_: str, recorder: str = "outreach", version: int = 1) -> Locked:
    """The client once this is recorded."""
    change = model.consent_change(client, body, consent_id=id_, recorder=recorder, version=version)
    return Locked(CLIENT, change.consents.mark, change.consents, "registered", client.now)


def consent(method: ConsentMethod, **changes: Any) -> bodies.NewConsent:
    body = {"client_id": CLIENT, "decision": "permit", "to": ["shelter"], "form": FORMS[method]}
    body |= {"categories": ["identity"], "purposes": ["shelter-placement"]}
    return bodies.NewConsent.model_validate(body | changes)


def consenting(case: Case) -> Locked:
    """A client of whom the old version was recorded sixty days ago, as it is now."""
    client = Locked(CLIENT, 0, consents.NONE, "registered", NOW - timedelta(days=60))
    for number, who in enumerate(case.excluding):
        client = recorded(client, consent("verbal", decision="exclude"), f"exclusion-{number}", who)
    ends = NOW + timedelta(days=case.ends)
    client = recorded(client, consent(case.old, expires_at=ends.isoformat()), "consent-1")
    return Locked(CLIENT, client.last_order, client.consents, "registered", NOW)


def shown(client: Locked) -> bodies.Consent:
    grant = client.consents.grants[0]
    body = {name: getattr(grant.consent, name) for name in ("id", "version", "to", "categories", "purposes")}
    body |= {name: getattr(grant.consent, name) for name in ("valid_from", "expires_at")}
    body |= {"client_id": CLIENT, "decision": "permit", "state": "accepted", "recorded_by": "outreach"}
    body |= {"recorded_at": NOW, "accepted_at": NOW, "attested": False, "form": FORMS[grant.consent.method]}
    return bodies.Consent.model_validate(body | {"status": model.status("permit", grant, client.consents, NOW)})


def may_cross(client: Locked, case: Case, at: datetime) -> bool:
    """Whether the name does by the policy, under a rule that asks for these forms."""
    rule = Rule(recipient="shelter", discloser="outreach", purpose="shelter-placement", methods=case.methods)
    rule.terms["identity"] = "agreement"
    return allowed_under(rule, client.consents, model.milliseconds(at)).identifiable


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_a_renewal_takes_no_form_that_permits_less(case: Case) -> None:
    client = consenting(case)
    body = bodies.Renewal.model_validate({"expires_at": NOW + timedelta(days=90), "form": FORMS[case.new]})
    known = shown(client)
    renewed = recorded(client, ending.renewed(known, body), "consent-1", version=2)
    crossed, crosses = may_cross(client, case, NOW - timedelta(days=30)), may_cross(renewed, case, NOW)
    assert (crossed and not crosses) == bool(case.needed), "the case says what the policy does"
    if not case.needed:
        ending.check_renewable(client, known, body, case.methods)
        return
    with pytest.raises(Problem) as refused:
        ending.check_renewable(client, known, body, case.methods)
    (fault,) = refused.value.faults
    assert (fault.field, fault.detail.partition(":")[0]) == ("form.method", f"must be {case.needed}")
