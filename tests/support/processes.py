"""Which processes belong to a stack, found without its help."""

from pathlib import Path


def processes_of(home: Path) -> list[int]:
    """Return the ids of all processes that name `home` on their command line or work in it.

    PostgreSQL's own children name nothing, but all work in its data folder. Reads Linux's /proc.
    """
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _concerns(entry, home)]


def _concerns(process: Path, home: Path) -> bool:
    try:
        return str(home) in process.joinpath("cmdline").read_text() or process.joinpath(
            "cwd"
        ).readlink().is_relative_to(home)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it ended while we looked, or is not ours
        return False
