"""The log as a file that anyone can keep and replay: one JSON line per record of both topics."""

import base64
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import IO, Annotated

import msgspec
from aiokafka.errors import KafkaError
from msgspec import Meta, Struct

from schemas.events import Count
from services.kit.broker import Record, read_all
from services.kit.connecting import Kafka, bootstrap_of

FORMAT = "threshold-log/1"


class UnreadableExport(ValueError):
    """A line of the file is not what an export writes: altered, cut short, or another file. Names the line."""


class UnreadableLog(RuntimeError):
    """The live log does not give what was asked for; a sentence for people."""


class Line(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One record; bytes as text where they are UTF-8 (`key`, `value`), so that a person can read an export."""

    topic: Annotated[str, Meta(pattern=r"^(client-events|disclosures)\Z")]
    partition: Count
    offset: Count
    timestamp: Count
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]] = []  # base64
    base64: bool = False  # key and value are base64, for a record whose bytes are not UTF-8


_LINE = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder(order="sorted")
_FIRST = _ENCODER.encode({"format": FORMAT}) + b"\n"


async def live(kafka: Kafka, partitions: Iterable[int]) -> AsyncIterator[list[Record]]:
    """Both topics as they stand now, partition by partition, in runs of one topic; raises UnreadableLog."""
    try:
        for partition in partitions:
            async with aclosing(_partition(kafka, partition)) as runs:
                async for run in runs:
                    yield run
    except (KafkaError, TimeoutError) as error:
        raise UnreadableLog(
            f"Kafka at {bootstrap_of(kafka)} does not give the whole log: {type(error).__name__}."
        ) from error


async def _partition(kafka: Kafka, partition: int) -> AsyncGenerator[list[Record], None]:
    """A run of whichever topic is behind the other, so that a replay keeps little in memory."""
    async with AsyncExitStack() as opened:
        streams = {}
        # What was decided comes first: its end is asked for first, so that every decision finds its record.
        for topic in ("disclosures", "client-events"):
            streams[topic] = await opened.enter_async_context(aclosing(read_all(kafka, topic, {partition: 0})))
        reached = dict.fromkeys(streams, 0)
        while streams:
            topic = min(streams, key=reached.__getitem__)
            run = await anext(streams[topic], None)
            if run is None:
                del streams[topic]
                continue
            reached[topic] = run[-1].offset + 1
            yield run


async def save(runs: AsyncIterator[Sequence[Record]], path: Path) -> int:
    """Write an export, whole or not at all, readable by its owner only; returns the number of records."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            count = await write(runs, file)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


async def write(runs: AsyncIterator[Sequence[Record]], file: IO[bytes]) -> int:
    """Write an export; returns the number of records."""
    count = 0
    file.write(_FIRST)
    async for run in runs:
        file.writelines(line(record) + b"\n" for record in run)
        count += len(run)
    return count


def line(record: Record) -> bytes:
    """One record's line."""
    try:
        key, value, encoded = _text(record.key), _text(record.value), False
    except UnicodeDecodeError:
        key, value, encoded = _base64(record.key), _base64(record.value), True
    headers = [(name, _base64(content)) for name, content in record.headers]
    return _ENCODER.encode(
        Line(record.topic, record.partition, record.offset, record.timestamp_ms, key, value, headers, encoded)
    )


def read(path: Path) -> Iterator[Record]:
    """The records of an export; raises UnreadableExport naming the first line that is none."""
    with path.open("rb") as file:
        if next(file, b"") != _FIRST:
            raise UnreadableExport(f"Line 1 of {path.name} does not begin a {FORMAT} export.")
        before = "the beginning"
        for number, raw in enumerate(file, 2):
            try:
                record = _record(_LINE.decode(raw))
            except (msgspec.MsgspecError, ValueError):
                raise UnreadableExport(f"Line {number} of {path.name}, after {before}, is not a record.") from None
            before = f"{record.topic}/{record.partition} offset {record.offset}"
            yield record


def _record(found: Line) -> Record:
    headers = tuple((name, _bytes(content, encoded=True)) for name, content in found.headers)
    key, value = (_bytes(text, encoded=found.base64) for text in (found.key, found.value))
    return Record(found.topic, found.partition, found.offset, found.timestamp, key, headers, value)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _bytes(text: str | None, *, encoded: bool) -> bytes | None:
    if text is None:
        return None
    return base64.b64decode(text, validate=True) if encoded else text.encode()
