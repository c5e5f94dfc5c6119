"""`python -m bench [boundary|day|feed|import|recovery ...]`: run measurements and write bench/results.md."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from bench import boundary, day, feed, importing, recovery
from bench.measured import RESULTS

MEASUREMENTS: dict[str, Callable[[], Awaitable[str]]] = {
    "day": day.measure,
    "boundary": boundary.measure,
    "recovery": recovery.measure,
    "import": importing.measure,
    "feed": feed.measure,
}
HEAD = """# Measured

Each section names the command that wrote it. Machines are shared and noisy: quote medians and ratios.

"""


async def main(names: list[str]) -> None:
    """Run the measurements named, all by default; the sections of the others stay as they are."""
    old = RESULTS.read_text().removeprefix(HEAD).split("\n## ") if RESULTS.exists() else []
    parts = [part.lstrip("# ") for part in old]
    sections = {name: text for text in parts for name in MEASUREMENTS if f"python -m bench {name}`" in text}
    for name in names or list(MEASUREMENTS):
        sections[name] = (await MEASUREMENTS[name]()).removeprefix("## ")
        print("##", sections[name], sep=" ")
        RESULTS.write_text(HEAD + "\n".join(f"## {sections[one].strip()}\n" for one in MEASUREMENTS if one in sections))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
