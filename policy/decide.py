"""What of an event crosses to one party: the rule, with the history of the referral."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial

from msgspec import Struct
from msgspec.structs import replace

from policy.allowed import EPOCH, Allowed, allowed_under, excluded
from policy.consents import NONE
from policy.control import Control
from policy.regimes import Rule, rule
from policy.state import BY_ID, STRANGER, ReferralState
from schemas.disclosures import Basis, CallBack, Decision, Verdict
from schemas.events import ClientConsents, DataCategory, Envelope, HeldConsent, Party, PurposeOfUse
from schemas.records import BoxedEvent, ReferralEnteredInError, ReferralEvents, ReferralRequested

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


class Rules:
    """What follows from one control state alone, found once: control changes daily, events come by the thousand.

    `rule` is `regimes.rule` under this control state; `unconsented` is `_unconsented`. Both are bounded: a forged event
    can name whatever it likes.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self.rule = lru_cache(maxsize=4096)(partial(rule, control))
        self.unconsented = lru_cache(maxsize=2048)(partial(_unconsented, control, self.rule))

    def under(self, control: Control) -> "Rules":
        """Itself while control is the same, else new."""
        return self if control is self.control else Rules(control)


class Case(Struct, gc=False):
    """One event about to be decided: with what the client said, the rules in force and the time on the log."""

    event: ReferralEvents
    consents: ClientConsents
    referral: ReferralState
    rules: Rules
    at: int


def decide(case: Case, position: int) -> Decision:
    """The decision for the referral's recipient at `position`; if a recipient published, for the originator."""
    recipient = case.event.data.recipients[position]
    party = Party(organization=recipient.organization, project=recipient.project)
    return replace(_decided(case, party, case.referral.known[position]), reference=recipient.reference)


def _decided(case: Case, recipient: Party, known: int) -> Decision:
    event, data, rules = case.event, case.event.data, case.rules
    originator = data.referral.originator
    from_recipient = data.publisher.organization != originator.organization
    told = originator if from_recipient else recipient
    if case.referral.historical:
        return _denied(told, "historical")
    if isinstance(event, BoxedEvent):
        boxed, history = _boxed(data.sealed), (isinstance(event, ReferralRequested), known == BY_ID)
        if case.consents is NONE:
            asked = (originator, recipient, data.purpose, boxed, history, data.referral.status, data.call_back)
            return rules.unconsented(*asked)
        allowed = allowed_under(rules.rule(originator, recipient, data.purpose), case.consents, case.at, boxed)
        call_back = _call_back(rules.control, originator.organization, data.call_back)
        return _released(allowed, boxed, history, told, data.referral.status, call_back)
    if excluded(case.consents, told.organization, case.at):
        return _denied(told, "excluded")
    allowed = allowed_under(rules.rule(originator, recipient, data.purpose), case.consents, case.at)
    ended = data.consent_ended
    if ended is not None and known != BY_ID:  # only a permit told of anything under a consent
        known = STRANGER
    decided = _status(allowed, told, data.referral.status, known, from_recipient)
    in_error = isinstance(event, ReferralEnteredInError) or (ended is not None and ended.reason == "entered-in-error")
    return replace(decided, obligations=("withdraw-copy",)) if in_error and decided.verdict == "status" else decided


def _unconsented(
    control: Control,
    find: Callable[[Party, Party, PurposeOfUse], Rule],
    publisher: Party,
    recipient: Party,
    purpose: PurposeOfUse,
    boxed: tuple[DataCategory, ...],
    history: tuple[bool, bool],
    status: str,
    contact: str | None,
) -> Decision:
    """The decision about a client who never said anything: not a matter of time."""
    allowed = allowed_under(find(publisher, recipient, purpose), NONE, 0, boxed)
    call_back = _call_back(control, publisher.organization, contact)
    return _released(allowed, boxed, history, recipient, status, call_back)


def _call_back(control: Control, organization_id: str, contact_id: str | None) -> CallBack | None:
    """The registered contact of an organization, as it is registered now."""
    organization = control.organizations.get(organization_id)
    for contact in organization.contacts if organization else ():
        if contact.id == contact_id:
            return CallBack(name=contact.name, phone=contact.phone, email=contact.email, languages=contact.languages)
    return None


def _denied(told: Party, reason: str, withheld: dict[DataCategory, str] | None = None) -> Decision:
    return Decision(recipient=told, verdict="deny", reasons=(reason,), withheld=withheld or {})


def _boxed(sealed: tuple[Envelope, ...]) -> tuple[DataCategory, ...]:
    if len(sealed) == 1:
        return tuple(sealed[0].boxes)  # canonical, so in order
    return tuple(sorted({category for envelope in sealed for category in envelope.boxes}))


def _released(
    allowed: Allowed,
    boxed: tuple[DataCategory, ...],
    history: tuple[bool, bool],
    told: Party,
    status: str,
    call_back: CallBack | None,
) -> Decision:
    """`history`: whether this is the request, and whether the recipient had a permit of this referral."""
    requested, had_permit = history
    verdict, categories = release(requested, allowed, frozenset(boxed), had_permit)
    withheld, permitted = allowed.withheld, verdict == "permit"
    if "need" in boxed and "need" not in categories:
        withheld = {**withheld, "need": _why_not_need(allowed)}
    if verdict == "deny":
        return _denied(told, allowed.denial or "nothing-permitted", withheld)
    return Decision(
        recipient=told,
        verdict=verdict,
        categories=tuple(sorted(categories)),
        withheld=withheld,
        known_as="referral" if permitted else "reference",
        status=status if permitted else None,
        call_back=call_back,
        agreements=_agreements(allowed, categories),
        basis=basis(told.organization, allowed.rule.discloser, allowed.grants),
        obligations=obligations(allowed, categories) if permitted else (),
        not_after=_not_after(allowed.grants),
    )


def _why_not_need(allowed: Allowed) -> str:
    return allowed.denial or ("only-with-the-request" if allowed.need else "no-term")


def _status(allowed: Allowed, told: Party, status: str, known: int, told_originator: bool) -> Decision:
    word = status_word(allowed, status, known, told_originator)
    if word is None:
        return _denied(told, allowed.denial or "not-known-to-recipient")
    return Decision(
        recipient=told,
        verdict="status",
        known_as="referral" if told_originator or known == BY_ID else "reference",
        status=word,
        agreements=_agreements(allowed, allowed.categories),
        not_after=_not_after(allowed.grants),
    )


def _agreements(allowed: Allowed, categories: frozenset[DataCategory]) -> tuple[str, ...]:
    found = {allowed.rule.agreement(grant.recorder, category) for category, grant in allowed.grants.items()}
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


def basis(recipient: str, discloser: str, grants: dict[DataCategory, HeldConsent]) -> tuple[Basis, ...]:
    """The consents relied on; their other recipients and categories are none of this recipient's business."""
    if not grants:
        return ()
    by_id = {grant.consent.id: grant for grant in grants.values()}
    return tuple(
        _description(by_id[id_], recipient, discloser, sorted(c for c, g in grants.items() if g.consent.id == id_))
        for id_ in sorted(by_id)
    )


def _description(grant: HeldConsent, recipient: str, discloser: str, categories: list[DataCategory]) -> Basis:
    consent = grant.consent
    signed = max((signer.on for signer in consent.signers), default=None)
    return Basis(
        id=consent.id,
        version=consent.version,
        discloser=discloser,
        to=(recipient,),
        categories=tuple(categories),
        purposes=consent.purposes,
        valid_from=_rfc3339(consent.valid_from),
        method=consent.method,
        signed_on=signed.isoformat() if signed else None,
        expires_at=_rfc3339(consent.expires_at) if consent.expires_at else None,
        recorded_by=grant.recorder if grant.recorder != discloser else None,
    )


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
