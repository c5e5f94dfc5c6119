"""Renders what a release lets through, with its boxes opened, only to be sent: nothing of it is kept. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from policy.base64url import decode
from policy.reasons import OBLIGATIONS
from schemas.categories import segment
from schemas.disclosures import Basis
from schemas.events import ConsentEnded as PublicEnd
from schemas.events import DataCategory
from services.kit.sealing import BoxKey, SealError, open_box
from services.webhooks.custodian import Release
from services.webhooks.messages import CallBack, Consent, ConsentEnded, Deidentified, Identified, Message
from services.webhooks.told import CLOSED, CLOSED_TYPE, Told

Shared = dict[DataCategory, dict[str, Any]]

# What is an obligation only while a certain category is among what is shared.
OBLIGATION_OF: Final[Mapping[str, DataCategory]] = {"34-cfr-99.33": "education"}
# The custodian only cuts.
CUTS: Final = {
    "permit": frozenset({"permit", "deidentified"}),
    "deidentified": frozenset({"deidentified"}),
    "status": frozenset({"status", "closed"}),
}


class UnrenderableError(Exception):
    """The release does not fit the decision, or a box does not hold what it must; says nothing of the content."""


def message_type(told: Told, release: Release) -> str:
    """Give the type as which it arrives."""
    return CLOSED_TYPE if _is_closed(told, release) and CLOSED_TYPE in told.types else told.event.type


def render(told: Told, release: Release) -> Message:
    """Make the message that `release` lets through of what was decided; UnrenderableError."""
    if release.verdict not in CUTS[told.verdict]:
        raise UnrenderableError("wider than decided")
    shared = _shared(told, release)
    data = _deidentified(told, shared) if release.verdict == "deidentified" else _identified(told, release, shared)
    by_reference = isinstance(data, Deidentified) or data.referral_id is None
    timestamp = _to_the_minute(told.event.time) if by_reference else told.event.time
    return Message(type=message_type(told, release), timestamp=timestamp, data=data)


def to_json(message: Message) -> bytes:
    """Write a message: fields that were not given are left out."""
    return message.model_dump_json(exclude_unset=True).encode()


def _is_closed(told: Told, release: Release) -> bool:
    return release.verdict == "closed" or told.decision.status == CLOSED


def _to_the_minute(time: str) -> str:
    """Round down the time of a message that names its referral by `reference` alone.

    The events about a household's other members were published in the same moment, and may be told with client id and
    referral id: to the microsecond, both times together would prove that they are of one referral.
    """
    try:
        moment = datetime.fromisoformat(time).astimezone(UTC)
    except ValueError:
        raise UnrenderableError("a time that is none") from None
    return f"{moment:%Y-%m-%dT%H:%M}:00Z"


def _shared(told: Told, release: Release) -> Shared:
    """Open the boxes released, of each category decided one."""
    keys = {(key.seq, key.category): key.key for key in release.keys}
    opened: Shared = {}
    for envelope in told.envelopes:
        for category, box in envelope.boxes.items():
            if category in release.categories and category in told.decision.categories:
                opened[category] = _opened(told, envelope.seq, category, box, keys)
    if set(opened) != set(release.categories):
        raise UnrenderableError("a category without its box")
    return opened


def _opened(
    told: Told, seq: int, category: DataCategory, box: str, keys: Mapping[tuple[int, DataCategory], str]
) -> dict[str, Any]:
    data = told.event.data
    try:
        key = BoxKey(decode(keys[seq, category]))
        content = open_box(box, key, client_id=data.client_id, referral_id=data.referral.id, seq=seq, category=category)
        return segment(category, content)
    except (KeyError, ValueError, SealError, ValidationError):
        raise UnrenderableError("a box that does not open or does not hold its category") from None


def _deidentified(told: Told, shared: Shared) -> Deidentified:
    if set(shared) != {"need"} or told.decision.reference is None:
        raise UnrenderableError("not a de-identified referral")
    return Deidentified(
        verdict="deidentified",
        publisher=told.event.data.publisher.organization,
        purpose=told.event.data.purpose,
        reference=told.decision.reference,
        shared=shared,
        **_call_back(told),
    )


def _identified(told: Told, release: Release, shared: Shared) -> Identified:
    data = told.event.data
    is_permit = release.verdict == "permit"
    obligations = _obligations(told, release, shared)
    given: dict[str, Any] = dict(_names(told, release))
    if "referral_id" in given:  # whoever knows a reference alone is told neither whose project it is nor a precise time
        given["publisher_project"] = data.publisher.project
        given["occurred_at"] = None if _is_closed(told, release) else data.occurred_at
        given["consent_ended"] = _consent_ended(data.consent_ended)
    if data.respond_by is not None and not _is_closed(told, release):
        given["respond_by"] = data.respond_by if "referral_id" in given else _to_the_minute(data.respond_by)
    if is_permit:
        given |= {"client_id": data.client_id, "consent": _consents(release, shared), **_call_back(told)}
    return Identified(
        event_id=told.event.id,
        verdict="permit" if is_permit else "status",
        publisher=data.publisher.organization,
        purpose=data.purpose,
        referral_version=data.referral.version,
        status=CLOSED if _is_closed(told, release) else told.decision.status or data.referral.status,
        shared=shared,
        obligations=obligations,
        notices=[OBLIGATIONS[code] for code in obligations],
        **{name: value for name, value in given.items() if value is not None},
    )


def _names(told: Told, release: Release) -> dict[str, str | None]:
    """Name the referral: a permit by both names, a status by the one that both deciders know its hearer to know."""
    referral_id, reference = told.event.data.referral.id, told.decision.reference
    if release.verdict == "permit":
        return {"referral_id": referral_id, "reference": reference}
    if told.decision.known_as == "referral" == release.known_as:
        return {"referral_id": referral_id}
    if reference is None:
        raise UnrenderableError("no name for the referral")
    return {"reference": reference}


def _consent_ended(ended: PublicEnd | None) -> ConsentEnded | None:
    if ended is None:
        return None
    version = {} if ended.version is None else {"version": ended.version}
    return ConsentEnded(id=ended.id, reason=ended.reason, **version)


def _call_back(told: Told) -> dict[str, CallBack]:
    found = told.decision.call_back
    if found is None:
        return {}
    given = {"name": found.name, "phone": found.phone, "email": found.email, "languages": list(found.languages)}
    return {"call_back": CallBack.model_validate({name: value for name, value in given.items() if value})}


def _obligations(told: Told, release: Release, shared: Shared) -> list[str]:
    """What it obliged to when it was decided, as far as that is still shared, and what it obliges to now."""
    decided = {code for code in told.decision.obligations if OBLIGATION_OF.get(code, "need") in {"need", *shared}}
    obliging = decided | {*release.obligations}
    if not obliging <= OBLIGATIONS.keys():
        raise UnrenderableError("an obligation without words")
    return sorted(obliging)


def _consents(release: Release, shared: Shared) -> list[Consent]:
    """The consents that what is shared rests on at this moment, which need not be those of the decision on the log.

    Of each no more categories than are shared; together no fewer: nothing goes out without the consent it rests on.
    """
    if not set(shared) - {"need"} <= {category for each in release.relied_on for category in each.categories}:
        raise UnrenderableError("a category without its consent")
    return [_consent(each, shared) for each in release.relied_on]


def _consent(basis: Basis, shared: Shared) -> Consent:
    return Consent(
        id=basis.id,
        version=basis.version,
        discloser=basis.discloser,
        recorded_by=basis.recorded_by or basis.discloser,
        to=list(basis.to),
        categories=[category for category in basis.categories if category in shared],
        purposes=list(basis.purposes),
        signed_on=basis.signed_on,
        expires_at=basis.expires_at,
    )
