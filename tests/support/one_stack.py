"""One whole stack, a receiver and a community, for all tests of a folder whose conftest names these fixtures."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.providers import Providers, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack


@pytest.fixture(scope="package")
def running_stack() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def town(running_stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(running_stack, receiver)
