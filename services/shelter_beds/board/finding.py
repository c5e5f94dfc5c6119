"""HTTP: the board, whole or only the cards that changed."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from schemas.beds import Unit
from services.kit.auth import Scope, signed_in
from services.kit.database import Database
from services.kit.problems import Problem
from services.shelter_beds import saying, store
from services.shelter_beds.board import cards, filters, pages
from services.shelter_beds.board.sessions import CookieSessions, Visitor
from services.shelter_beds.feed.filters import EVERYTHING_OF
from services.shelter_beds.feed.view import Availability
from services.shelter_beds.tables import Hold

router = APIRouter(route_class=pages.PageRoute, include_in_schema=False)

Navigator = Annotated[Visitor, signed_in(Scope.BEDS_READ)]
VIEWS: Final = {"wall": "wall.html", "print": "print.html"}
MOST_CARDS: Final = 500


@router.get("/board")
async def board(request: Request, visitor: Navigator, view: str = "") -> Response:
    """Show how many beds there are, where, and for whom; `?view=wall` for a screen on a wall, `print` for paper."""
    found = _found(request, visitor)
    return pages.render(
        request,
        VIEWS.get(view, "board.html"),
        visitor,
        holds=[] if view in VIEWS else await _own_holds(request, visitor),
        **found,
    )


@router.get("/board/cards")
async def changed_cards(
    request: Request,
    visitor: Navigator,
    unit: Annotated[list[str], Query(max_length=MOST_CARDS)] = [],  # noqa: B006 - FastAPI copies it
    view: str = "",
) -> Response:
    """Show the cards of some units, as the board at the same address would, and its summary.

    What an open board shows after a change, it gets here: of one template, so it is what a reload would show. A board
    asks once for all that changed since it last asked, at most every two seconds, and less often when answers are slow.
    """
    found = _found(request, visitor)
    found["cards"] = [each for each in found["cards"] if each.unit.unit_id in unit]
    holds = [] if view in VIEWS else await _own_holds(request, visitor)
    return pages.render(request, "cards.html", visitor, view=view, holds=holds, **found)


def _found(request: Request, visitor: Visitor) -> dict[str, Any]:
    sessions: CookieSessions = request.app.state.sessions
    view: Availability = request.app.state.availability
    if view.read_to_end_at is None:  # an empty board would say that there are no beds
        raise Problem("not-ready")
    units = view.units(EVERYTHING_OF[visitor.principal.test])
    wanted = filters.Wanted.of(request.query_params)
    matching = wanted.of_units(units)
    shown = cards.cards(matching, sessions.clock())
    return {
        "wanted": wanted,
        "cards": shown,
        "totals": _totals(shown),
        "areas": filters.areas(units),
        "zone": cards.zone_of(matching or units),
        "has_units": bool(units),
        "as_of": view.read_to_end_at.timestamp(),
    }


def _totals(shown: list[cards.Card]) -> dict[str, int]:
    """Sum up: beds that somebody can come to now, and apart from them those whose intake is closed."""
    having = [card for card in shown if card.unit.open]
    open_now = [card.unit.available for card in having if not card.is_shut]
    return {
        "units": len(shown),
        "open": len(open_now),
        "free": sum(available or 0 for available in open_now),
        "yes": open_now.count(None),
        "shut": sum(card.unit.available or 0 for card in having if card.is_shut),
    }


async def _own_holds(request: Request, visitor: Visitor) -> list[tuple[Hold, Unit]] | None:
    """Return the organization's own live holds, with what is public of each one's unit.

    None while the database is away: what the feed has told can still be shown.
    """
    if not visitor.may(Scope.HOLDS_WRITE):
        return []
    database: Database = request.app.state.database
    try:
        async with database.transaction() as session:
            rows = (await session.execute(store.live_holds_of(visitor.principal))).all()
    except Database.away:
        return None
    return [(hold, saying.shown_to_holders(unit)) for hold, unit in rows]
