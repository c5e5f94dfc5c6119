"""Parts that start together: none waits for another, and they end in the reverse of the order given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.kit.together import together


class Told:
    """What happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def part(self, name: str, after: asyncio.Event | None = None, *, fails: bool = False) -> AsyncIterator[None]:
        if after is not None:
            await after.wait()
        if fails:
            raise ValueError(name)
        self.events.append(f"{name} up")
        try:
            yield
        finally:
            self.events.append(f"{name} down")


@asynccontextmanager
async def opening(event: asyncio.Event) -> AsyncIterator[None]:
    event.set()
    yield


async def test_none_waits_for_another_and_the_last_given_ends_first() -> None:
    told, opened = Told(), asyncio.Event()
    async with together(told.part("slow", opened), told.part("quick"), opening(opened)):
        assert told.events == ["quick up", "slow up"]
    assert told.events[2:] == ["quick down", "slow down"]


async def test_if_one_can_not_start_those_that_could_end() -> None:
    told, opened = Told(), asyncio.Event()
    with pytest.raises(ExceptionGroup) as raised:
        async with together(told.part("good"), told.part("bad", opened, fails=True), opening(opened)):
            pytest.fail("the block runs though a part does not")
    assert [str(error) for error in raised.value.exceptions] == ["bad"]
    assert told.events == ["good up", "good down"]
