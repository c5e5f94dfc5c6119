"""Moves referrals: by a party, by the clock, and again to their recipients when the client grants what was withheld."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.events import Party, ReferralStatus
from schemas.records import ConsentGranted
from services.kit import database
from services.kit.auth import Principal, Scope
from services.kit.database import Database
from services.kit.problems import Problem, invalid_body
from services.referrals import bodies, model, publishing, sealed, store
from services.referrals.intake import public_actor
from services.referrals.model import Role
from services.referrals.publishing import Published
from services.referrals.tables import Member, Referral, Step, View

AT_ONCE: Final = 100
UNDER_THE_HEADS_NAME: Final = "Moved only under the name by which the caller was told of the head of household."
_EXPLAINED: Final = frozenset({"declined", "cancelled", "failed", model.IN_ERROR})


class Unsettled(Problem):
    """A refusal that a word on its way may overturn: the caller knows no referral, or no head of one, by this name."""


async def transition(
    session: AsyncSession, caller: Principal, name: str, body: bodies.NewTransition
) -> bodies.ReferralStatusView:
    """Move a referral to its next status and say so on the log; Problem 404, 409."""
    _check_reason(body)
    view = await store.view(session, caller.own_organization(), name)
    referral = await _locked(session, view) if view else await _history(session, caller, name)
    role = Role.ORIGINATOR if referral.originator == caller.organization else Role.RECIPIENT
    try:
        model.check_transition(referral.status, body.to, role, lapsed=view is not None and view.sight.lapsed)
    except model.InvalidTransition as refused:
        raise Problem("invalid-transition", str(refused), field="to") from None
    if role is Role.RECIPIENT and await _is_overdue(session, referral):
        raise Problem("invalid-transition", "The time to answer is over: the referral expires.", field="to")
    await _move(session, referral, role, view, body)
    return bodies.ReferralStatusView.of(name, view.sight.shown if view else referral.status)


async def expire(database_of_ours: Database) -> None:
    """Expire the referrals that nobody answered by the time their originator gave."""
    async with database_of_ours.transaction() as session:
        overdue = await store.overdue(session, await database.now(session), AT_ONCE)
    for referral_id in overdue:
        async with database_of_ours.transaction() as session:
            referral = await store.locked(session, referral_id)
            if referral.status == "requested":
                await _move(session, referral, Role.CLOCK, None, None)


async def nudge(database_of_ours: Database) -> None:
    """Ask recipients again, once, that have not answered though the time to do so is nearly over."""
    async with database_of_ours.transaction() as session:
        due = await store.to_nudge(session, await database.now(session), AT_ONCE)
    for referral_id in due:
        async with database_of_ours.transaction() as session:
            referral = await store.locked(session, referral_id)
            if referral.status == "requested" and referral.nudged_at is None:
                head = await store.head(session, referral_id)
                publishing.count(referral, head)
                referral.nudged_at = await publishing.publish_nudge(session, referral, head)


async def follow(session: AsyncSession, event: ConsentGranted, partition: int) -> None:
    """Publish the stored envelopes of the client's open referrals again: what was withheld follows by itself.

    The boundary decides what of them may cross now; here nobody can open them.
    """
    for referral in await store.to_follow(session, event, partition):
        member = await store.member(session, referral.id, event.data.client_id)
        if member is None or event.data.order <= member.followed_order:
            continue
        member.followed_order = event.data.order
        if envelopes := sealed.read(member.sealed):
            publishing.count(referral, member)
            await publishing.publish_boxes(session, referral, member, envelopes, None)


async def _history(session: AsyncSession, caller: Principal, name: str) -> Referral:
    """What a recipient brings in from its own records, it may bring in whole: no decision tells it of history."""
    found = None
    if Scope.REFERRALS_BACKFILL in caller.scopes:
        found = await store.locked_history(session, name, caller.own_organization())
    if found is None:
        raise Unsettled("not-found")
    return found


async def _locked(session: AsyncSession, view: View) -> Referral:
    """Lock the referral and what its caller sees of it; Problem 409, 404."""
    if view.is_members:
        raise Unsettled("invalid-transition", UNDER_THE_HEADS_NAME, field="to")
    referral = await store.locked(session, view.referral_id)
    await store.lock_view(session, view)
    if view.sight.shown is None:  # the client excluded the caller meanwhile
        raise Problem("not-found")
    return referral


async def _is_overdue(session: AsyncSession, referral: Referral) -> bool:
    """Whether the clock is about to expire it: who answers in that moment is late all the same."""
    if referral.status != "requested" or referral.historical or referral.respond_by is None:
        return False
    return referral.respond_by <= await database.now(session)


def _check_reason(body: bodies.NewTransition) -> None:
    if body.reason_code is not None and body.to not in _EXPLAINED:
        raise invalid_body("reason_code", "is for declined, cancelled, failed and entered_in_error")
    if body.declined_by is not None and body.to != "declined":
        raise invalid_body("declined_by", "is for declined")


async def _move(
    session: AsyncSession, referral: Referral, role: Role, view: View | None, body: bodies.NewTransition | None
) -> None:
    to: ReferralStatus = body.to if body else "expired"
    head = await store.head(session, referral.id)
    publishing.count(referral, head)
    referral.status, referral.status_version = to, head.version
    published = await _publish(session, referral, head, role, body)
    if role is Role.CLOCK:
        await publishing.tell_originator(session, referral, published)
    if to == model.IN_ERROR and await store.members_can_be_told(session, referral, head):
        for member in await store.members(session, [referral.id]):
            if not member.head:
                publishing.count(referral, member)
                await _publish(session, referral, member, role, body)
    if role is not Role.RECIPIENT or referral.historical:
        # Of history nothing is decided for anybody; what a recipient did long ago its originator's records say too.
        own = await store.own_view(session, referral)
        own.see(own.sight.said_by_originator(to, head.version, published.at))
        session.add(Step(referral_id=referral.id, version=head.version, status=to, at=published.at, by=role.value))
    elif view is not None:
        view.see(view.sight.said(to, head.version))


async def _publish(
    session: AsyncSession, referral: Referral, member: Member, role: Role, body: bodies.NewTransition | None
) -> Published:
    return await publishing.publish_status(
        session,
        referral,
        member,
        _publisher(referral, role),
        actor=public_actor(body.actor) if body else None,
        reason_code=body.reason_code if body else None,
        declined_by=body.declined_by if body else None,
    )


def _publisher(referral: Referral, role: Role) -> Party:
    return referral.receiving_party if role is Role.RECIPIENT else referral.originating_party
