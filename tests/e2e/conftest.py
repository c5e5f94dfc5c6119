"""One whole stack, a receiver and a community for all tests of this folder."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.ports import free_port_base
from tests.support.providers import Providers, found_community
from tests.support.receiver import receiving
from tests.support.shared_stack import RUN_FOLDER
from tests.support.stack import StackProcess


@pytest.fixture(scope="package")
def running_stack() -> Iterator[StackProcess]:
    folder = Path(tempfile.mkdtemp(dir=os.environ[RUN_FOLDER]))
    folder.chmod(0o755)
    with free_port_base() as base:
        process = StackProcess(folder / "home", base)
        process.start()
        yield process
        process.end()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def town(running_stack: StackProcess) -> AsyncIterator[Providers]:
    async with receiving() as receiver:
        yield await found_community(running_stack, receiver)
