"""What a request must be before any route sees it: at most 64 KiB, and text that can be stored and signed.

NUL cannot be stored in PostgreSQL, lone surrogates are no Unicode text, and neither may stand in canonical JSON; both
are refused here, once, so that no field of any route can be forgotten.
"""

import json
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kit.problems import Problem

MAXIMUM_BODY_BYTES: Final = 64 * 1024
MAXIMUM_DEPTH: Final = 64
REFUSED_TEXT: Final = "must not contain NUL or a lone surrogate"


class Admission:
    """ASGI middleware: reads the body within the limit, checks it, and hands it on in one piece."""

    def __init__(self, app: ASGIApp, maximum_bytes: int = MAXIMUM_BODY_BYTES) -> None:
        self.app = app
        self.maximum_bytes = maximum_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or 422, or let the request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            _check_address(scope)
            body = await self._read(scope, receive)
            check_text(body, is_form=_content_type(scope).startswith(b"application/x-www-form-urlencoded"))
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await self.app(scope, _given(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = _header(scope, b"content-length")
        if declared.isdigit() and int(declared) > self.maximum_bytes:
            raise Problem("body-too-large")
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self.maximum_bytes:  # a chunked body declares no length
                raise Problem("body-too-large")
            if not message.get("more_body", False):
                return bytes(body)


def check_text(body: bytes, *, is_form: bool = False) -> None:
    """Refuse a body with NUL, a lone surrogate or bytes that are not UTF-8; Problem 422 names the field."""
    if b"\0" in body or (is_form and b"\0" in unquote_to_bytes(body)):
        raise Problem("invalid-body", REFUSED_TEXT, field="body")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("invalid-body", "must be UTF-8", field="body") from None
    if "\\u" in text and not is_form:  # only an escape can still hide one
        _check_escapes(text)


def _check_escapes(text: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return  # not JSON: the route's own parser says so
    _check_value(value, "")


def _check_value(value: object, path: str) -> None:
    if path.count(".") > MAXIMUM_DEPTH:
        raise Problem("invalid-body", "is nested too deeply", field="body")
    if isinstance(value, str) and not is_storable(value):
        raise Problem("invalid-body", REFUSED_TEXT, field=path or "body")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(item, _join(path, str(index)))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not is_storable(key):
                raise Problem("invalid-body", REFUSED_TEXT, field=path or "body")
            _check_value(item, _join(path, key))


def is_storable(text: str) -> bool:
    """Tell whether a text has neither NUL nor a lone surrogate."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _join(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def _check_address(scope: Scope) -> None:
    if b"\0" in unquote_to_bytes(scope["query_string"]):
        raise Problem("invalid-parameter", REFUSED_TEXT, field="query")
    if not is_storable(scope["path"]):
        raise Problem("not-found")


def _given(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_once() -> Message:
        nonlocal given
        if given:
            return await receive()  # the disconnection, for those who stream
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_once


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _content_type(scope: Scope) -> bytes:
    return _header(scope, b"content-type").lower()
