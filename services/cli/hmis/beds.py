"""Registers an export's units as their organizations, says how many beds are taken, withdraws what is no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.cli.hmis.client import Caller, Refused
from services.cli.hmis.plan import PlannedBeds, PlannedUnit
from services.cli.hmis.results import Results

SERVICE: Final = "shelter_beds"
RESETS_AT: Final = "10:00"
UNSAID: Final = (
    "HUD's inventory (2.07) is no list of tonight's beds: a unit is made of each of its rows, open to everyone of its "
    "household type; ages, gender policy, hours and telephone an export does not say, holds the shelter is asked for"
)


@dataclass(frozen=True, slots=True)
class Clock:
    """The export's time zone, which HUD's dates do not say, and this moment."""

    zone: ZoneInfo
    now: datetime

    @property
    def today(self) -> date:
        """The day that it is there."""
        return self.now.astimezone(self.zone).date()

    def as_of(self, beds: PlannedBeds) -> str:
        """Return the end of the plan's night's day; of today its beginning, for nothing is said of the future."""
        day = min(beds.night + timedelta(days=1), self.today)
        return datetime.combine(day, time(), self.zone).isoformat()


class BedDesk:
    """shelter_beds as one organization of an import uses it; what was there already is left as it is."""

    def __init__(self, caller: Caller, beds: PlannedBeds, clock: Clock, results: Results) -> None:
        self._caller = caller
        self._beds = beds
        self._clock = clock
        self._as_of = clock.as_of(beds)
        self._results = results

    async def take(self, units: Iterable[PlannedUnit], gone: Iterable[str]) -> None:
        """Do all that the plan says of the organization's units; Refused where they cannot be listed."""
        there = await registered(self._caller)
        for unit in units:
            try:
                await self._unit(unit, there.get(unit.external_id))
            except Refused as refused:
                self._results.refuse("units", f"unit {unit.external_id}", str(refused))
        for external_id in gone:
            if external_id in there:
                await self._withdraw(external_id, there[external_id])

    async def _unit(self, unit: PlannedUnit, found: Mapping[str, Any] | None) -> None:
        if found is None:
            # A unit that was withdrawn since may come back on another night: its key is then another.
            key = f"hmis-csv/{unit.external_id}/{self._beds.night}"
            made = await self._caller.post(SERVICE, "/units", self._body(unit), key)
            self._results.count("units", present=made.repeated)
            found = made.body
        else:
            self._results.count("units", present=True)
            self._compare(unit, found)
        await self._count(unit, found)

    async def _count(self, unit: PlannedUnit, found: Mapping[str, Any]) -> None:
        """Say how many beds were taken, unless something newer was said, or nothing that is not said already."""
        occupied = min(unit.occupied, found["maximum"] - found["offline"])
        older = found["reported_at"] is not None and _instant(found["reported_at"]) >= _instant(self._as_of)
        if older and (found["version"] > 1 or found["occupied"] == occupied):
            self._results.count("censuses", present=True)
            return
        body = {"occupied": occupied, "as_of": self._as_of}
        try:
            await self._caller.send("PUT", SERVICE, f"/units/{found['id']}/census", body)
        except Refused as refused:
            self._results.refuse("censuses", f"unit {unit.external_id}", str(refused))
        else:
            self._results.count("censuses", present=False)

    async def _withdraw(self, external_id: str, found: Mapping[str, Any]) -> None:
        try:
            await self._caller.send("PATCH", SERVICE, f"/units/{found['id']}", {"withdrawn": True})
        except Refused as refused:
            self._results.refuse("withdrawals", f"unit {external_id}", str(refused))
        else:
            self._results.count("withdrawals", present=False)

    def _compare(self, unit: PlannedUnit, found: Mapping[str, Any]) -> None:
        said = {"household_type": unit.household_type, "season": unit.season}
        differing = [name for name, value in said.items() if found["profile"][name] != value]
        differing += ["number of beds"] if found["maximum"] != unit.beds else []
        if differing:
            why = f"is registered with another {', '.join(differing)}; left as it is"
            self._results.remark("units", f"unit {unit.external_id}", why)

    def _body(self, unit: PlannedUnit) -> dict[str, Any]:
        days = {"opens_on": unit.opens_on, "closes_on": unit.closes_on}
        return {
            "external_id": unit.external_id,
            "name": unit.name,
            "project": unit.project_id,
            "household_type": unit.household_type,
            "season": unit.season,
            "beds": unit.beds,
            "veterans_only": unit.veterans_only,
            "hold_policy": unit.hold_policy,
            "time_zone": self._clock.zone.key,
            "as_of": self._as_of,
            **{name: day.isoformat() for name, day in days.items() if day is not None},
            **({"resets_at": RESETS_AT} if unit.night_by_night else {}),
        }


async def registered(caller: Caller) -> dict[str, dict[str, Any]]:
    """Return an organization's units by the names that another system has for them; Refused."""
    units = [unit async for unit in caller.every(SERVICE, "/units")]
    return {str(unit["profile"]["external_id"]): unit for unit in units if unit["profile"]["external_id"]}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
