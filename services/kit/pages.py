"""Lists in pages: an opaque cursor marks where the next page begins, so rows that come or go shift nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, TypeVarTuple, cast

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import Mapped

from policy.base64url import decode, encode
from services.kit.admission import is_storable
from services.kit.problems import Problem

DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 200
LARGEST_INTEGER: Final = 2**63 - 1

V = TypeVar("V")
R = TypeVar("R")
S = TypeVarTuple("S")


class Page(BaseModel, Generic[V]):
    """One page of a list: `next` is the cursor for `after`, null on the last page."""

    items: list[V]
    next: str | None


@dataclass(frozen=True)
class Paging:
    """Which page a caller asks for."""

    after: str | None
    limit: int

    def window(self, query: Select[*S], by: Mapped[Any] | ColumnElement[Any]) -> Select[*S]:
        """Narrow a query to this page and one row more, in the order of `by`, a unique text or integer column."""
        if self.after is not None:
            query = query.where(by > _read(self.after, cast("ColumnElement[Any]", by).type.python_type))
        return query.order_by(by).limit(self.limit + 1)

    def page(self, rows: Sequence[R], by: Callable[[R], str | int], view: Callable[[R], V]) -> Page[V]:
        """Make the page from the rows of a `window`ed query; `by` gives a row's value of the ordering column."""
        shown = rows[: self.limit]
        following = write_cursor(by(shown[-1])) if len(rows) > self.limit else None
        return Page(items=[view(row) for row in shown], next=following)


def paging(
    after: Annotated[str | None, Query(max_length=512)] = None,
    limit: Annotated[int, Query(ge=1, le=MAXIMUM_LIMIT)] = DEFAULT_LIMIT,
) -> Paging:
    """Read `?after=&limit=`."""
    return Paging(after, limit)


PageRequest = Annotated[Paging, Depends(paging)]


def write_cursor(position: str | int) -> str:
    """Write the position of a page's last row as an opaque cursor."""
    return encode(json.dumps(position).encode())


def _read(cursor: str, kind: type) -> str | int:
    """Read a cursor of a list ordered by `kind`; Problem 422 for one that no page of such a list gave."""
    try:
        position = json.loads(decode(cursor))
    except (ValueError, RecursionError):
        position = None
    if kind is str and isinstance(position, str) and is_storable(position):
        return position
    if kind is int and type(position) is int and abs(position) <= LARGEST_INTEGER:
        return position
    raise Problem("invalid-parameter", "must be a cursor that a page of this list gave", field="after")
