"""What of an event crosses to one party: the rule, with the history of the referral."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from policy.allowed import EPOCH, Allowed, allowed_under, excluded
from policy.state import BY_ID, STRANGER, ClientState, ReferralState, Rules
from schemas.disclosures import Basis, Decision, Verdict
from schemas.events import DataCategory, HeldConsent, Party, Recipient
from schemas.records import BoxedEvent, ReferralEvents, ReferralRequested

CLOSED = "closed"
DOUBTS = frozenset({"client-in-doubt", "control-in-doubt"})


def release(
    requested: bool, allowed: Allowed, boxed: frozenset[DataCategory], had_permit: bool
) -> tuple[Verdict, frozenset[DataCategory]]:
    """Verdict and categories for an event that carries boxes; `requested` for referral.requested.

    A permit needs a permitted box besides the need. The need alone crosses only with the request, and only to a
    recipient that never had a permit for this referral: it could link the two.
    """
    crossing = allowed.categories & boxed
    if crossing - {"need"}:
        return "permit", crossing
    if crossing and requested and not had_permit:
        return "deidentified", crossing
    return "deny", frozenset()


def status_word(allowed: Allowed, status: str, known: int, told_originator: bool) -> str | None:
    """What a party that is told a lifecycle event hears: the status, only `closed`, or None for silence.

    The rule is that for originator → recipient, whoever is told. A recipient's permission has lapsed when what it once
    had (boxes, or the need) is permitted no more. In doubt nobody hears a `closed` that may be false.
    """
    if allowed.denial in DOUBTS:
        return None
    if told_originator:
        return status if allowed.categories else CLOSED
    if known == STRANGER or allowed.denial == "excluded":
        return None
    permitted = allowed.identifiable if known == BY_ID else allowed.need
    return status if permitted else CLOSED


class Case(Struct, frozen=True):
    """One event about to be decided: with the client's state, the rules in force and the time on the log."""

    event: ReferralEvents
    client: ClientState
    referral: ReferralState
    rules: Rules
    at: int


def decide(case: Case, position: int) -> Decision:
    """The decision for the referral's recipient at `position`; if a recipient published, for the originator."""
    event, data, referral, client = case.event, case.event.data, case.referral, case.client
    recipient, originator = data.recipients[position], data.referral.originator
    party, found = case.rules.rule(originator, recipient, data.purpose)
    from_recipient = data.publisher.organization != originator.organization
    told = originator if from_recipient else party
    if referral.historical:
        return _denied(told, recipient, "historical")
    if isinstance(event, BoxedEvent):
        boxed = _boxed(event)
        allowed = allowed_under(found, client.consents, case.at, boxed)
        return _release(case, recipient, told, boxed, allowed, referral.known[position])
    if excluded(client.consents, told.organization, case.at):
        return _denied(told, recipient, "excluded")
    allowed = allowed_under(found, client.consents, case.at)
    return _status(case, recipient, told, allowed, referral.known[position], from_recipient)


def _denied(
    told: Party, recipient: Recipient, reason: str, withheld: dict[DataCategory, str] | None = None
) -> Decision:
    return Decision(
        recipient=told, verdict="deny", reasons=(reason,), withheld=withheld or {}, reference=recipient.reference
    )


def _boxed(event: ReferralEvents) -> list[DataCategory]:
    categories: set[DataCategory] = set()
    for envelope in event.data.sealed:
        categories.update(envelope.boxes)
    return sorted(categories)


def _release(
    case: Case, recipient: Recipient, told: Party, boxed: list[DataCategory], allowed: Allowed, known: int
) -> Decision:
    requested = isinstance(case.event, ReferralRequested)
    verdict, categories = release(requested, allowed, frozenset(boxed), known == BY_ID)
    withheld = allowed.withheld
    if "need" in boxed and "need" not in categories:
        withheld = {**withheld, "need": _why_not_need(allowed)}
    if verdict == "deny":
        return _denied(told, recipient, allowed.denial or "nothing-permitted", withheld)
    data, permitted = case.event.data, verdict == "permit"
    return Decision(
        recipient=told,
        verdict=verdict,
        categories=tuple(sorted(categories)),
        withheld=withheld,
        reference=recipient.reference,
        known_as="referral" if permitted else "reference",
        status=data.referral.status if permitted else None,
        call_back=case.rules.call_back(data.referral.originator.organization, data.call_back),
        agreements=_agreements(allowed, categories),
        basis=basis(recipient.organization, allowed.grants),
        obligations=obligations(allowed, categories) if permitted else (),
        not_after=_not_after(allowed.grants),
    )


def _why_not_need(allowed: Allowed) -> str:
    return allowed.denial or ("only-with-the-request" if allowed.need else "no-term")


def _status(
    case: Case, recipient: Recipient, told: Party, allowed: Allowed, known: int, told_originator: bool
) -> Decision:
    word = status_word(allowed, case.event.data.referral.status, known, told_originator)
    if word is None:
        return _denied(told, recipient, allowed.denial or "not-known-to-recipient")
    return Decision(
        recipient=told,
        verdict="status",
        reference=recipient.reference,
        known_as="referral" if told_originator or known == BY_ID else "reference",
        status=word,
        agreements=_agreements(allowed, allowed.categories),
        not_after=_not_after(allowed.grants),
    )


def _agreements(allowed: Allowed, categories: frozenset[DataCategory]) -> tuple[str, ...]:
    found = {allowed.rule.terms[category] for category in allowed.grants}
    if "need" in categories and allowed.rule.deidentified:
        found.add(allowed.rule.deidentified)
    return tuple(sorted(found))


def obligations(allowed: Allowed, categories: frozenset[DataCategory]) -> tuple[str, ...]:
    """The codes of what a recipient must do with these categories."""
    education = ("34-cfr-99.33",) if "education" in categories else ()
    return tuple(sorted((*allowed.rule.obligations, *education)))


def _not_after(grants: dict[DataCategory, HeldConsent]) -> int | None:
    ends = [grant.consent.expires_at for grant in grants.values() if grant.consent.expires_at is not None]
    return (min(ends) - EPOCH) // timedelta(milliseconds=1) if ends else None


def basis(recipient: str, grants: dict[DataCategory, HeldConsent]) -> tuple[Basis, ...]:
    """The consents relied on; their other recipients and categories are none of this recipient's business."""
    if not grants:
        return ()
    by_id = {grant.consent.id: grant for grant in grants.values()}
    return tuple(
        _description(by_id[id_], recipient, tuple(sorted(c for c, g in grants.items() if g.consent.id == id_)))
        for id_ in sorted(by_id)
    )


def _description(grant: HeldConsent, recipient: str, categories: tuple[DataCategory, ...]) -> Basis:
    consent = grant.consent
    signed = max((signer.on for signer in consent.signers), default=None)
    return Basis(
        id=consent.id,
        version=consent.version,
        discloser=grant.recorder,
        to=(recipient,),
        categories=categories,
        purposes=consent.purposes,
        valid_from=_rfc3339(consent.valid_from),
        method=consent.method,
        signed_on=signed.isoformat() if signed else None,
        expires_at=_rfc3339(consent.expires_at) if consent.expires_at else None,
    )


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
