"""examples/receiver.py does what docs/connect.md asks of every receiver."""

import sys

from tests.support.example_receivers import check


async def test_it_takes_what_is_signed_new_and_newer_and_nothing_else() -> None:
    await check([sys.executable, "examples/receiver.py"])
