"""What consents and revocations are made of: which are refused, what is signed, what became of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from policy import canonical, consents
from policy.allowed import cuts, lapse, lifted
from policy.parse import parse
from schemas.events import Actor as PublicActor
from schemas.events import ClientConsents, ConsentData, HeldConsent, Party, Revocation, RevocationData
from schemas.events import Consent as ConsentRecord
from schemas.records import (
    ConsentAttested,
    ConsentEvent,
    ConsentExcluded,
    ConsentGranted,
    ConsentRefused,
    ConsentRevoked,
)
from services.consent import bodies
from services.kit.bodies import Actor
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE: Final = "/consent"
UNSIGNED: Final = "-"
"""What stands for the signature until the relay signs; the order is already the final one."""

CLOCK_ALLOWANCE: Final = timedelta(seconds=10)
"""A permission without `valid_from` counts at once: by the log's clock too, should it be a little behind ours."""

_EVENTS: Final[Mapping[bodies.Decision, type[consents.Dated]]] = {
    "permit": ConsentGranted,
    "refuse": ConsentRefused,
    "exclude": ConsentExcluded,
}
_SIGNING_ALONE: Final = frozenset({"client", "guardian"})
"""Who can sign a victim service provider's release: a parent or representative only beside the client.

34 U.S.C. 12291(b)(2)(B): a minor and a parent or guardian, a court-appointed guardian of who can't consent, and never
the abuser. Who is a minor, who a parent, and of whom anybody is afraid, only the desk that records it can know.
"""
_SIGNED_METHODS: Final = frozenset({"written", "electronic"})


@dataclass(frozen=True)
class Locked:
    """A client under its row's lock: what may cross, the last order, and the database's time after the lock."""

    client_id: str
    last_order: int
    consents: ClientConsents
    via: Literal["registered", "given"]
    now: datetime

    @property
    def next_order(self) -> int:
        """The order of the next record: increasing, whatever the clock does."""
        return max(self.last_order + 1, microseconds(self.now))


@dataclass(frozen=True)
class Change:
    """A record to be written: what it says, its event, the event's bytes, and the client's state after it."""

    record: ConsentRecord | Revocation
    event: ConsentEvent
    body: bytes
    consents: ClientConsents


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 (UTC)."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 (UTC), as the policy counts."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def check_consent(body: bodies.NewConsent, recorder: str) -> None:
    """Refuse, naming the field, what no state of the world could make acceptable."""
    if recorder in body.to:
        raise invalid_body(f"to.{body.to.index(recorder)}", "must be another organization than the one that discloses")
    if body.decision != "exclude":
        _check_named(body)
    if body.decision == "permit":
        _check_signature(body)
    else:
        _check_timeless(body)
    if body.attested:
        _check_attested(body)


def _check_named(body: bodies.NewConsent) -> None:
    if not body.categories:
        raise invalid_body("categories", "must name at least one category; none named is not all")
    if not body.purposes:
        raise invalid_body("purposes", "must name at least one purpose; none named is not all")


def _check_signature(body: bodies.NewConsent) -> None:
    if body.form.method in _SIGNED_METHODS and not body.form.signers:
        raise invalid_body("form.signers", "must say who signed, and when (42 CFR 2.31(a)(7) and (8))")


def _check_attested(body: bodies.NewConsent) -> None:
    if body.decision != "permit":
        raise invalid_body("attested", "is for permissions only: a refusal or exclusion needs nobody to rely on it")
    if body.form.method not in _SIGNED_METHODS:
        raise invalid_body("form.method", "must be written or electronic: others rely on a form that was signed")


def _check_timeless(body: bodies.NewConsent) -> None:
    for field in ("valid_from", "expires_at"):
        if getattr(body, field) is not None:
            raise invalid_body(field, "is for permissions only: a refusal or exclusion holds at once, until lifted")


def check_release(body: bodies.NewConsent) -> None:
    """Refuse a permission that no victim service provider may rely on (34 U.S.C. 12291(b)(2))."""
    if body.form.method != "written":
        raise invalid_body("form.method", "must be written: a victim service provider's release is never less")
    if body.expires_at is None:
        raise invalid_body("expires_at", "is needed: a victim service provider's release is limited in time")
    if not _SIGNING_ALONE & {signer.role for signer in body.form.signers}:
        detail = "must include the client, a minor together with a parent or guardian; or a guardian of who can't sign"
        raise invalid_body("form.signers", detail)


def consent_change(
    client: Locked, body: bodies.NewConsent, *, consent_id: str, recorder: str, version: int = 1
) -> Change:
    """What recording this version of a consent changes; Problem 422 for times that have passed."""
    valid_from = body.valid_from or (client.now - CLOCK_ALLOWANCE).replace(microsecond=0)
    if body.expires_at is not None and body.expires_at <= max(client.now, valid_from):
        raise invalid_body("expires_at", "must be in the future, and later than valid_from")
    if any(signer.on > (client.now + timedelta(days=1)).date() for signer in body.form.signers):
        raise invalid_body("form.signers", "must not be dated in the future")
    record = {
        **body.form.model_dump(exclude_none=True),
        "id": consent_id,
        "version": version,
        "to": sorted(set(body.to)),
        "categories": sorted(set(body.categories)),
        "purposes": sorted(set(body.purposes)),
        "valid_from": valid_from,
        "expires_at": body.expires_at,
    }
    consent = msgspec.convert(record, ConsentRecord, strict=False)
    data = ConsentData(**signed(client, body.actor, recorder), consent=consent)
    event = ConsentAttested if body.attested else _EVENTS[body.decision]
    event_id = consent_id if version == 1 else random_id()
    return recorded(client, consent, event(**context(event_id, client.now), data=data))


def revocation_change(
    client: Locked,
    revocation: Revocation,
    *,
    actor: Actor | None,
    desk: str,
    kind: type[ConsentRevoked] = ConsentRevoked,
) -> Change:
    """What recording this revocation changes."""
    data = RevocationData(**signed(client, actor, desk), revocation=revocation)
    return recorded(client, revocation, kind(**context(revocation.id, client.now), data=data))


def signed(client: Locked, actor: Actor | None, organization: str) -> dict[str, Any]:
    """What all of consent's records say, but the signature: the relay signs."""
    return {
        "order": client.next_order,
        "key_id": UNSIGNED,
        "signature": UNSIGNED,
        "client_id": client.client_id,
        "publisher": Party(organization=organization),
        "actor": None if actor is None else PublicActor(id=actor.id, role=actor.role),
    }


def context(event_id: str, now: datetime) -> dict[str, Any]:
    """CloudEvents' attributes. The event's id is that of the consent or revocation it makes; else one of its own."""
    return {"id": event_id, "source": SOURCE, "time": rfc3339(now), "specversion": "1.0"}


def recorded(client: Locked, record: ConsentRecord | Revocation, event: ConsentEvent) -> Change:
    """What this record changes."""
    body = canonical.encode(event)
    read = parse(body)  # what our tables say and what the log's readers make of the record is one thing
    if read != event:
        raise RuntimeError("a record that reads differently from what was meant")
    after = consents.apply(client.consents, event)
    if after is None:
        raise RuntimeError("an order that is not above the client's mark")
    return Change(record, event, body, after)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_revocation(body: bodies.NewRevocation, revocation_id: str, consent_id: str | None) -> Revocation:
    """Read what is to be revoked; `consent_id` is that of the consent whose address was used.

    Problem 422 for a scope that does not say of what, and for a recipient, category or consent beside another scope:
    who means less than all must not get all, nor who means all get less.
    """
    scope = body.scope or ("all" if consent_id is None else "consent")
    named: Mapping[str, str | None] = {
        "recipient": body.recipient,
        "category": body.category,
        "consent": body.consent_id or (consent_id if scope == "consent" else None),
    }
    for each, value in named.items():
        field = "consent_id" if each == "consent" else each
        if scope == each and value is None:
            raise invalid_body(field, f"is needed with the scope {scope}")
        if scope != each and value is not None:
            raise invalid_body(field, f"is for the scope {each} only")
    if consent_id is not None and named["consent"] not in (None, consent_id):
        raise invalid_body("consent_id", "must be the consent of this address, or left out")
    return Revocation(
        id=revocation_id,
        scope=scope,
        requested_by=body.requested_by,
        consent_id=named["consent"],
        recipient=body.recipient,
        category=body.category,
        reason_code=body.reason_code,
    )


def to_error(body: bodies.NewError, revocation_id: str, consent_id: str) -> Revocation:
    """Read which consent was entered in error."""
    return Revocation(
        id=revocation_id,
        scope="consent",
        requested_by=body.requested_by,
        consent_id=consent_id,
        reason_code=body.reason_code,
    )


def check_revocable(decision: str) -> None:
    """Only what was permitted can be revoked, or be in error: without a refusal more would cross; Problem 409."""
    if decision != "permit":
        raise Problem("not-a-grant")


def status(decision: bodies.Decision, held: HeldConsent, state: ClientConsents, now: datetime) -> bodies.Status:
    """What a consent does at `now`."""
    if decision == "permit":
        return _status_of_grant(held, state, now)
    if decision == "exclude" and all(lifted(held, one, state, milliseconds(now)) for one in held.consent.to):
        return "lifted"
    return "active"


def _status_of_grant(grant: HeldConsent, state: ClientConsents, now: datetime) -> bodies.Status:
    cut = [
        any(cuts(each, grant, recipient, category) for each in state.revocations)
        for recipient in grant.consent.to
        for category in grant.consent.categories
    ]
    if any(each.in_error and each.revocation.consent_id == grant.consent.id for each in state.revocations):
        return "entered-in-error"
    if all(cut):
        return "revoked"
    if not any(each.consent.id == grant.consent.id and each.order == grant.order for each in state.grants):
        return "lost"
    match lapse(grant, now):
        case "not-yet-valid":
            return "not-yet-valid"
        case None:
            return "active"
    return "expired"
