"""Every type that webhooks can send, and what the sandbox lets happen so that it is sent: the real thing, each time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.cli.sandbox.cast import (
    ASKED_AGAIN,
    AT_ONCE,
    NEAR_ITS_END,
    Cast,
    agree,
    hold,
    let_go,
    met,
    move,
    recorded_in_error,
    refer,
    refer_known,
    stop,
    told,
)

Tried = list[dict[str, Any]]
Act = Callable[[Cast], Awaitable[Tried | None]]
"""Returns what came of it where no delivery will say so."""


@dataclass(frozen=True)
class Kind:
    """How a type comes about, in words and as what is done; `messages` of it come, `within` so many seconds.

    `in_inbox`: who has no endpoint reads it there. `by_name`: an endpoint has it only if it names the type.
    """

    story: str
    act: Act
    messages: int = 1
    within: float = 20.0
    in_inbox: bool = True
    by_name: bool = False


async def _requested(cast: Cast) -> None:
    await refer(cast.sender, cast.to, agreed=False)
    await refer(cast.sender, cast.to, agreed=True)


async def _updated(cast: Cast) -> None:
    client, _ = await refer(cast.sender, cast.to, agreed=False)
    await agree(cast.sender, cast.to, client)


def _answered(*steps: str) -> Act:
    async def act(cast: Cast) -> None:
        _, referral = await refer(cast.hearer, cast.partner, agreed=True)
        await move(cast.callers[cast.partner], referral, *steps)

    return act


async def _cancelled(cast: Cast) -> None:
    _, referral = await refer(cast.sender, cast.to, agreed=True)
    await move(cast.sender, referral, "cancelled")


async def _expired(cast: Cast) -> None:
    await refer(cast.sender, cast.to, agreed=True, within=AT_ONCE)


async def _asked_again(cast: Cast) -> None:
    await refer(cast.sender, cast.to, agreed=True, within=ASKED_AGAIN)


async def _in_error(cast: Cast) -> None:
    _, referral = await refer(cast.sender, cast.to, agreed=True)
    await told(cast, referral)  # else there might be no copy to withdraw
    await move(cast.sender, referral, "entered_in_error")


async def _consent_ended(cast: Cast) -> None:
    client = await met(cast.sender)
    consent = await agree(cast.sender, cast.to, client)
    await told(cast, await refer_known(cast.sender, cast.to, client))
    await recorded_in_error(cast.sender, consent)


async def _expiring(cast: Cast) -> None:
    await agree(cast.hearer, cast.partner, await met(cast.hearer), NEAR_ITS_END)


async def _closed(cast: Cast) -> None:
    client, referral = await refer(cast.sender, cast.to, agreed=True)
    await told(cast, referral)  # else there might be nothing that it closes
    await stop(cast.sender, client)
    await move(cast.sender, referral, "cancelled")


async def _asked(cast: Cast) -> None:
    await let_go(cast.holder, await hold(cast.holder, cast.units["rooms"]))


async def _held(cast: Cast) -> None:
    await let_go(cast.holder, await hold(cast.holder, cast.units["beds"]))


async def _extended(cast: Cast) -> None:
    held = await hold(cast.holder, cast.units["beds"])
    await cast.holder.post("shelter_beds", f"/holds/{held['id']}/extension", None)
    await let_go(cast.holder, held)


async def _left_alone(cast: Cast) -> None:
    await hold(cast.holder, cast.units["beds"], minutes=1)


async def _checked_in(cast: Cast) -> None:
    held = await hold(cast.holder, cast.units["beds"])
    await cast.shelter.post("shelter_beds", f"/holds/{held['id']}/check-in", {"door_code": held["door_code"]})
    path = f"/units/{held['unit_id']}"
    for bed in (await cast.shelter.get("shelter_beds", path))["beds"]:
        if bed["status"] == "occupied":  # whoever came leaves again, so that there is always a bed
            await cast.shelter.send("PATCH", "shelter_beds", f"{path}/beds/{bed['id']}", {"status": "free"})


async def _counted(cast: Cast) -> None:
    path = f"/units/{cast.units['rooms']}"
    occupied = (await cast.shelter.get("shelter_beds", path))["occupied"]
    census = {"occupied": 0 if occupied else 1, "as_of": datetime.now(UTC).isoformat()}
    await cast.shelter.send("PUT", "shelter_beds", f"{path}/census", census)


async def _tried(cast: Cast) -> Tried:
    endpoints = [endpoint["id"] async for endpoint in cast.hearer.every("webhooks", "/endpoints")]
    return [(await cast.hearer.post("webhooks", f"/endpoints/{each}/test", None)).body for each in endpoints]


def _of_beds(story: str, act: Act, within: float = 20.0) -> Kind:
    return Kind(story, act, within=within, in_inbox=False)


KINDS: Final[Mapping[str, Kind]] = {
    "referral.requested": Kind("two: one agreed to nothing, one did", _requested, messages=2),
    "referral.updated": Kind("who was referred to you agrees later", _updated),
    "referral.accepted": Kind("whom you referred is accepted", _answered("accepted")),
    "referral.declined": Kind("whom you referred is declined", _answered("declined")),
    "referral.started": Kind("service begins for whom you referred", _answered("accepted", "started")),
    "referral.on_hold": Kind("service pauses for whom you referred", _answered("accepted", "on_hold")),
    "referral.completed": Kind("service ended as intended", _answered("accepted", "started", "completed")),
    "referral.failed": Kind("service ended otherwise", _answered("accepted", "failed")),
    "referral.cancelled": Kind("a referral to you is taken back", _cancelled),
    "referral.expired": Kind("nobody answered a referral in time", _expired),
    "referral.respond_soon": Kind("answer soon; takes a minute and a half", _asked_again, within=120.0),
    "referral.entered_in_error": Kind("a referral to you was a mistake", _in_error),
    "referral.consent_ended": Kind("a consent you relied on was a mistake", _consent_ended),
    "referral.closed": Kind("who was referred to you said stop", _closed),
    "consent.expiring": Kind("a consent of yours ends in three days", _expiring),
    "hold.requested": _of_beds("the shelter is asked for a bed", _asked),
    "hold.placed": _of_beds("a bed is held", _held),
    "hold.extended": _of_beds("a bed is held for longer", _extended),
    "hold.released": _of_beds("a bed is given back", _held),
    "hold.checked_in": _of_beds("who a bed was held for is there", _checked_in),
    "hold.expired": _of_beds("nobody came for a bed; takes a minute", _left_alone, within=90.0),
    "unit.availability": Kind("a shelter counted its beds", _counted, in_inbox=False, by_name=True),
    "endpoint.test": Kind("a request that says nothing", _tried, in_inbox=False),
}
