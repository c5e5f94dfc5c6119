"""What each reader may see of a decision and of its deliveries; pure."""

from collections.abc import Collection, Iterable
from typing import Any, Final, Protocol, TypeVar

from policy.reasons import ALL
from schemas.events import DataCategory
from services.audit import bodies
from services.audit.tables import Decision, Delivery
from services.kit.sayable import sayable

DELIVERED: Final = "delivered"
CLOSED: Final = "closed"
CLOSED_TYPE: Final = "referral.closed"
"""The type of an event of which only `closed` was told: its own would say more."""

CONSENT_ENDED: Final = "referral.consent_ended"
"""That of a consent's end is the same either way: what it says stands in its body."""

Row = TypeVar("Row", bound=bodies.Crossing)

_STRENGTH: Final = ("closed", "status", "deidentified", "permit")
# Within one attempt; what was delivered stays so, whatever a later attempt comes to.
_PROGRESS: Final = ("released", "started", "not_sent", "failed", "withheld", "given_up", DELIVERED)


class Told(Protocol):
    """What has been told of a decision by now."""

    told_verdict: str | None
    told_categories: list[DataCategory]


def tell(decision: Told, verdict: str, categories: Collection[DataCategory]) -> None:
    """Note that this much of a decision was delivered. It only grows: what was told is not unsaid."""
    if verdict not in _STRENGTH:
        return
    told = decision.told_verdict
    if told is None or _STRENGTH.index(verdict) > _STRENGTH.index(told):
        decision.told_verdict = verdict
    decision.told_categories = sorted({*decision.told_categories, *categories})


def seen_by_auditor(decision: Decision, pseudonym: str) -> bodies.Decision:
    """A decision without any name by which a party could find the person: of client, referral or event."""
    named = {"id": decision.id, "pseudonym": pseudonym} | _projects(decision)
    return bodies.Decision(**named, **_parties(decision), **_decided(decision), **_grounds(decision))


def seen_by(organization: str, decision: Decision, *, knows: bool) -> bodies.Decision:
    """An organization's own row: of the publisher, whole; of a recipient, what was delivered to it."""
    named = _names(organization, decision, knows=knows) | _parties(decision)
    if not knows:  # to the millisecond it would be the time of the household's other members, told with their ids
        named["at"] = decision.at.replace(second=0, microsecond=0)
    if decision.publisher == organization:
        return bodies.Decision(**named, **_decided(decision) | _said(decision), **_grounds(decision))
    return bodies.Decision(**named | _told(decision), categories=decision.told_categories)


def accounted_to(organization: str, decision: Decision, deliveries: Iterable[Delivery]) -> bodies.Disclosure:
    """A line of a client's accounting, for a party that knows the client."""
    named = _names(organization, decision, knows=True) | _parties(decision)
    told = decision.told_categories
    if decision.publisher != organization:
        arrived = [delivery for delivery in deliveries if delivery.state == DELIVERED]
        return bodies.Disclosure(**named | _told(decision), categories=told, deliveries=outcomes(arrived))
    return bodies.Disclosure(
        **named,
        **_grounds(decision),
        verdict=decision.verdict,
        status=decision.status,
        categories=told,
        permitted=decision.categories,
        deliveries=outcomes(deliveries),
    )


def flagged(row: Row, errors: list[bodies.InError]) -> Row:
    """The row, with what of it went out in error: it is as it was, and so is the log."""
    return row.model_copy(update={"entered_in_error": errors}) if errors else row


def outcomes(deliveries: Iterable[Delivery]) -> list[bodies.Outcome]:
    """Where each endpoint, and the inbox, stands."""
    furthest: dict[str, Delivery] = {}
    for delivery in deliveries:
        known = furthest.setdefault(delivery.endpoint, delivery)
        furthest[delivery.endpoint] = max(known, delivery, key=_progress)
    found = [bodies.Outcome.model_validate(one, from_attributes=True) for _, one in sorted(furthest.items())]
    # The policy's reasons only: what became of a request at its own endpoint anybody may hear.
    return [one.model_copy(update={"reason": sayable(one.reason)}) if one.reason in ALL else one for one in found]


def _progress(delivery: Delivery) -> tuple[bool, int, int]:
    return delivery.state == DELIVERED, delivery.attempt, _PROGRESS.index(delivery.state)


def _names(organization: str, decision: Decision, *, knows: bool) -> dict[str, Any]:
    """Whoever knows the referral by its reference alone learns no other name of it, nor whose project it is.

    Not the decision's id either: it holds the partition, which is a part of the client id's hash.
    """
    if knows:
        names = {name: getattr(decision, name) for name in ("id", "client_id", "event_id", "referral_id", "reference")}
        return names | _projects(decision)
    own = "publisher_project" if decision.publisher == organization else "recipient_project"
    return {"reference": decision.reference, own: getattr(decision, own)}


def _projects(decision: Decision) -> dict[str, Any]:
    return {"publisher_project": decision.publisher_project, "recipient_project": decision.recipient_project}


def _parties(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in ("at", "type", "publisher", "recipient", "purpose")}


def _decided(decision: Decision) -> dict[str, Any]:
    names = ("verdict", "status", "categories", "withheld", "reasons", "policy_version")
    return {name: getattr(decision, name) for name in names}


def _said(decision: Decision) -> dict[str, Any]:
    """Why, in words that do not tell the publisher what the client said at another desk."""
    return {
        "withheld": {category: sayable(reason) for category, reason in decision.withheld.items()},
        "reasons": [sayable(reason) for reason in decision.reasons],
    }


def _grounds(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in ("basis", "agreements", "obligations")}


def _told(decision: Decision) -> dict[str, Any]:
    """What a recipient was told, and of the consents no more than what it was told rests on."""
    if decision.told_verdict == CLOSED:
        shown = CONSENT_ENDED if decision.type == CONSENT_ENDED else CLOSED_TYPE
        return {"verdict": "status", "status": CLOSED, "type": shown}
    told = {"verdict": decision.told_verdict}
    if decision.told_verdict == "deidentified":
        return told
    cut = [basis | {"categories": _kept(basis, decision)} for basis in decision.basis]
    return told | {"status": decision.status, "basis": [basis for basis in cut if basis["categories"]]}


def _kept(basis: dict[str, Any], decision: Decision) -> list[str]:
    return [category for category in basis["categories"] if category in decision.told_categories]
