"""Logs are JSON lines into which personal data cannot get, on whatever way it tries."""

import ast
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

from services.kit import logs
from services.kit.service import create_service
from tests.support.callers import Community

CANARY = "Jane-Canary-1961"
CLIENTS: dict[str, str] = {}
SERVICES = Path(logs.__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    hooks = sys.excepthook, threading.excepthook
    written = io.StringIO()
    logs.configure("consent", written)
    yield written
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    assert CANARY not in stream.getvalue()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_service(stream: io.StringIO) -> None:
    logs.get().info("partition taken", topic="client-events", partition=3)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "partition taken",
        "level": "info",
        "service": "consent",
        "topic": "client-events",
        "partition": 3,
    }


def test_nothing_that_is_logged_begins_a_line_of_its_own(stream: io.StringIO) -> None:
    forged = 'x\n{"event": "forged", "level": "info"}\r\u2028\x1b[2K'
    logs.get().info("partition taken", topic=forged, partition=3)
    logging.getLogger("a.library").warning(forged)
    logging.getLogger("a.library").warning("trouble with %s", forged)
    written = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert len(written) == 3
    assert {one["event"] for one in written} != {"forged"}
    assert "forged" not in [one["event"] for one in written]
    assert not any(mark in stream.getvalue() for mark in ("\r", "\u2028", "\x1b"))


def test_a_field_that_is_not_listed_is_dropped_by_name(stream: io.StringIO) -> None:
    logs.get().info("consent stored", client_name=CANARY, body={"name": CANARY}, partition=3)
    (line,) = lines(stream)
    assert line["dropped"] == ["body", "client_name"]
    assert line["partition"] == 3


def fail() -> None:
    try:
        CLIENTS[CANARY]
    except KeyError as error:
        raise ValueError(f"no client {CANARY}") from error


def test_an_exception_is_told_by_type_and_place(stream: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logs.get().exception("reader failed")
    (line,) = lines(stream)
    assert (line["error"], line["caused_by"]) == ("builtins.ValueError", ["builtins.KeyError"])
    assert line["where"][-1].startswith(f"{__file__}:")
    assert line["where"][-1].endswith(" fail")


def test_a_library_shows_its_template_and_no_value(stream: io.StringIO) -> None:
    logging.getLogger("aiokafka").warning("Topic %s not found", CANARY)
    logging.getLogger("faust").warning(f"record {CANARY}")  # noqa: G004 - as some libraries do
    logging.getLogger("asyncio").error("%s", CANARY, exc_info=ValueError(CANARY))
    template, composed, failed = lines(stream)
    assert template["event"] == "Topic %s not found"
    assert composed["event"] == logs.WITHHELD
    assert composed["at"].startswith(__file__)
    assert (failed["event"], failed["error"]) == ("%s", "builtins.ValueError")


def test_the_prefix_of_fausts_services_does_not_hide_their_text(stream: io.StringIO) -> None:
    text = "Still waiting for acks"
    logging.getLogger("faust").warning(f"[^--Consumer]: {text}")  # noqa: G004 - as mode does
    assert lines(stream)[0]["event"] == text


def test_what_a_library_set_up_for_itself_is_replaced(stream: io.StringIO) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(logging.StreamHandler(stream))
    logger.propagate = False
    logs.configure("consent", stream)
    logger.error("Exception in ASGI application", exc_info=ValueError(CANARY))
    assert [line["logger"] for line in lines(stream)] == ["uvicorn.error"]


def test_a_storm_of_one_line_is_told_once_and_counted() -> None:
    place = logs.OncePerPlace()

    def record(second: float, line: int = 1) -> logging.LogRecord:
        made = logging.LogRecord("aiokafka", logging.ERROR, "client.py", line, "Unable to connect", (), None)
        made.created = second
        return made

    assert place.filter(record(100.0))
    assert not any(place.filter(record(100.0 + second)) for second in range(1, 10))
    assert place.filter(record(105.0, line=2))
    later = record(110.0)
    assert place.filter(later)
    assert later.repeated == 9  # type: ignore[attr-defined]


def test_what_nobody_caught_is_told_without_its_message(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ValueError(CANARY)
    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert [line["event"] for line in lines(stream)] == ["uncaught exception"] * 2
    assert capsys.readouterr().err == ""


def test_warnings_are_told_without_their_text(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(CANARY, stacklevel=1)
    assert [line["logger"] for line in lines(stream)] == ["py.warnings"]


@pytest.mark.parametrize(
    ("error", "why"), [(logs.OperatorError("Set THRESHOLD_KAFKA."), "Set THRESHOLD_KAFKA."), (ValueError(CANARY), None)]
)
async def test_a_service_that_cannot_start_says_why(error: Exception, why: str | None, stream: io.StringIO) -> None:
    def failing(_: FastAPI) -> AbstractAsyncContextManager[None]:
        raise error

    app = create_service(Community().settings("consent"), pieces=[failing])
    logs.configure("consent", stream)
    with pytest.raises(type(error)):
        async with app.router.lifespan_context(app):
            raise AssertionError("started")
    (line,) = lines(stream)
    assert (line["event"], line.get("message")) == ("not started", why)


def test_the_event_of_every_line_of_ours_is_a_literal() -> None:
    composed = [
        f"{path}:{call.lineno}"
        for path in SERVICES.rglob("*.py")
        for call in _log_calls(ast.parse(path.read_text()))
        if not (call.args and isinstance(call.args[0], ast.Constant))
    ]
    assert composed == []


def _log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            source = ast.unparse(node.func.value)
            if source in {"log", "logger", "logs.get()", "logging"}:
                yield node
