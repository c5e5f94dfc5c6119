"""HTTP: the feed."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from services.kit import auth, streaming
from services.kit.auth import Principal, requires
from services.shelter_beds.feed.filters import Filter
from services.shelter_beds.feed.hub import Hub

router = APIRouter(tags=["beds"])

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Reader = Annotated[Principal, requires(auth.Scope.BEDS_READ)]


class Asked(Filter):
    """A filter, and where to go on for those who can't send the header Last-Event-ID."""

    last_event_id: str | None = None

    def filter(self) -> Filter:
        """Return what is wanted."""
        return Filter.model_construct(**self.model_dump(exclude={"last_event_id"}))


class Stream(Response):
    """An answer that goes on until either side closes it."""

    def __init__(self, hub: Hub, wanted: Filter, asked: str | None) -> None:
        self.hub = hub
        self.wanted = wanted
        self.asked = asked
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
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
)
async def feed(
    request: Request,
    caller: Reader,
    asked: Annotated[Asked, Query()],
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream what is public of the units wanted, as it changes: `schemas.beds.Unit`, each value absolute.

    `snapshot` has all units and takes the place of whatever was known; `changes` has those that are new or different,
    and in `removed` those to forget; both have ids. With Last-Event-ID the first event is a `changes` with all that was
    missed, or `reset` with a reason and then a `snapshot`. `heartbeat` says how fresh the stream is; `goodbye` why it
    ends.
    """
    del caller
    return Stream(
        request.app.state.feed, asked.filter(), asked.last_event_id if last_event_id is None else last_event_id
    )
