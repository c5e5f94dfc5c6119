"""Takes what an originator says: new referrals, and more to say about their clients."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.categories import Segments
from schemas.events import Actor as PublicActor
from schemas.events import DataCategory, Envelope, Party, ReferralData
from schemas.need import Need
from services.kit import direct
from services.kit.clients import ServiceClient
from services.kit.control import ControlView
from services.kit.direct import Transaction
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body
from services.kit.reader import DatabaseReader
from services.kit.relay import Relay
from services.referrals import bodies, directory, model, publishing, sealed, store
from services.referrals.sealed import ClientKey
from services.referrals.tables import Member, Referral

FIRST_SEQ: Final = 1


@dataclass(frozen=True)
class Desk:
    """What the service works with besides its tables."""

    consent: ServiceClient
    control: ControlView
    disclosures: DatabaseReader
    relay: Relay


def public_actor(actor: bodies.Actor | None) -> PublicActor | None:
    """The person behind the API client, as the log names one."""
    return None if actor is None else PublicActor(id=actor.id, role=actor.role)


async def request(
    transaction: Transaction, desk: Desk, organization: str, body: bodies.NewReferral
) -> bodies.ReferralStatusView:
    """Take a referral: check it, seal what it says, and publish one event for each member of the household.

    The caller wakes the relay once that is committed.
    """
    head = _head(body)
    originator = Party(organization=organization, project=body.publisher_project)
    recipient = Party(organization=body.to.organization, project=body.to.project)
    await directory.check(desk.control, originator, recipient, body.call_back)
    asked = (
        sealed.client_key(
            desk.consent, each.client_id, originator, recipient, body.purpose, f"members.{index}.client_id"
        )
        for index, each in enumerate(body.members)
    )
    keys = await asyncio.gather(*asked)
    for index, (each, key) in enumerate(zip(body.members, keys, strict=True)):
        sealed.check_sealable(key, _said(each.segments), f"members.{index}.segments")
    await _check_times(transaction, body)
    await _use(transaction, organization, body, keys)
    referral = _new_referral(organization, body)
    household: list[tuple[Member, tuple[Envelope, ...]]] = []
    for index, (each, key) in enumerate(zip(body.members, keys, strict=True)):
        is_head = each.client_id == head
        content = _said(each.segments) | (_need(body) if is_head else {})
        household.append(_sealed_member(referral, each.client_id, is_head, key, content, f"members.{index}.segments"))
    connection = await transaction.connection()  # only now: nobody waits while consent is asked
    await store.add(connection, referral, [member for member, _ in household])
    for member, envelopes in household:
        await publishing.publish_request(
            connection, referral, member, envelopes, public_actor(body.actor), notify=not desk.relay.leads
        )
    return bodies.ReferralStatusView(id=referral.id, status=referral.status)


async def add_segments(
    session: AsyncSession, desk: Desk, organization: str, referral_id: str, body: bodies.NewSegments
) -> bodies.ReferralStatusView:
    """Seal more about one client, and publish all of the client's envelopes again; Problem 404 for another's."""
    view = await store.view(session, organization, referral_id)
    if view is None or not view.is_originators:
        raise Problem("not-found")
    content = _said(body.segments)
    if not content:
        raise invalid_body("segments", "must hold at least one data category")
    referral = (await store.referrals(session, [referral_id]))[referral_id]
    member = await store.member(session, referral_id, body.client_id)
    if member is None:
        raise Problem("client-not-registered", "The client is not one of this referral's.", field="client_id")
    originator, recipient = referral.originating_party, referral.receiving_party
    key = await sealed.client_key(desk.consent, body.client_id, originator, recipient, referral.purpose, "client_id")
    sealed.check_sealable(key, content, "segments")
    referral = await store.locked(session, referral_id)  # only now: nobody waits while consent is asked
    await session.refresh(member)
    if referral.status not in model.OPEN:
        raise Problem("wrong-status", "The referral has ended.")
    await _publish_newer(session, referral, member, key, content, public_actor(body.actor))
    return bodies.ReferralStatusView.of(referral.id, view.sight.shown)


async def _publish_newer(
    session: AsyncSession,
    referral: Referral,
    member: Member,
    key: ClientKey,
    content: sealed.Content,
    actor: PublicActor | None,
) -> None:
    publishing.count(referral, member)
    newer = sealed.envelope(key, _circumstances(referral, member), content, member.next_seq)
    envelopes = sealed.with_newer(sealed.read(member.sealed), newer)
    member.sealed, member.next_seq = sealed.write(envelopes, "segments"), member.next_seq + 1
    await publishing.publish_boxes(session, referral, member, envelopes, actor)


def _head(body: bodies.NewReferral) -> str:
    for index, each in enumerate(body.members):
        said = _said(each.segments).get("household", {}).get("relationship_to_hoh", each.relationship_to_hoh)
        if said != each.relationship_to_hoh:
            field = f"members.{index}.segments.household.relationship_to_hoh"
            raise invalid_body(field, "must be the member's relationship_to_hoh")
    try:
        return model.head_of_household(
            [each.client_id for each in body.members], [each.relationship_to_hoh for each in body.members]
        )
    except model.NotAHousehold as fault:
        field = "members" if fault.index is None else f"members.{fault.index}.client_id"
        raise invalid_body(field, str(fault)) from None


async def _check_times(transaction: Transaction, body: bodies.NewReferral) -> None:
    if body.respond_by is None and body.occurred_at is None:
        return
    now = await direct.now(await transaction.connection())
    if body.respond_by is not None and not body.historical and body.respond_by <= now:
        raise invalid_body("respond_by", "must be in the future")
    if body.occurred_at is not None and body.occurred_at > now:
        raise invalid_body("occurred_at", "must not be in the future")


def _new_referral(organization: str, body: bodies.NewReferral) -> Referral:
    created_at = datetime.now(UTC)
    return Referral(
        id=random_id(),
        originator=organization,
        originator_project=body.publisher_project,
        recipient=body.to.organization,
        recipient_project=body.to.project,
        reference=random_id(),
        purpose=body.purpose,
        call_back=body.call_back,
        external_id=body.external_id,
        respond_by=body.respond_by,
        occurred_at=body.occurred_at,
        historical=body.historical,
        status="requested",
        version=1,
        status_version=1,
        created_at=created_at,
        nudge_at=None if body.historical else model.nudge_at(created_at, body.respond_by),
    )


async def _use(
    transaction: Transaction, organization: str, body: bodies.NewReferral, keys: Sequence[ClientKey]
) -> None:
    """A client of a victim service provider is another one in each referral: no two can be linked."""
    if not any(key.victim_service_provider for key in keys):
        return
    used = [each.client_id for each in body.members]
    fresh = await store.use_clients(await transaction.connection(), organization, used)
    for index, each in enumerate(body.members):
        if each.client_id not in fresh:
            raise Problem("client-already-used", field=f"members.{index}.client_id")


def _said(segments: Segments) -> dict[DataCategory, dict[str, Any]]:  # type: ignore[valid-type]  # as in bodies
    return segments.plain()  # type: ignore[attr-defined,no-any-return]


def _need(body: bodies.NewReferral) -> dict[DataCategory, dict[str, Any]]:
    return {"need": Need.model_validate({**body.need.model_dump(), "service": body.service}).plain()}


def _sealed_member(
    referral: Referral,
    client_id: str,
    is_head: bool,
    key: ClientKey,
    content: dict[DataCategory, dict[str, Any]],
    field: str,
) -> tuple[Member, tuple[Envelope, ...]]:
    row = Member(referral_id=referral.id, client_id=client_id, head=is_head, sealed=b"", next_seq=FIRST_SEQ)
    envelopes = (sealed.envelope(key, _circumstances(referral, row), content, FIRST_SEQ),) if content else ()
    row.sealed, row.next_seq = sealed.write(envelopes, field), FIRST_SEQ + len(envelopes)
    return row, envelopes


def _circumstances(referral: Referral, member: Member) -> ReferralData:
    return publishing.public_data(referral, member, referral.originating_party, referral.status)
