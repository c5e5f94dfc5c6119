"""Lets each kind of event happen and sees what came of it at the endpoints of who was to hear it."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final

from services.cli.hmis.client import LARGEST_PAGE
from services.cli.sandbox.cast import Cast
from services.cli.sandbox.kinds import KINDS, Kind
from services.kit.waiting import until
from services.webhooks.told import EVERYTHING

SLOW: Final = 60.0  # seconds: what takes longer is begun first
DELIVERED: Final = "delivered"


@dataclass(frozen=True)
class Outcome:
    """What came of a type: `arrived` is how many were delivered, `word` says it; not `good` if some were not."""

    type: str
    word: str
    good: bool
    arrived: int = 0


async def send(cast: Cast, types: Iterable[str]) -> AsyncIterator[Outcome]:
    """Let events of these types happen, one after another, and yield what came of each."""
    begun = [(type_, KINDS[type_]) for type_ in types]
    begun.sort(key=lambda each: each[1].within < SLOW)
    watches = {type_: await _Watch.begin(cast, type_) for type_, kind in begun if kind.within >= SLOW}
    for type_ in watches:
        await KINDS[type_].act(cast)
    for type_, kind in begun[len(watches) :]:
        watch = await _Watch.begin(cast, type_)
        said = await kind.act(cast)
        yield await watch.outcome(kind) if said is None else _tried(type_, said)
    for type_, watch in watches.items():
        yield await watch.outcome(KINDS[type_])


class _Watch:
    """Tells what was sent of a type since it began."""

    def __init__(self, cast: Cast, type_: str, endpoints: list[str]) -> None:
        self._cast = cast
        self._type = type_
        self._endpoints = endpoints
        self._before: set[str] = set()

    @classmethod
    async def begin(cls, cast: Cast, type_: str) -> "_Watch":
        every = [each async for each in cast.hearer.every("webhooks", "/endpoints")]
        wanting = [each["id"] for each in every if each["enabled"] and _wants(each["types"], type_)]
        watch = cls(cast, type_, wanting)
        watch._before = {each["id"] for each in await watch._deliveries()}
        return watch

    async def outcome(self, kind: Kind) -> Outcome:
        """Wait until all that is to come has come, or been tried."""
        if not self._endpoints:
            return Outcome(self._type, "in the inbox" if kind.in_inbox else "no endpoint", good=True)
        expected, tried = kind.messages * len(self._endpoints), list[dict[str, Any]]()

        async def settled() -> bool | None:
            nonlocal tried
            found = [each for each in await self._deliveries() if each["id"] not in self._before]
            tried = [each if each["state"] == DELIVERED else await self._detail(each["id"]) for each in found]
            return (all(_was_tried(each) for each in tried) and len(tried) >= expected) or None

        await until(settled, kind.within)
        arrived = sum(each["state"] == DELIVERED for each in tried)
        failed = next((_failure(each) for each in tried if each["state"] != DELIVERED), "nothing was sent")
        good = arrived >= expected
        return Outcome(self._type, f"{arrived} delivered" if good else failed, good, arrived)

    async def _deliveries(self) -> list[dict[str, Any]]:
        hearer, found = self._cast.hearer, list[dict[str, Any]]()
        for endpoint in self._endpoints:
            path = f"/endpoints/{endpoint}/deliveries"
            found += (await hearer.get("webhooks", path, limit=LARGEST_PAGE))["items"]
        return [each for each in found if each["type"] == self._type]

    async def _detail(self, delivery: str) -> dict[str, Any]:
        return await self._cast.hearer.get("webhooks", f"/deliveries/{delivery}")


def _wants(types: list[str], type_: str) -> bool:
    return type_ in types or (EVERYTHING in types and not KINDS[type_].by_name)


def _was_tried(delivery: dict[str, Any]) -> bool:
    return delivery["state"] == DELIVERED or bool(delivery["attempts"])


def _failure(delivery: dict[str, Any]) -> str:
    if not delivery["attempts"]:
        return f"the delivery is {delivery['state']}"
    last = delivery["attempts"][-1]
    answer = f"answered {last['status_code']}" if last["status_code"] else f"could not be reached ({last['error']})"
    return f"your endpoint {answer}; it is sent again at {delivery['next_attempt_at'] or 'your word'}"


def _tried(type_: str, results: list[dict[str, Any]]) -> Outcome:
    """What endpoints said to a request of which no delivery is kept."""
    if not results:
        return Outcome(type_, "no endpoint", good=True)
    failed = [each["error"] or str(each["status_code"]) for each in results if not each["delivered"]]
    arrived = len(results) - len(failed)
    return Outcome(type_, f"{arrived} delivered" if not failed else f"your endpoint: {failed[0]}", not failed, arrived)
