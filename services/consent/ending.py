"""The end of a consent in time, and its renewal: when something is to be said, what, and what may not be. Pure."""

from datetime import datetime, timedelta
from math import ceil
from typing import Final

from policy.allowed import LIFTING_METHODS, cuts, refused
from schemas.events import Consent as ConsentRecord
from schemas.events import ConsentData, ConsentMethod, HeldConsent
from schemas.notices import ConsentExpiring, EndingConsent
from schemas.records import ConsentExpired, ConsentGranted
from services.consent import bodies
from services.consent.model import Change, Locked, check_revocable, context, recorded, rfc3339, signed
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body

SAID_BEFORE: Final = (timedelta(days=14), timedelta(days=3))
"""How long before the end its recorder is told of it; of a shorter consent, what lies ahead."""


def due_at(consent: ConsentRecord, now: datetime) -> datetime | None:
    """When something is to be said next of a consent's end; None if nothing is any more."""
    if consent.expires_at is None:
        return None
    moments = (consent.expires_at - before for before in (*SAID_BEFORE, timedelta()))
    return next((moment for moment in moments if moment > now), None)


def notice(client: Locked, grant: HeldConsent) -> ConsentExpiring | None:
    """What its recorder is told of a consent's end; None if there is nothing to tell yet, or any more."""
    left = None if grant.consent.expires_at is None else grant.consent.expires_at - client.now
    if left is None or not timedelta() < left <= max(SAID_BEFORE):
        return None
    data = EndingConsent(
        consent_id=grant.consent.id,
        client_id=client.client_id,
        recorder=grant.recorder,
        to=grant.consent.to,
        expires_at=rfc3339(client.now + left),
        days_left=ceil(left / timedelta(days=1)),
    )
    return ConsentExpiring(**context(random_id(), client.now), data=data)


def first_due_at(change: Change, now: datetime) -> datetime | None:
    """The same of what is recorded now: only what is permitted ends in time."""
    return due_at(change.event.data.consent, now) if isinstance(change.event, ConsentGranted) else None


def expiry_change(client: Locked, grant: HeldConsent) -> Change:
    """What saying that a consent's time is over changes: nothing but the last order."""
    data = ConsentData(**signed(client, None, grant.recorder), consent=grant.consent)
    return recorded(client, grant.consent, ConsentExpired(**context(random_id(), client.now), data=data))


def renewed(known: bodies.Consent, body: bodies.Renewal) -> bodies.NewConsent:
    """The permission that a renewal says; Problem 409 if there was none."""
    check_revocable(known.decision)
    said = known.model_dump(include={"client_id", "decision", "to", "categories", "purposes", "attested"})
    return bodies.NewConsent(
        **said, valid_from=body.valid_from, expires_at=body.expires_at, form=body.form, actor=body.actor
    )


def of_the_renewal(refused: Problem, known: bodies.Consent) -> Problem:
    """The same as a renewal's answer: what its body has no field for stands in the consent itself; 409, in words."""
    fields = [fault.field.split(".") for fault in refused.faults]
    strange = [field for field in fields if field[0] not in bodies.Renewal.model_fields]
    match strange:
        case []:
            return refused
        case [["to", place], *_]:
            words = f"{known.to[int(place)]}, to whom the consent permits it, does not exist any more"
        case [["attested"], *_]:
            words = "The consent is attested, and your organization may not attest any more"
        case _:
            words = "Something of the consent is not acceptable any more"
    return Problem("not-renewable", f"{words}: record a new consent.")


def check_renewable(
    client: Locked, consent: bodies.Consent, body: bodies.Renewal, methods: frozenset[ConsentMethod]
) -> None:
    """Refuse to say again what the client has taken back since, or to end what is in force; Problem 409, 422.

    A later grant beats a refusal and lifts an exclusion: who renews means what was said, not what came after.
    `methods` are the forms that permit all of the recorder's data to cross.
    """
    if consent.status == "lost":
        raise Problem("not-renewable", "A later version of the consent was lost with a database; record a new consent.")
    grant = next((one for one in client.consents.grants if one.consent.id == consent.id), None)
    if grant is None or _is_narrowed(grant, client):
        raise Problem("not-renewable")
    if consent.status == "active" and body.valid_from is not None and body.valid_from > client.now:
        raise invalid_body(
            "valid_from", "must not be in the future: the consent is in force, and would not be until then"
        )
    _check_form(grant, client, body.form.method, methods)


def _check_form(grant: HeldConsent, client: Locked, method: ConsentMethod, methods: frozenset[ConsentMethod]) -> None:
    """Refuse a form that permits less than the one whose place it takes: at the desk the consent seems to go on."""
    counting: list[tuple[frozenset[str], str]] = [(methods, "some of your data crosses under nothing less")]
    if _lifts(grant, client):
        counting.append((LIFTING_METHODS, "the consent lifts an exclusion, which nothing less does"))
    for forms, why in counting:
        if grant.consent.method in forms and method not in forms:
            needed = " or ".join(sorted(forms))
            raise invalid_body(
                "form.method", f"must be {needed}: {why}; to permit less, revoke it and record a new one"
            )


def _lifts(grant: HeldConsent, client: Locked) -> bool:
    """Whether its recorder had excluded any of its recipients before."""
    return any(
        one.recorder == grant.recorder and one.order < grant.order and {*one.consent.to} & {*grant.consent.to}
        for one in client.consents.exclusions
    )


def _is_narrowed(grant: HeldConsent, client: Locked) -> bool:
    """Whether anything that a consent permits was revoked, refused, excluded or entered in error since."""
    consent, state = grant.consent, client.consents
    return any(
        any(recipient in one.consent.to and one.order > grant.order for one in state.exclusions)
        or any(cuts(each, grant, recipient, category) for each in state.revocations)
        or any(refused(grant, recipient, purpose, category, state) for purpose in consent.purposes)
        for recipient in consent.to
        for category in consent.categories
    )
