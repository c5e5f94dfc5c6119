"""Where a reader of the feed stands: `epoch:offset`."""

import re
from dataclasses import dataclass
from typing import Final

_WRITTEN: Final = re.compile(r"([0-9a-f]{12}(?:-[0-9]{1,6})?):(-1|0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True)
class Position:
    """All that was said up to the record at `offset` is known; -1 is before the first. `epoch` is of which log."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


def parsed(text: str) -> Position | None:
    """Return the position that a reader named; None if it is none."""
    found = _WRITTEN.fullmatch(text)
    return Position(found[1], int(found[2])) if found else None
