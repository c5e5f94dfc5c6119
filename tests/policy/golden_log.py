"""The golden log of each policy version: a seeded log with its outputs, written once and replayed for ever.

`python -m tests.policy.golden_log` folds it and prints what came out; with `--write` it makes version 1's anew, which
is right only while no log of that version exists anywhere.
"""

import hashlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from policy.state import snapshot
from policy.step import Fold
from tests.policy.case_files import Step, world
from tests.policy.playing import CURRENT
from tests.policy.scribe import beginning, write
from tests.support.log import START, Log, Record, clients_in

FOLDER = Path(__file__).parent / "golden"
_SEED, _RECORDS, _CLIENTS = 9, 150, 4
_ORGANIZATIONS = ("outreach", "shelter", "refuge", "motel", "haven", "clinic", "hub", "county")
_CATEGORIES = ("identity", "household", "health", "substance_use", "education", "income")
_PURPOSES = ("shelter-placement", "eligibility-determination", "housing-placement")
_OFTEN = {"grant": 20.0, "attest": 6, "refuse": 3, "revoke": 4, "restate": 7, "request": 30, "update": 6, "status": 24}
_SELDOM = {"exclude": 1, "suspend": 1, "leave": 2, "agreement": 2, "organization": 2, "restate_control": 2, "text": 0.5}
_STATUSES = (
    "accepted",
    "declined",
    "cancelled",
    "started",
    "on_hold",
    "completed",
    "failed",
    "expired",
    "respond_soon",
    "entered_in_error",
)


def path(version: int) -> Path:
    """Where a version's golden log is kept: a line per record, bytes as Latin-1 text."""
    return FOLDER / f"version-{version}.jsonl"


def versions() -> list[int]:
    """The policy versions that have one."""
    return sorted(int(each.stem.removeprefix("version-")) for each in FOLDER.glob("version-*.jsonl"))


def read(version: int) -> tuple[list[Record], list[bytes]]:
    """Its records, and the output of each."""
    lines = [json.loads(line) for line in path(version).read_text(encoding="utf-8").splitlines()]
    records = [
        Record(_to_bytes(line["key"]), _to_bytes(line["value"]), line["timestamp"], _headers(line["headers"]))
        for line in lines
    ]
    return records, [line["output"].encode("latin-1") for line in lines]


def fold(records: list[Record]) -> tuple[Fold, list[bytes]]:
    """The fold of the records, and each one's output."""
    folding = CURRENT.begin()
    return folding, [folding.step(one.timestamp, one.key, one.headers, one.value) for one in records]


def build() -> list[Record]:
    """The seeded log: everything that happens, and everything that should not."""
    chance, log = random.Random(_SEED), Log(now=START)
    for number in range(1, _RECORDS + 1):
        log.now += chance.choice([0, 1000, 3_600_000])
        if number > 1 and chance.random() < 0.1:
            _again(log, chance)
        else:
            write(log, _step(chance, number), number)
    for number, step in enumerate(_ends(clients_in(0, _CLIENTS + 1)[-1]), start=_RECORDS + 1):
        write(log, step, number)
    return [*beginning("community"), *log.records]


def _ends(client: str) -> Iterator[Step]:
    """Consents that end, one in error and one in time, and who hears of it; a client of its own."""
    said = {"categories": ["identity", "health"], "to": ["shelter"], "until": "2026-11-30"}
    for verb, says in (
        ("grant", {**said, "id": "roi"}),
        ("attest", {**said, "id": "attested", "by": "motel"}),
        ("request", {"boxes": ["need", "identity", "health"]}),
        ("in_error", {"consent": "roi", "by": "outreach"}),
        ("consent_ended", {"ended": {"id": "roi", "reason": "entered-in-error"}}),
        ("grant", {**said, "id": "roi", "version": 2}),
        ("update", {"boxes": ["identity", "health"]}),
        ("expire", {**said, "id": "attested", "by": "motel"}),
        ("consent_ended", {"ended": {"id": "attested", "reason": "expired"}, "status": "accepted"}),
        ("consent_ended", {"by": "shelter", "ended": {"id": "roi", "reason": "entered-in-error"}}),
    ):
        yield Step(verb, says, {"client": client, "event_id": f"end-{verb}-{says.get('id', '')}"})


def _again(log: Log, chance: random.Random) -> None:
    """An earlier record once more: whole, or, if it is about a client, with a bit turned."""
    log.again(chance.choice(log.records))
    last = log.records[-1]
    if last.value and last.key and not last.key.startswith(b"control/") and chance.random() < 0.3:
        place = chance.randrange(len(last.value))
        turned = last.value[:place] + bytes([last.value[place] ^ 4]) + last.value[place + 1 :]
        log.records[-1] = replace(last, value=turned)


def _step(chance: random.Random, number: int) -> Step:
    verbs = _OFTEN | _SELDOM
    (verb,) = chance.choices(list(verbs), list(verbs.values()))
    modifiers: dict[str, Any] = {"client": chance.choice(clients_in(0, _CLIENTS)), "event_id": f"event-{number}"}
    if chance.random() < 0.02:
        modifiers["signed_by"] = chance.choice(["impostor", "stranger"])
    if chance.random() < 0.05:
        modifiers["headers"] = {"traceparent": f"00-{number:032x}-01", "empty": "", "absent": None}
    says = {"request": _boxed, "update": _boxed, "status": _status}.get(verb, _SAYS.get(verb, _consent))(chance)
    return Step(chance.choice(_STATUSES) if verb == "status" else verb, says, modifiers)


def _consent(chance: random.Random) -> dict[str, Any]:
    return {
        "by": chance.choice(["outreach", "outreach", "haven", "clinic"]),
        "to": sorted(chance.sample(["shelter", "refuge", "motel", "hub"], 3)),
        "categories": sorted(chance.sample(_CATEGORIES, 4)),
        "purposes": sorted({"shelter-placement", chance.choice(_PURPOSES)}),
        "how": chance.choice(["written", "written", "electronic", "verbal"]),
        "until": chance.choice(["never", "2026-11-30", "2027-01-01", "2027-01-01"]),
        "signed_on": ["2026-11-20"],
    }


def _referral(chance: random.Random) -> dict[str, Any]:
    """One of three referrals; which it is says all that never changes, but for a few that say it otherwise."""
    (which,) = chance.choices(["first", "second", "relying"], [0.5, 0.3, 0.2])
    says = {
        "referral": which,
        "to": [{"organization": "shelter", "project": "beds"}, "motel"] if which == "first" else ["refuge"],
        "purpose": "eligibility-determination" if which == "relying" else "shelter-placement",
    }
    return says | ({"purpose": "care-coordination"} if chance.random() < 0.03 else {})


def _boxed(chance: random.Random) -> dict[str, Any]:
    boxes = sorted(chance.sample(_CATEGORIES, 2))
    backfill = chance.random() < 0.06
    says = _referral(chance) | {"boxes": [{1: ["need", *boxes]}, {2: boxes[:1]}], "historical": backfill}
    return says | {"referral": "backfilled"} if backfill else says


def _status(chance: random.Random) -> dict[str, Any]:
    says = _referral(chance)
    by = "shelter" if says["referral"] == "first" else "refuge"
    return says | {"by": chance.choice(["outreach", by, by, "clinic"])}


_SAYS: Mapping[str, Callable[[random.Random], Any]] = {
    "attest": lambda chance: {**_consent(chance), "by": chance.choice(["outreach", "motel", "hub"])},
    "revoke": lambda chance: {
        "scope": chance.choice(["all", "recipient", "category"]),
        "recipient": "shelter",
        "category": "identity",
    },
    "restate": lambda chance: {"grants": [{**_consent(chance), "by": "outreach", "order": 1}]},
    "suspend": lambda _: "later-housing",
    "leave": lambda chance: {"agreement": "sharing", "organization": chance.choice(["motel", "clinic"])},
    "agreement": lambda chance: chance.choice(
        [*({"id": each} for each in world()["agreements"]), {"id": "new", "like": "sharing", "supersedes": "sharing"}]
    ),
    "organization": lambda chance: {
        "id": chance.choice(_ORGANIZATIONS),
        "victim_service_provider": chance.random() < 0.2,
    },
    "restate_control": lambda _: {},
    "text": lambda chance: chance.choice(["", "[]", '{"type":"consent.attested"}']),
}


def _write() -> None:
    records = build()
    FOLDER.mkdir(exist_ok=True)
    with path(1).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in _lines(records))


def _lines(records: list[Record]) -> Iterator[dict[str, Any]]:
    _, outputs = fold(records)
    for record, output in zip(records, outputs, strict=True):
        yield {
            "timestamp": record.timestamp,
            "key": _to_text(record.key),
            "headers": [[name, _to_text(content)] for name, content in record.headers],
            "value": _to_text(record.value),
            "output": _to_text(output),
        }


def _to_text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("latin-1")


def _to_bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _headers(listed: list[tuple[str, str | None]]) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, _to_bytes(content)) for name, content in listed)


def main() -> None:
    """Print the digests of the state, the outputs and the snapshot."""
    if "--write" in sys.argv:
        _write()
    folding, outputs = fold(read(1)[0])
    parts = folding.state.digest, hashlib.sha256(b"\n".join(outputs)).digest(), _sha256(snapshot(folding.state))
    sys.stdout.write("".join(f"{part.hex()}\n" for part in parts))


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


if __name__ == "__main__":
    main()
