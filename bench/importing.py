"""How fast an HMIS export of many clients is brought in through the APIs, and that a second time doubles nothing.

The export is a seeded variant of the sample in `../shared/hmis-csv-fy2026`, each opening with a location.
`CLIENTS=100000 python -m bench import` takes as many as the largest communities have; the default ends in minutes.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bench.measured import Row, peak_memory, section
from bench.stack import whole_stack
from services.cli.hmis.variants import Variant, write_variant
from tests.support.governance import Caller
from tests.support.hmis import SAMPLE
from tests.support.importing import Place, Ran

CLIENTS = int(os.environ.get("CLIENTS", "5000"))


async def measure() -> str:
    """The section of results.md."""
    return await asyncio.to_thread(_measured)


def _measured() -> str:
    with tempfile.TemporaryDirectory() as folder, whole_stack() as stack:
        export = Path(folder, "export")
        began = time.perf_counter()
        write_variant(SAMPLE, export, Variant(seed=1, clients=CLIENTS, locations=True))
        written = time.perf_counter() - began
        place = Place(stack, Caller(stack, **stack.admin))
        first, again = (place.takes(export, within=3600) for _ in range(2))
        memory = peak_memory(stack.pid("referrals"))
    registrations, referrals = first.made("registrations"), first.made("referrals")
    _check(first, again)
    rows = [
        Row(f"an export of {CLIENTS:,} clients written", [written], "s"),
        Row("imported as history", [first.report["seconds"]], "s"),
        Row("registrations and referrals", [(registrations + referrals) / first.report["seconds"]], "/s"),
        Row("imported again, nothing doubled", [again.report["seconds"]], "s"),
        Row("peak memory of referrals", [memory], "MB", "≤ 150"),
    ]
    remarks = f"{registrations:,} registrations of {CLIENTS:,} clients, {referrals:,} referrals."
    return section("python -m bench import", "An HMIS export", rows, remarks)


def _check(first: Ran, again: Ran) -> None:
    """The output is what was to be imported, or its rate says nothing."""
    kinds = ("registrations", "referrals")
    if (first.code, again.code, first.report["clients"]) != (0, 0, CLIENTS):
        raise SystemExit(f"not everything was imported: {first.errors or first.report} {again.errors}")
    if [again.made(kind) for kind in kinds] != [0, 0]:
        raise SystemExit("imported twice, something was doubled")
    if [again.present(kind) for kind in kinds] != [first.made(kind) for kind in kinds]:
        raise SystemExit("what was imported is not there")
