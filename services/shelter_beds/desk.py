"""What every change of a unit shares: who may make it, who made it, and what is said of it afterwards."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.beds import HoldEvent, HoldExpired, HoldPlaced, HoldReleased
from services.kit import database
from services.kit.auth import Principal
from services.kit.bodies import Actor
from services.kit.problems import Problem
from services.shelter_beds import saying, store
from services.shelter_beds.model import Counts, EndReason, HoldState, last_reset, local_day, next_wake, takes_people
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.tables import Bed, Change, Hold, Unit


@dataclass(frozen=True)
class Author:
    """Who makes a change: an API client and the person behind it; nobody, where a unit changes by itself.

    `kind` is which units there are for it, as `store.kind_of` has it.
    """

    organization: str | None = None
    api_client: str | None = None
    actor: dict[str, str] | None = None
    kind: bool | None = None

    @classmethod
    def of(cls, caller: Principal, actor: Actor | None) -> Self:
        """The author of a caller's change."""
        person = actor.model_dump() if actor else None
        return cls(caller.organization, caller.client_id, person, store.kind_of(caller))


class Withdrawn(Problem):
    """The unit is no more."""


class Desk:
    """One unit, locked, with its beds, at one moment of the database's time; `close` says what has become of it.

    Holds whose time is over by then have ended, and the unit's hour has struck: what the sweep has not come to yet is
    as good as done.
    """

    def __init__(self, session: AsyncSession, unit: Unit, beds: list[Bed], now: datetime, author: Author) -> None:
        self.session = session
        self.unit = unit
        self.profile = UnitProfile.model_validate(unit.profile)
        self.beds = beds
        self.now = now
        self._author = author

    @classmethod
    async def open(cls, session: AsyncSession, unit_id: str, author: Author, *, waits: bool = True) -> Self:
        """Lock a unit that there is for the author, not withdrawn; Problem 404. `store.UnitBusy` for who won't wait."""
        unit = await store.locked(session, unit_id, author.kind, waits=waits)
        if unit.withdrawn:
            raise Withdrawn("not-found")
        beds = await store.beds(session, unit_id)
        desk = cls(session, unit, beds, await database.now(session), author)
        await desk._expire()
        desk._strike()
        return desk

    @property
    def counts(self) -> Counts:
        """How many of its beds are in each status."""
        return Counts.of(bed.status for bed in self.beds)

    @property
    def takes_people(self) -> bool:
        """Whether somebody can come at all, by the unit's season and by what its shelter says."""
        in_season = self.profile.open_season.holds(local_day(self.now, self.profile.zone))
        return takes_people(in_season=in_season, said=self.profile.status)

    def may_act(self, organization: str | None) -> bool:
        """Whether an organization acts at this desk: it is its own, or was delegated to it."""
        return organization == self.unit.organization or organization in self.profile.delegates

    def check_may_act(self, caller: Principal) -> None:
        """Problem 404 unless the caller acts at this desk, or is the administrator."""
        if not (caller.is_admin or self.may_act(caller.organization)):
            raise Problem("not-found")

    def beds_of(self, hold: Hold) -> list[Bed]:
        """Return the beds that a hold has, or had."""
        return [bed for bed in self.beds if bed.id in hold.bed_ids]

    def free_for(self, beds: int) -> list[Bed]:
        """Return the free beds that whoever asks for so many can have; Problem `no-free-bed`.

        All of them, or where the number is not shown as many as there are, and one at least.
        """
        free = [bed for bed in self.beds if bed.status == "free"][:beds]
        if len(free) < self.profile.must_be_free(beds):
            raise Problem("no-free-bed")
        return free

    async def keep_discreet(self) -> None:
        """Let the holds that live tell no beds where the unit does not show its counts, or not any more."""
        if self.profile.shown != "counts":
            for hold in await store.live_holds(self.session, self.unit.id):
                hold.discreet = True

    async def take(self, hold: Hold) -> None:
        """Give a hold the beds that it asks for, from now on, and say so; Problem `no-free-bed`.

        Its time begins with that: whoever waited for the shelter's answer must still have time to come.
        """
        beds = self.free_for(hold.beds)
        hold.state, hold.placed_at = "placed", self.now
        hold.expires_at = self.now + timedelta(minutes=hold.minutes)
        hold.bed_ids, hold.discreet = [bed.id for bed in beds], self.profile.shown != "counts"
        self.session.add(hold)
        await self.session.flush()  # the beds name it
        for bed in beds:
            bed.status, bed.hold_id = "held", hold.id
        await saying.hold(self.session, HoldPlaced, hold, beds, self.now)

    async def release(self, hold: Hold, reason: EndReason) -> None:
        """Let a live hold go, and say so."""
        hold.reason = reason
        await self.end(hold, "released", HoldReleased)

    async def end(self, hold: Hold, state: HoldState, kind: type[HoldEvent]) -> None:
        """End a live hold and say so; its beds, if it has any, are taken if it was checked in, else free."""
        beds = self.beds_of(hold)
        hold.state, hold.ended_at = state, self.now
        for bed in beds:
            bed.hold_id, bed.status = None, "occupied" if state == "checked_in" else "free"
        await saying.hold(self.session, kind, hold, beds, self.now)

    def note(self, what: str, **details: object) -> None:
        """Keep who changed what."""
        self._note(self._author, what, details)

    def _note(self, author: Author, what: str, details: dict[str, object]) -> None:
        self.session.add(
            Change(
                unit_id=self.unit.id,
                at=self.now,
                organization=author.organization,
                api_client=author.api_client,
                actor=author.actor,
                what=what,
                details=details,
            )
        )

    def reported(self) -> None:
        """Note that the shelter has just said how many beds there are.

        Where not all counts are shown only a census says so: the hour of a bed's change would tell of who came then.
        """
        self.unit.census_as_of = self.now  # a count from before knows less
        if self.profile.shown == "counts":
            self.unit.reported_at = self.now

    async def close(self) -> None:
        """Say what is public of the unit now, and when it next changes by itself."""
        unit, profile = self.unit, self.profile
        since = min(unit.last_reset_at, self.now)  # the database's clock may have been ahead for a while
        unit.wakes_at = next_wake(self.now, profile.zone, profile.open_season, profile.resets_at, since)
        await saying.availability(self.session, unit, profile, self.beds, self.now)

    async def _expire(self) -> None:
        for hold in await store.live_holds(self.session, self.unit.id):
            if hold.expires_at <= self.now:
                await self.end(hold, "expired", HoldExpired)

    def _strike(self) -> None:
        """Let a night-by-night unit's taken beds be free again if its hour has struck since the last time."""
        unit, profile = self.unit, self.profile
        if profile.resets_at is None:
            return
        struck = last_reset(min(unit.last_reset_at, self.now), self.now, profile.zone, profile.resets_at)
        if struck is None:
            return
        for bed in self.beds:
            if bed.status == "occupied":
                bed.status = "free"
        unit.last_reset_at = unit.census_as_of = struck
        self._note(Author(), "reset", {})
