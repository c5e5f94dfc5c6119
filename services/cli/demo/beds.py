"""Plays an export's nights on a running stack as live changes, each said by the shelter whose beds they are."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import httpx
from rich.console import Console
from rich.text import Text

from deploy.local.settings import LocalSettings
from services.cli.hmis.beds import SERVICE, registered
from services.cli.hmis.client import Caller, CannotImport, Refused, Stack, connections, running_stack
from services.cli.hmis.credentials import Credentials
from services.cli.hmis.imported import credentials_of, import_folder
from services.cli.hmis.lodging import Lodging
from services.cli.hmis.mapping import recorded_beds
from services.cli.hmis.reading import read_export
from services.cli.hmis.report import Report
from services.cli.running_stack import cancelled_by_signals

DAY: Final = timedelta(days=1)
OCTOBER: Final = 10
AT_ONCE: Final = 4


@dataclass(frozen=True)
class Nights:
    """The nights to play, first and last."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        return (self.first + number * DAY for number in range((self.last - self.first).days + 1))


@dataclass
class Ward:
    """A registered unit and the credential of its organization; what it said last."""

    external_id: str
    id: str
    name: str
    beds: int
    available: int
    caller: Caller
    occupied: int | None = None

    async def say(self, occupied: int) -> int:
        """Say how many beds are taken, as of now; return by how many more are free than before. Refused."""
        body = {"occupied": min(occupied, self.beds), "as_of": datetime.now(UTC).isoformat()}
        taken = await self.caller.send("PUT", SERVICE, f"/units/{self.id}/census", body)
        before, self.available, self.occupied = self.available, int(taken["available"]), occupied
        return self.available - before


async def replay(settings: LocalSettings, folder: Path, *, speed: float, chosen: Nights | None, zone: ZoneInfo) -> None:
    """Play the nights, all of the busiest year unless others are chosen; CannotImport where that is impossible.

    `speed` is in recorded seconds per second: 86,400 plays a night a second.
    """
    console = Console(highlight=False)
    stack = running_stack(settings)
    imported = await import_folder(folder, mode="history", only="beds", time_zone=zone)
    found = recorded_beds(read_export(folder, Report()), date.max)
    if imported.source is None or found is None:
        raise CannotImport("The export does not say whose it is: there is nothing to play.")
    lodging, occupancy = found
    nights = chosen or busiest_year(occupancy.recorded)
    async with cancelled_by_signals(), connections(AT_ONCE) as http:
        wards = await _wards(stack, credentials_of(settings, imported.source), f"{imported.source}-", http)
        story = Story(console, wards, lodging)
        story.begins(nights, stack.services[SERVICE])
        try:
            await story.play(nights, DAY.total_seconds() / speed)
        finally:
            story.ends()


def busiest_year(recorded: Mapping[date, int]) -> Nights:
    """Return the federal fiscal year, from October on, with the most bed nights; CannotImport if there is none."""
    years: Counter[int] = Counter()
    for night, number in recorded.items():
        years[night.year + (night.month >= OCTOBER)] += number
    if not years:
        raise CannotImport("No bed night is recorded: say which nights to play by --from and --until.")
    year = max(years, key=lambda year: (years[year], year))
    return Nights(date(year - 1, OCTOBER, 1), date(year, OCTOBER, 1) - DAY)


class Story:
    """The nights as they are told on the terminal: the recorded date, what changed, how many beds are free in all."""

    def __init__(self, console: Console, wards: list[Ward], lodging: Lodging) -> None:
        self._console = console
        self._wards = wards
        self._lodging = lodging
        self.nights = self.said = self.refused = 0

    def begins(self, nights: Nights, url: str) -> None:
        """Say what is played, and where to watch it."""
        self._console.print(f"{len(self._wards)} units play the nights {nights.first} to {nights.last}.")
        self._console.print("The dates are the recorded ones; to the service each census is as of now.")
        self._console.print(f"The board: {url}/board    Ctrl-C ends it.\n", soft_wrap=True)

    async def play(self, nights: Nights, seconds: float) -> None:
        """Play night after night, one every so many seconds."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for number, night in enumerate(nights):
            await asyncio.sleep(max(0.0, began + number * seconds - clock()))
            changes = [line for ward, taken in self._changed(night) if (line := await self._change(ward, taken))]
            self.nights += 1
            free = sum(ward.available for ward in self._wards)
            self._console.print(Text.assemble((f"{night:%a} {night}", "bold"), f"{free:>6} free"))
            for line in changes:
                self._console.print(line, soft_wrap=True)

    def ends(self) -> None:
        """Say what was done."""
        refused = f"; {self.refused} were refused" if self.refused else ""
        self._console.print(f"\n{self.nights} nights, {self.said} censuses, each by its own shelter{refused}.")

    def _changed(self, night: date) -> Iterator[tuple[Ward, int]]:
        """Yield the units that are in force that night and have something new to say, with their taken beds."""
        planned = {unit.external_id: unit for unit in self._lodging.on(night, Report()).units}
        for ward in self._wards:
            unit = planned.get(ward.external_id)
            if unit is not None and unit.occupied != ward.occupied:
                yield ward, unit.occupied

    async def _change(self, ward: Ward, occupied: int) -> Text | None:
        """Let a unit say it; return the line that tells it, None if it makes no difference."""
        try:
            more = await ward.say(occupied)
        except Refused as refused:
            self.refused += 1
            return Text(f"    {ward.name}: {refused}", style="red")
        self.said += 1
        if not more:
            return None
        style = "green" if more > 0 else "yellow"
        return Text.assemble(f"    {ward.available:>4} free  ", (f"{more:+d}".rjust(4), style), f"  {ward.name}")


async def _wards(stack: Stack, credentials: Credentials, prefix: str, http: httpx.AsyncClient) -> list[Ward]:
    """Find the units that were imported from a source, each with its own organization's credential."""
    wards = []
    for name, unit in (await registered(Caller(stack, stack.admin, http))).items():
        credential = credentials.of(unit["organization"])
        if credential is not None and name.startswith(prefix):
            beds, caller = unit["maximum"] - unit["offline"], Caller(stack, credential, http)
            wards.append(Ward(name, unit["id"], unit["profile"]["name"], beds, unit["available"], caller))
    return wards
