"""Puts a referral's events into the outbox; the caller holds the referral's row locked."""

import hashlib
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace
from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession

from policy import canonical
from policy.parse import TYPES
from schemas.events import (
    Actor,
    ConsentEnded,
    DeclinedBy,
    DeclineReason,
    Envelope,
    Party,
    Recipient,
    ReferralData,
    ReferralStatus,
)
from schemas.events import Referral as PublicReferral
from schemas.records import ReferralConsentEnded, ReferralRequested, ReferralRespondSoon, ReferralUpdated
from services.kit import outbox
from services.kit.database import driver
from services.kit.keys import random_id
from services.referrals import store
from services.referrals.tables import Member, Referral

TOPIC: Final = "client-events"
SOURCE: Final = "/referrals"
REQUESTED: Final[ReferralStatus] = "requested"


def rfc3339(instant: datetime) -> str:
    """Write an instant as the log does: UTC, to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def count(referral: Referral, member: Member) -> None:
    """Number the next event, which is about this member."""
    referral.version += 1
    member.version += 1


def public_data(referral: Referral, member: Member, publisher: Party, status: ReferralStatus) -> ReferralData:
    """What every event of a referral says outside the boxes; only the head of household's names the reference."""
    party = referral.receiving_party
    reference = referral.reference if member.head else None
    return ReferralData(
        client_id=member.client_id,
        publisher=publisher,
        recipients=(Recipient(organization=party.organization, project=party.project, reference=reference),),
        purpose=referral.purpose,
        referral=PublicReferral(
            id=referral.id, originator=referral.originating_party, version=member.version, status=status
        ),
        historical=referral.historical,
    )


async def publish_request(
    connection: AsyncConnection,
    referral: Referral,
    member: Member,
    envelopes: tuple[Envelope, ...],
    actor: Actor | None,
    *,
    notify: bool,
) -> None:
    """Publish the request, which is version 1, with a member's envelopes; `notify`: see `outbox.put_on`."""
    data = replace(
        public_data(referral, member, referral.originating_party, REQUESTED),
        actor=actor,
        call_back=referral.call_back,
        occurred_at=rfc3339(referral.occurred_at) if referral.occurred_at else None,
        sealed=envelopes,
    )
    await _put(connection, ReferralRequested, data, notify=notify)


async def publish_boxes(
    session: AsyncSession, referral: Referral, member: Member, envelopes: tuple[Envelope, ...], actor: Actor | None
) -> None:
    """Publish all of a member's envelopes again, as an update."""
    data = replace(
        public_data(referral, member, referral.originating_party, await _status_told(session, referral, member)),
        actor=actor,
        call_back=referral.call_back,
        sealed=envelopes,
    )
    await _put(await driver(session), ReferralUpdated, data)


async def publish_status(
    session: AsyncSession,
    referral: Referral,
    member: Member,
    publisher: Party,
    *,
    actor: Actor | None = None,
    reason_code: DeclineReason | None = None,
    declined_by: DeclinedBy | None = None,
) -> datetime:
    """Publish the referral's new status under a member's client id, the head's as a rule; return the event's time."""
    data = replace(
        public_data(referral, member, publisher, referral.status),
        actor=actor,
        reason_code=reason_code,
        declined_by=declined_by,
    )
    return await _put(await driver(session), _event_type(referral.status), data)


async def publish_nudge(session: AsyncSession, referral: Referral, head: Member) -> datetime:
    """Publish that the time to answer is nearly over, under the head of household's client id; return its time."""
    data = public_data(referral, head, referral.originating_party, referral.status)
    respond_by = rfc3339(referral.respond_by) if referral.respond_by else None
    return await _put(await driver(session), ReferralRespondSoon, replace(data, respond_by=respond_by))


def id_of_end(referral_id: str, ended: ConsentEnded) -> str:
    """The id of the event that says this of a referral, whenever it is said: so a copy is known to be one."""
    what = f"{referral_id} {ended.id} {ended.reason} {ended.version}"  # a consent is about one client alone
    return hashlib.sha256(what.encode()).hexdigest()[:32]


async def publish_end(session: AsyncSession, referral: Referral, member: Member, ended: ConsentEnded) -> None:
    """Publish, under a member's client id, that a consent ended under which something was disclosed about it."""
    status = await _status_told(session, referral, member)
    data = replace(public_data(referral, member, referral.originating_party, status), consent_ended=ended)
    await _put(await driver(session), ReferralConsentEnded, data, event_id=id_of_end(referral.id, ended))


async def _status_told(session: AsyncSession, referral: Referral, member: Member) -> ReferralStatus:
    """The status that an event names which may be about any member.

    A recipient that knows the head of household by reference alone must not find the status, which it may have made
    itself under that reference, with another member's name and the referral's id.
    """
    if member.head or referral.status == REQUESTED or await store.head_reached(session, referral):
        return referral.status
    return REQUESTED


def _event_type(status: ReferralStatus) -> type:
    return TYPES[f"referral.{status}"]


async def _put(
    connection: AsyncConnection,
    event_type: type,
    data: ReferralData,
    *,
    notify: bool = True,
    event_id: str | None = None,
) -> datetime:
    now = datetime.now(UTC)
    event = event_type(id=event_id or random_id(), source=SOURCE, time=rfc3339(now), specversion="1.0", data=data)
    await outbox.put_on(
        connection,
        topic=TOPIC,
        key=data.client_id.encode(),
        aggregate=f"{data.referral.id}/{data.client_id}",
        body=canonical.encode(event),
        notify=notify,
    )
    return now
