"""What a measurement gives, and how results are written down."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, each run's value, its unit, and the target it is held against."""

    what: str
    values: Sequence[float]
    unit: str
    target: str = ""

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)

    def line(self) -> str:
        """The row of the table."""
        spread = f"{_number(min(self.values))} - {_number(max(self.values))}" if len(self.values) > 1 else ""
        return f"| {self.what} | {_number(self.median)} {self.unit} | {spread} | {len(self.values)} | {self.target} |"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def peak_memory(pid: int) -> float:
    """The most memory that a running process ever had, in MB (Linux's VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def waited_seconds(pid: int) -> float:
    """For how long a process's main thread was ready to run and had no processor (Linux's schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def section(command: str, title: str, rows: Sequence[Row], remarks: str = "") -> str:
    """One measurement's part of results.md."""
    head = [
        f"## {title}",
        "",
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {_machine()}.",
        "",
        "| what | median | spread | runs | target |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *[row.line() for row in rows], "", *([remarks, ""] if remarks else [])])


def _machine() -> str:
    load = os.getloadavg()[0]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, shared with others, load average before: {load:.1f}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
