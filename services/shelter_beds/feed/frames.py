"""What goes over the wire: server-sent events in the chunks of HTTP/1.1; pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from services.shelter_beds.feed.position import Position
from services.shelter_beds.feed.view import Known

LAST_CHUNK: Final = b"0\r\n\r\n"


def snapshot(position: Position, at: datetime, items: Iterable[Known]) -> bytes:
    """All units that a reader wants; it takes the place of whatever it knew."""
    return event("snapshot", b'{"at":%b,"items":[%b]}' % (_instant(at), _listed(items)), position)


def changes(position: Position, at: datetime, items: Iterable[Known], removed: Sequence[str]) -> bytes:
    """The units that are new or different, in absolute values, and those to forget."""
    parts = (_instant(at), _listed(items), msgspec.json.encode(removed))
    return event("changes", b'{"at":%b,"items":[%b],"removed":%b}' % parts, position)


def reset(reason: str) -> bytes:
    """Where the reader stood means nothing here; a snapshot follows."""
    return event("reset", _reason(reason))


def heartbeat(at: datetime, read_to_end_at: datetime | None, position: Position | None = None) -> bytes:
    """The stream lives, and how fresh it is; the position is for a reader that has been told everything."""
    read_to_end = b"null" if read_to_end_at is None else _instant(read_to_end_at)
    return event("heartbeat", b'{"at":%b,"read_to_end_at":%b}' % (_instant(at), read_to_end), position)


def goodbye(reason: str) -> bytes:
    """The stream ends here, properly."""
    return event("goodbye", _reason(reason)) + LAST_CHUNK


def retry(milliseconds: int) -> bytes:
    """How long to wait before connecting again, should the connection be lost."""
    return chunk(b"retry: %d\n\n" % milliseconds)


def event(name: str, data: bytes, position: Position | None = None) -> bytes:
    """One event; `data` is one line of JSON."""
    identity = b"id: %b\n" % str(position).encode() if position else b""
    return chunk(b"event: %b\n%bdata: %b\n\n" % (name.encode(), identity, data))


def chunk(body: bytes) -> bytes:
    """Frame bytes as a chunk of a chunked answer."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def _listed(items: Iterable[Known]) -> bytes:
    return b",".join(item.json for item in items)


def _instant(at: datetime) -> bytes:
    return b'"%b"' % at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _reason(reason: str) -> bytes:
    return msgspec.json.encode({"reason": reason})
