"""The day's evening: an auditor replays the log, and finds each of four records in which one byte was altered."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.demo.day import Day
from services.cli.demo.telling import NotAsTold, Telling

HASH_SEED = "20261123"  # any but the services' own: nothing decided may depend on the order of a set or dict


@dataclass(frozen=True)
class Line:
    """One record of an export: its line number, where it stands on the log, and what it says."""

    number: int
    raw: bytes
    topic: str
    partition: int
    offset: int
    value: dict[str, Any]


@dataclass(frozen=True)
class Alteration:
    """One byte of a line to alter; `what` says in plain words where it is."""

    what: str
    line: Line
    position: int

    @property
    def altered(self) -> bytes:
        """The line with the one byte altered."""
        raw = self.line.raw
        return raw[: self.position] + bytes([raw[self.position] ^ 1]) + raw[self.position + 1 :]

    @property
    def finding(self) -> str:
        """What replay should say."""
        what = "decision-altered" if self.line.topic == "disclosures" else "record-altered"
        return _finding(what, self.line.topic, self.line.partition, self.line.offset)


async def replay(telling: Telling) -> None:
    """(7) A fresh process decides the log again and gets the same bytes."""
    telling.step(7, "An auditor decides the whole log again, in a process of its own", "the same bytes")
    code, report = await _replayed()
    rate = report["compared"] / report["seconds"]
    telling.saw(f"It read and decided {report['compared']} records in {report['seconds']:.2f} s: {rate:,.0f} a second.")
    telling.check(f"PYTHONHASHSEED={HASH_SEED} threshold audit replay exits", code, 0)
    telling.check("Records whose bytes differ", len(report["differences"]), 0)
    telling.check("Records without a decision", report["undecided"], 0)


async def alter(day: Day) -> None:
    """(8) One altered byte anywhere in an exported log is found, and the record is named."""
    day.telling.step(8, "Somebody alters one byte of the exported log", "replay finds it and names the record")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "log")
        await _threshold("audit", "export", str(whole))
        alterations = await asyncio.to_thread(_write_copies, whole, day)
        reports = await asyncio.gather(*(_replayed("--from", str(whole.with_name(one.what))) for one in alterations))
    for one, (code, report) in zip(alterations, reports, strict=True):
        found = [_finding(**each) for each in report["differences"]]
        day.telling.check(f"In {one.what}: exit code and finding", [code, *found], [1, one.finding])


def _finding(what: str, topic: str, partition: int, offset: int) -> str:
    return f"{what} {topic}/{partition} offset {offset}"


def _write_copies(whole: Path, day: Day) -> list[Alteration]:
    lines = whole.read_bytes().splitlines(keepends=True)
    alterations = list(_alterations(day, list(_records(lines))))
    for one in alterations:
        copy = [*lines[: one.line.number], one.altered, *lines[one.line.number + 1 :]]
        whole.with_name(one.what).write_bytes(b"".join(copy))
    return alterations


def _alterations(day: Day, records: list[Line]) -> Iterator[Alteration]:
    """Yield one byte to alter in each kind of record, in one of today's."""
    about_rosa = [line for line in records if line.value.get("data", {}).get("client_id") == day.rosa]
    request = _first(about_rosa, "referral.requested")
    box = next(iter(request.value["data"]["sealed"][0]["boxes"].values()))
    yield Alteration("a sealed box", request, request.raw.index(box.encode()) + len(box) // 2)
    consent = _first(about_rosa, "consent.granted")
    yield Alteration("a consent's expiry", consent, _after(consent, "expires_at"))
    shelter = day.town.shelter.name.encode()
    agreement = _first([line for line in records if shelter in line.raw], "agreement.activated")
    yield Alteration("the agreement's recipient", agreement, agreement.raw.rindex(shelter))
    decision = next(line for line in records if line.topic == "disclosures" and day.rosa.encode() in line.raw)
    yield Alteration("a decision's verdict", decision, _after(decision, "verdict"))


def _records(lines: list[bytes]) -> Iterator[Line]:
    for number, raw in enumerate(lines[1:], 1):
        found = json.loads(raw)
        value = json.loads(found["value"])
        yield Line(number, raw, found["topic"], found["partition"], found["offset"], value)


def _first(lines: list[Line], type_: str) -> Line:
    for line in lines:
        if line.value.get("type") == type_:
            return line
    raise NotAsTold(f"the export holds no {type_} of today")


def _after(line: Line, field: str) -> int:
    """Return the position of the first character of a field's text: quotes within a record's text are escaped."""
    opening = f'{field}\\":\\"'.encode()
    return line.raw.index(opening) + len(opening)


async def _replayed(*arguments: str) -> tuple[int, dict[str, Any]]:
    code, output = await _threshold("audit", "replay", "--json", *arguments, may_find=True)
    report: dict[str, Any] = json.loads(output)
    return code, report


async def _threshold(*arguments: str, may_find: bool = False) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        env={**os.environ, "PYTHONHASHSEED": HASH_SEED},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode not in ({0, 1} if may_find else {0}) or (errors and not output):
        raise NotAsTold(f"threshold {' '.join(arguments)} could not do it: {errors.decode().strip()}")
    return process.returncode or 0, output
