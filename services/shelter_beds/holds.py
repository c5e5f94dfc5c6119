"""Takes beds for whoever asks, and gives them back: one transaction, one bed, one holder."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.beds import (
    HoldCheckedIn,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    HoldRequested,
    ReleaseReason,
)
from services.kit.auth import Principal
from services.kit.bodies import Writing
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body
from services.shelter_beds import bodies, door_codes, saying, store
from services.shelter_beds.desk import Author, Desk
from services.shelter_beds.model import LIVE
from services.shelter_beds.tables import Hold


async def place(session: AsyncSession, caller: Principal, body: bodies.NewHold) -> bodies.HoldView:
    """Take free beds of a unit: held at once, or while its shelter is asked.

    Problem 404; 409 `no-free-bed`, `holds-not-taken`, `too-many-holds`; 422 for more minutes than the unit gives.
    """
    takeable = await store.takeable(session, body.unit_id)
    if takeable is None:
        raise Problem("not-found")
    if takeable < body.beds:  # whoever comes too late does not wait for those who may be taking the last one
        raise Problem("no-free-bed")
    holder = caller.own_organization()
    desk = await Desk.open(session, body.unit_id, Author.of(caller, body.actor))
    live = await store.live_holds(session, body.unit_id)
    _check_policy(desk, body, sum(hold.holder == holder for hold in live))
    free = [bed for bed in desk.beds if bed.status == "free"][: body.beds]
    if len(free) < body.beds or not desk.is_open:
        raise Problem("no-free-bed")
    at_once = desk.profile.hold_policy == "instant"
    hold = Hold(
        id=random_id(),
        unit_id=desk.unit.id,
        organization=desk.unit.organization,
        holder=holder,
        bed_ids=[bed.id for bed in free],
        door_code=door_codes.new({each.door_code for each in live}),
        referral_id=body.referral_id,
        minutes=body.minutes,
        state="placed" if at_once else "requested",
        created_at=desk.now,
        expires_at=desk.now + timedelta(minutes=body.minutes),
    )
    session.add(hold)
    await session.flush()
    for bed in free:
        bed.status, bed.hold_id = "held", hold.id
    await saying.hold(session, HoldPlaced if at_once else HoldRequested, hold, free, desk.now)
    await desk.close()
    return view(hold, holder)


async def answer(session: AsyncSession, caller: Principal, hold_id: str, body: bodies.HoldAnswer) -> bodies.HoldView:
    """Say yes to a hold that was asked for, or no, as its shelter; Problem 404, 409 `hold-ended`."""
    desk, hold = await _at_the_desk(session, caller, hold_id, body)
    if hold.state != "requested":
        raise Problem("hold-ended", "The hold was answered before.")
    if body.accept:
        hold.state = "placed"
        # The time begins anew with the answer: whoever waited for it must still have time to come.
        hold.expires_at = desk.now + timedelta(minutes=hold.minutes)
        await saying.hold(session, HoldPlaced, hold, desk.beds_of(hold), desk.now)
        desk.note("confirmed", hold_id=hold.id)
        await desk.close()
        return view(hold, caller.organization)
    return await _release(desk, hold, "refused", caller)


async def extend(session: AsyncSession, caller: Principal, hold_id: str) -> bodies.HoldView:
    """Let a hold last once more as long from now, as its holder; Problem 404, 409 `hold-ended`, `already-extended`."""
    desk, hold = await _own(session, caller, hold_id)
    if hold.state != "placed":
        raise Problem("hold-ended", "The shelter has not answered yet.")
    if hold.extended:
        raise Problem("already-extended")
    hold.extended, hold.expires_at = True, desk.now + timedelta(minutes=hold.minutes)
    await saying.hold(session, HoldExtended, hold, desk.beds_of(hold), desk.now)
    await desk.close()
    return view(hold, caller.organization)


async def refer(session: AsyncSession, caller: Principal, hold_id: str, referral_id: str) -> bodies.HoldView:
    """Say, once, which of its holder's referrals a live hold is for; Problem 404, 409 `hold-ended`, `already-referred`.

    Nothing of it is said on the log: no referral is named there.
    """
    desk, hold = await _own(session, caller, hold_id)
    if hold.referral_id not in {None, referral_id}:
        raise Problem("already-referred")
    hold.referral_id = referral_id
    await desk.close()
    return view(hold, caller.organization)


async def check_in(session: AsyncSession, caller: Principal, hold_id: str, body: bodies.CheckIn) -> bodies.HoldView:
    """Turn a hold into taken beds, as its shelter; Problem 404, 409 `hold-ended`, 422 for another door code."""
    desk, hold = await _at_the_desk(session, caller, hold_id, body)
    if hold.door_code != body.door_code:
        raise Problem("wrong-door-code", field="door_code")
    await desk.end(hold, "checked_in", HoldCheckedIn)
    desk.note("checked in", hold_id=hold.id)
    await desk.close()
    return view(hold, caller.organization)


async def let_go(session: AsyncSession, caller: Principal, hold_id: str) -> bodies.HoldView:
    """End a hold, as its holder or its shelter; Problem 404, 409 `hold-ended`."""
    hold = await store.hold(session, hold_id)
    desk = await _opened(session, caller, hold, None)
    is_holders = hold.holder == caller.organization
    if not is_holders:
        desk.check_may_act(caller)
    _check_live(hold)
    return await _release(desk, hold, "cancelled" if is_holders else "refused", caller)


async def release_of(session: AsyncSession, referral_id: str, holder: str, reason: ReleaseReason) -> None:
    """End an organization's holds for a referral of its own that came to nothing."""
    for unit_id in await store.units_held_for(session, referral_id, holder):
        desk = await Desk.open(session, unit_id, Author())
        for hold in await store.live_holds(session, unit_id):
            if hold.referral_id == referral_id and hold.holder == holder:
                hold.reason = reason
                await desk.end(hold, "released", HoldReleased)
        await desk.close()


async def expire(session: AsyncSession, unit_id: str) -> None:
    """End the holds of a unit whose time is over."""
    desk = await Desk.open(session, unit_id, Author())
    await desk.close()


def view(hold: Hold, organization: str | None) -> bodies.HoldView:
    """Show a hold; for which of its holder's referrals it is, to the holder alone."""
    shown = hold.model_dump(include=set(bodies.HoldView.model_fields) - {"referral_id"})
    return bodies.HoldView(**shown, referral_id=hold.referral_id if organization == hold.holder else None)


def _check_policy(desk: Desk, body: bodies.NewHold, open_holds: int) -> None:
    profile = desk.profile
    if profile.hold_policy == "none":
        raise Problem("holds-not-taken")
    if body.minutes > profile.max_minutes:
        raise invalid_body("minutes", f"must not exceed the unit's {profile.max_minutes}")
    if open_holds >= profile.max_open_holds:
        raise Problem("too-many-holds")


async def _at_the_desk(session: AsyncSession, caller: Principal, hold_id: str, body: Writing) -> tuple[Desk, Hold]:
    hold = await store.hold(session, hold_id)
    desk = await _opened(session, caller, hold, body)
    desk.check_may_act(caller)
    _check_live(hold)
    return desk, hold


async def _own(session: AsyncSession, caller: Principal, hold_id: str) -> tuple[Desk, Hold]:
    hold = await store.hold(session, hold_id)
    if hold.holder != caller.own_organization():
        raise Problem("not-found")
    desk = await _opened(session, caller, hold, None)
    _check_live(hold)
    return desk, hold


async def _opened(session: AsyncSession, caller: Principal, hold: Hold, body: Writing | None) -> Desk:
    """Open the desk of a hold; what the hold's row says is true from then on."""
    desk = await Desk.open(session, hold.unit_id, Author.of(caller, body.actor if body else None))
    await session.flush()  # else the refresh would undo that the hold has just expired
    await session.refresh(hold)
    return desk


def _check_live(hold: Hold) -> None:
    if hold.state not in LIVE:
        raise Problem("hold-ended", f"The hold is {hold.state.replace('_', ' ')}.")


async def _release(desk: Desk, hold: Hold, reason: ReleaseReason, caller: Principal) -> bodies.HoldView:
    hold.reason = reason
    await desk.end(hold, "released", HoldReleased)
    if reason == "refused":
        desk.note("refused", hold_id=hold.id)
    await desk.close()
    return view(hold, caller.organization)
