"""The one way in which a process that may not go on ends: at once, committing nothing."""

import asyncio
import os
import sys
from typing import NoReturn

from services.kit import logs

EXIT_CODE = 70


def die(why: str, error: BaseException | None = None) -> NoReturn:
    """End the process at once, committing nothing: the next one starts where the output or the rows end.

    `why` holds no data of a record. The error is told by its type and place, never by its text, which could.
    """
    logs.get().critical("process ends, committing nothing", why=why, **(logs.describe(error) if error else {}))
    sys.stdout.flush()
    os._exit(EXIT_CODE)


def die_if_failed(task: "asyncio.Task[None]") -> None:
    """End the process if a task that should have gone on for ever raised: `task.add_done_callback(die_if_failed)`."""
    if not task.cancelled() and (error := task.exception()):
        die("A task that the service lives by failed:", error)
