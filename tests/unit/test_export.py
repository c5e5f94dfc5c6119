"""An export holds the log byte for byte, can be replayed anywhere, and no byte of it can change unseen."""

import json
import os
import random
import re
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.audit.export import UnreadableExport, line, read, save
from services.audit.replay import OUTPUT, SOURCE, Replay
from services.cli.main import app
from services.kit.broker import Record
from tests.support.recorded import find, recorded, workload

WORKLOAD = workload(events=120)
ROOT = WORKLOAD.root_fingerprint
LOG = recorded(WORKLOAD)
ODD = [
    Record(SOURCE, 0, 0, 1, None, (), None),
    Record(SOURCE, 0, 1, 2, b"", (), b""),
    Record(SOURCE, 0, 2, 3, b"\xff\xfe", (("name", b"\x00\xff"), ("name", b""), ("name", None)), b"{}"),
    Record(OUTPUT, 11, 2**40, 2**41, "ключ".encode(), (("ключ", b"1"),), "a\nb\r\0\u2028\"\\'".encode()),
    Record(SOURCE, 3, 4, 5, b"key", (), b"\xed\xa0\x80 a lone surrogate"),
]


@pytest.fixture
async def exported(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    assert await save(_given(LOG), path) == len(LOG)
    return path


async def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    assert await save(_given(ODD), path) == len(ODD)
    assert list(read(path)) == ODD


async def test_an_export_is_its_owners_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    await save(_given(ODD), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def failing() -> AsyncIterator[list[Record]]:
        yield ODD[:1]
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await save(failing(), path)
    assert len(list(read(path))) == len(ODD)
    assert list(tmp_path.iterdir()) == [path]


async def test_a_person_can_read_it(exported: Path) -> None:
    record = find(LOG, OUTPUT, lambda value: b'"verdict":"permit"' in value)
    shown = next(
        each for each in map(json.loads, exported.open()) if each.get("value") == (record.value or b"").decode()
    )
    assert (shown["topic"], shown["partition"], shown["offset"]) == (OUTPUT, record.partition, record.offset)


@pytest.mark.parametrize(
    "spoiled",
    [
        b"{}",
        b'{"format":"threshold-log/2"}',
        line(ODD[0])[:-4],
        line(ODD[0]).replace(b"client-events", b"deliveries"),
        line(ODD[0]).replace(b'"offset":0', b'"offset":-1'),
        line(ODD[0]).replace(b'"offset":0', b'"offset":0,"note":1'),
        line(ODD[2]).replace(b"//4=", b"//4*"),
        line(ODD[3]).replace("ключ".encode(), b"\\ud800"),
        line(ODD[3]).replace("ключ".encode(), b"\xff"),
    ],
)
def test_a_line_that_no_export_has_is_named(tmp_path: Path, spoiled: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"format":"threshold-log/1"}\n' + line(ODD[1]) + b"\n" + spoiled + b"\n")
    with pytest.raises(UnreadableExport, match=re.escape("Line 3 of log.jsonl, after client-events/0 offset 1,")):
        list(read(path))


@pytest.mark.parametrize("beginning", [b"", b"{}\n", b'{"format":"threshold-log/9"}\n', line(ODD[0])])
def test_another_file_is_none(tmp_path: Path, beginning: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(beginning)
    with pytest.raises(UnreadableExport, match=r"Line 1 of log\.jsonl does not begin"):
        list(read(path))


def test_no_character_of_an_export_can_change_unseen(exported: Path) -> None:
    # When a decision was written is the one thing that nothing else tells.
    written = re.compile(rb'"timestamp":\d+,"topic":"disclosures"')
    chance, whole = random.Random(7), exported.read_bytes()
    for _ in range(60):
        place = chance.randrange(len(whole))
        changed = whole[:place] + bytes([chance.choice([each for each in range(32, 127) if each != whole[place]])])
        exported.write_bytes(changed + whole[place + 1 :])
        if not any(found.start() <= place < found.end() for found in written.finditer(whole)):
            assert _is_refused(exported), f"position {place}"


def test_the_command_says_that_all_is_identical(exported: Path) -> None:
    result = _replay(exported)
    assert result.exit_code == 0
    assert re.match(rf"Byte-identical: {len(LOG) // 2} decisions in \d+\.\d\d s \([\d,]+/s\)\.", result.output)


def test_the_command_names_what_was_altered(exported: Path) -> None:
    record = find(LOG, SOURCE, lambda value: b"consent.granted" in value)
    whole = exported.read_bytes()
    exported.write_bytes(whole.replace(line(record), line(record).replace(b"consent.granted", b"consent.refused")))
    result = _replay(exported)
    assert result.exit_code == 1
    assert f"client-events/{record.partition} offset {record.offset}: record-altered" in result.output
    report = json.loads(_replay(exported, "--json").output)
    assert report["differences"] == [
        {"topic": SOURCE, "partition": record.partition, "offset": record.offset, "what": "record-altered"}
    ]
    elsewhere = str((record.partition + 1) % 12)
    assert _replay(exported, "--partition", elsewhere).exit_code == 0


@pytest.mark.parametrize("arguments", [("--partition", "12"), ("--partition", "-1"), ("--root", "0" * 64)])
def test_the_command_never_passes_what_it_did_not_prove(exported: Path, arguments: tuple[str, ...]) -> None:
    assert _replay(exported, *arguments).exit_code != 0


def test_the_command_says_what_is_no_export_in_one_sentence(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:-50])
    result = _replay(exported)
    assert result.exit_code == 1
    assert re.fullmatch(
        r"threshold: Line \d+ of log\.jsonl, after disclosures/\d+ offset \d+, is not a record\.\n", result.stderr
    )


def test_a_fresh_process_with_any_hash_seed_comes_to_the_same(exported: Path) -> None:
    command = (
        sys.executable,
        "-m",
        "services.cli",
        "audit",
        "replay",
        "--json",
        "--from",
        str(exported),
        "--root",
        ROOT,
    )
    reports = []
    for seed in ("0", "1", "4294967295"):
        run = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=False)
        assert run.returncode == 0, run.stderr
        reports.append({**json.loads(run.stdout), "seconds": 0})
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["compared"] == len(LOG) // 2


def _replay(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", "replay", "--from", str(path), "--root", ROOT, *arguments])


def _is_refused(path: Path) -> bool:
    replay = Replay(ROOT)
    try:
        for record in read(path):
            replay.take(record)
    except UnreadableExport:
        return True
    return bool(replay.report().differences)


async def _given(records: Iterable[Record]) -> AsyncIterator[list[Record]]:
    for record in records:
        yield [record]
