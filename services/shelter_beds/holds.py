"""Takes beds for whoever asks, or asks their shelter, and gives them back: one transaction, one bed, one holder."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.beds import HoldCheckedIn, HoldExtended, HoldRequested
from services.kit.auth import Principal
from services.kit.bodies import Writing
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body
from services.shelter_beds import bodies, door_codes, saying, store
from services.shelter_beds.desk import Author, Desk, Withdrawn
from services.shelter_beds.model import LIVE, EndReason, said_reason
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.tables import Hold


async def place(
    session: AsyncSession, caller: Principal, body: bodies.NewHold, *, waits: bool = True
) -> bodies.HoldView:
    """Take free beds of a unit, or ask its shelter for them: then none is taken before it says yes.

    Problem 404; 409 `no-free-bed`, `holds-not-taken`, `too-many-holds`; 422 for more minutes than the unit gives.
    `store.UnitBusy` where somebody else has the unit's row, for who does not wait for it.
    """
    holder = caller.own_organization()
    await _check_unlocked(session, caller, body)
    desk = await Desk.open(session, body.unit_id, Author.of(caller, body.actor), waits=waits)
    live = await store.live_holds(session, body.unit_id)
    _check_policy(desk.profile, body, sum(hold.holder == holder for hold in live))
    if not desk.takes_people:
        raise Problem("no-free-bed")
    desk.free_for(body.beds)  # else who asks would wait for an answer that can only be no
    hold = Hold(
        id=random_id(),
        unit_id=desk.unit.id,
        organization=desk.unit.organization,
        holder=holder,
        beds=body.beds,
        discreet=desk.profile.shown != "counts",
        door_code=door_codes.new({each.door_code for each in live}),
        referral_id=body.referral_id,
        minutes=body.minutes,
        state="requested",
        created_at=desk.now,
        expires_at=desk.now + timedelta(minutes=body.minutes),
    )
    if desk.profile.hold_policy == "instant":
        await desk.take(hold)
    else:
        session.add(hold)
        await saying.hold(session, HoldRequested, hold, (), desk.now)
    desk.note("held" if hold.state == "placed" else "asked", hold_id=hold.id)
    await desk.close()
    return view(hold, holder)


async def answer(session: AsyncSession, caller: Principal, hold_id: str, body: bodies.HoldAnswer) -> bodies.HoldView:
    """Say yes to a hold that was asked for, or no, as its shelter; Problem 404, 409 `hold-ended`, `no-free-bed`.

    Without the beds for a yes the request stands.
    """
    desk, hold = await _at_the_desk(session, caller, hold_id, body)
    if hold.state != "requested":
        raise Problem("hold-ended", "The hold was answered before.")
    if body.accept:
        await desk.take(hold)
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
    desk.note("extended", hold_id=hold.id)
    await desk.close()
    return view(hold, caller.organization)


async def refer(
    session: AsyncSession, caller: Principal, hold_id: str, referral_id: str, key: bytes | None = None
) -> bodies.HoldView:
    """Say, once, which of its holder's referrals a live hold is for; Problem 404, 409 `hold-ended`, `already-referred`.

    Nothing of it is said on the log: no referral is named there. `key` tells the form again that it was sent with.
    """
    desk, hold = await _own(session, caller, hold_id)
    if hold.referral_id not in {None, referral_id}:
        raise Problem("already-referred")
    if hold.referral_id is None:
        hold.referral_id, hold.referral_key = referral_id, key
    await desk.close()
    return view(hold, caller.organization)


async def check_in(session: AsyncSession, caller: Principal, hold_id: str, body: bodies.CheckIn) -> bodies.HoldView:
    """Turn a hold into taken beds, as its shelter; Problem 404, 409 `hold-ended`, 422 for another door code.

    Whoever lets somebody in who still waits for an answer says yes by that; Problem 409 `no-free-bed`.
    """
    desk, hold = await _at_the_desk(session, caller, hold_id, body)
    if hold.door_code != body.door_code:
        raise Problem("wrong-door-code", field="door_code")
    if hold.state == "requested":
        await desk.take(hold)
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


Ended = Mapping[tuple[str, str], EndReason]
"""Why referrals ended, by their id and their originator."""


async def release_for(session: AsyncSession, ended: Ended) -> None:
    """End the holds for referrals of their holders' own that came to nothing, one unit after another in one order."""
    found = await store.holds_for(session, {referral_id for referral_id, _ in ended})
    over = [hold for hold in found if (hold.referral_id, hold.holder) in ended]
    for unit_id, holds in groupby(over, key=attrgetter("unit_id")):
        with suppress(Withdrawn):  # since it was looked for; it has no live hold then
            desk = await Desk.open(session, unit_id, Author())
            live = {hold.id for hold in await store.live_holds(session, unit_id)}
            for hold in holds:
                if hold.id in live:
                    await desk.release(hold, ended[hold.referral_id or "", hold.holder])
            await desk.close()


def view(hold: Hold, organization: str | None) -> bodies.HoldView:
    """Show a hold: to its holder what is the holder's, to its shelter what is the shelter's.

    For which referral it is, and what became of that, the holder alone knows. Of a unit that does not show its counts
    the holder is not told which beds it has.
    """
    shown = hold.model_dump(include=set(bodies.HoldView.model_fields))
    shown["beds"] = hold.bed_count
    if organization != hold.holder:
        shown |= {"referral_id": None, "reason": said_reason(hold.reason)}
    elif hold.discreet and organization != hold.organization:
        shown["bed_ids"] = []
    return bodies.HoldView(**shown)


async def _check_unlocked(session: AsyncSession, caller: Principal, body: bodies.NewHold) -> None:
    """Refuse what can be refused without waiting for those who may be taking the last bed.

    First by what does not depend on beds: a refusal for want of one must not tell more than a hold would.
    """
    seen = await store.glance(session, caller, body.unit_id)
    profile = UnitProfile.model_validate(seen.profile)
    _check_policy(profile, body, seen.open_holds)
    if seen.takeable < profile.must_be_free(body.beds):
        raise Problem("no-free-bed")


def _check_policy(profile: UnitProfile, body: bodies.NewHold, open_holds: int) -> None:
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


async def _release(desk: Desk, hold: Hold, reason: EndReason, caller: Principal) -> bodies.HoldView:
    await desk.release(hold, reason)
    desk.note(reason, hold_id=hold.id)
    await desk.close()
    return view(hold, caller.organization)
