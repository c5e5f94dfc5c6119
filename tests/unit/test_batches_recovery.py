"""Where to read on is waited for as long as it takes: the fold of a long log outlasts every limit of Faust's."""

import asyncio
from typing import cast

from services.kit.batches import BatchApp, Run, Tables, batch_app
from tests.support.topics import declared

A_MOMENT = 0.01  # seconds


async def nothing(_: Run) -> None:
    """Handle a run."""


def app() -> BatchApp:
    return batch_app("tester", "127.0.0.1:1", "some-topic", nothing, topics=declared("some-topic", 1))


async def test_an_answer_that_comes_late_is_waited_for() -> None:
    """It was taken for the order to stop: after a kill, a boundary with much to fold stood still for ever."""
    answered = asyncio.Event()
    asyncio.get_running_loop().call_later(5 * A_MOMENT, answered.set)
    await cast("Tables", app().tables).recovery._wait(answered.wait(), timeout=A_MOMENT)
    assert answered.is_set()


def test_a_long_fold_does_not_cost_the_membership() -> None:
    assert app().conf.broker_max_poll_interval >= 3600
