"""HTTP: the feed."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from services.kit import auth, streaming
from services.kit.auth import Principal, requires
from services.shelter_beds.feed.filters import EVERYTHING_OF, Filter, Wish
from services.shelter_beds.feed.hub import Hub
from services.shelter_beds.feed.places import Places

router = APIRouter(tags=["beds"])

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Reader = Annotated[Principal, requires(auth.Scope.BEDS_READ)]


class Asked(Wish):
    """A wish, and where to go on for those who can't send the header Last-Event-ID."""

    last_event_id: str | None = None

    def filter(self, *, test: bool) -> Filter:
        """Return what is wanted of tests' units, or of real ones."""
        return Filter.model_construct(**self.model_dump(exclude={"last_event_id"}), test=test)


def asked_by(request: Request, *, test: bool) -> tuple[Filter, str | None]:
    """Return what a request wants, and where it goes on; RequestValidationError names a wrong parameter.

    By hand, since most ask for everything and ten thousand may come back at once: for FastAPI to find that there are no
    parameters took a quarter of what a connection costs.
    """
    resumed = request.headers.get("last-event-id")
    if not request.scope["query_string"]:
        return EVERYTHING_OF[test], resumed
    try:
        asked = Asked.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("query", *each["loc"])} for each in error.errors()]) from None
    return asked.filter(test=test), asked.last_event_id if resumed is None else resumed


def _parameters() -> list[dict[str, Any]]:
    """Describe what `asked_by` reads for the OpenAPI document."""
    schema = Asked.model_json_schema()
    described = [{"name": name, "in": "query", "schema": value} for name, value in schema["properties"].items()]
    return [*described, {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}]


class Stream(Response):
    """An answer that goes on until either side closes it."""

    def __init__(self, hub: Hub, places: Places, client_id: str, wanted: Filter, asked: str | None) -> None:
        self.hub = hub
        self.places = places
        self.client_id = client_id
        self.wanted = wanted
        self.asked = asked
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream; Problem 429, 503 where there is no place."""
        with self.places.taken(self.client_id, self.wanted):
            transport = await streaming.begin(scope, send, HEADERS)
            reader = self.hub.join(transport, self.wanted, self.asked)
            try:
                await streaming.ended(receive)
            finally:
                self.hub.leave(reader)


@router.get(
    "/feed",
    response_class=Response,
    responses={200: {"description": "Server-sent events", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    openapi_extra={"parameters": _parameters()},
)
async def feed(request: Request, caller: Reader) -> Response:
    """Stream what is public of the units wanted, as it changes: `schemas.beds.Unit`, each value absolute.

    `snapshot` has all units and takes the place of whatever was known; `changes` has those that are new or different,
    and in `removed` those to forget; both have ids. With Last-Event-ID the first event is a `changes` with all that was
    missed, or `reset` with a reason and then a `snapshot`. `heartbeat` says how fresh the stream is; `goodbye` why it
    ends. A test organization hears of tests' units, everybody else of real ones.

    An API client has a bound of connections (429 `too-many-feeds`), and all have one of different filters (503
    `too-many-filters`); `Retry-After` says when to come again.
    """
    state = request.app.state
    return Stream(state.feed, state.feed_places, caller.client_id, *asked_by(request, test=caller.test))
