"""JSON lines on standard output that cannot hold a client's data: fixed event names, and fields from one list.

Three ways in which personal data gets into logs are closed here. A field that is not on the list is dropped, and only
its name is kept. An exception is told by its type and place, never by its message. A line of a library
shows its text only if it stands so in the library's source ("Topic %s not found"), and never the values.
"""

import ast
import logging
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

# What may be logged: places, counts, durations, public names of the system. Never an id of a client, never a text
# that came from outside.
FIELDS: Final = frozenset(
    {
        "event",
        "message",
        "level",
        "timestamp",
        "service",
        "logger",
        "at",
        "why",
        "error",
        "caused_by",
        "where",
        "dropped",
        "repeated",
    }
    | {"topic", "partition", "offset", "count", "seconds", "bytes", "attempt", "port", "pid", "version"}
    | {"method", "route", "status", "code", "state", "part", "dependency", "key_id", "log_id"}
    | {"credentials"}  # ids of organizations' API clients, which are no people
)
WITHHELD: Final = "message withheld"
FRAMES_SHOWN: Final = 6
REPEAT_SECONDS: Final = 10
_SERVICE_PREFIX: Final = re.compile(r"^\[\^-*\w+\]: ")
"""What Faust's services put before their messages."""

Event = MutableMapping[str, Any]


class OperatorError(Exception):
    """An error whose text is for whoever runs the service: fixed words and public names, so it may be logged."""


def configure(service: str, stream: TextIO = sys.stdout) -> None:
    """Send every log line of this process, ours and the libraries', to `stream`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _tell_exception,
            _keep_listed_fields,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
    _route_libraries()
    _route_uncaught()


def get() -> structlog.typing.FilteringBoundLogger:
    """Return the logger: `logs.get().info("partition taken", topic=..., partition=...)`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def describe(error: BaseException) -> dict[str, Any]:
    """Tell an exception by its type, its causes' types and its place: fields for a log line.

    Its message is told only if it is an OperatorError.
    """
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < FRAMES_SHOWN:
        causes.append(_type_name(cause))
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    told = {"message": str(error)} if isinstance(error, OperatorError) else {}
    return {"error": _type_name(error), **told, "where": where, **({"caused_by": causes} if causes else {})}


def _type_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _tell_exception(_: object, __: str, event: Event) -> Event:
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    return {**event, **describe(found)} if isinstance(found, BaseException) else event


def _keep_listed_fields(_: object, __: str, event: Event) -> Event:
    kept = {name: value for name, value in event.items() if name in FIELDS}
    dropped = sorted(event.keys() - FIELDS)
    return {**kept, "dropped": dropped} if dropped else kept


class LibraryHandler(logging.Handler):
    """Writes the records of the standard library's logging as our lines, without the values in them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        fields: dict[str, Any] = {"logger": record.name, "at": f"{record.pathname}:{record.lineno}"}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        repeated = getattr(record, "repeated", 0)
        if repeated:
            fields["repeated"] = repeated
        get().log(record.levelno, _template(record), **fields)


class OncePerPlace(logging.Filter):
    """Lets a line of code log once in REPEAT_SECONDS: a broker's outage makes thousands of the same."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}
        self._held_back: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through, with how many were held back since the last one, or hold it back."""
        place = (record.pathname, record.lineno)
        if record.created - self._last.get(place, 0.0) < REPEAT_SECONDS:
            self._held_back[place] = self._held_back.get(place, 0) + 1
            return False
        self._last[place] = record.created
        record.repeated = self._held_back.pop(place, 0)
        return True


def _template(record: logging.LogRecord) -> str:
    """Return the record's text as the library's author wrote it; whatever was composed at run time is withheld."""
    text = _SERVICE_PREFIX.sub("", str(record.msg))
    return text if text in _literals(record.pathname) else WITHHELD


@lru_cache
def _literals(path: str) -> frozenset[str]:
    """Return every text that stands as a literal in a source file."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str
    )


def _route_libraries() -> None:
    handler = LibraryHandler()
    handler.addFilter(OncePerPlace())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in [*logging.root.manager.loggerDict]:  # what uvicorn or a library has set up for itself goes
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)


def _route_uncaught() -> None:
    """Let what nobody caught be told like any other exception, not printed with its message."""
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda thread: _log_uncaught(thread.exc_type, thread.exc_value, thread.exc_traceback)


def _log_uncaught(_: type[BaseException], error: BaseException | None, __: TracebackType | None) -> None:
    if not isinstance(error, KeyboardInterrupt | SystemExit | None):
        get().critical("uncaught exception", exc_info=error)
