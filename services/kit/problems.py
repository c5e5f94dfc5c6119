"""Errors of the HTTP APIs: RFC 9457 problem details, one table of types, and no value of the request in any of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException

from services.kit.problem_types import PROBLEM_TYPES

MEDIA_TYPE: Final = "application/problem+json"
DATABASE_RETRY_SECONDS: Final = 2

NAME_OF_STATUS: Final = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}

ANSWER: Final[dict[str, Any]] = {
    "description": "A problem (RFC 9457); `type` leads to its explanation",
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string", "format": "uri-reference"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["field", "detail"],
                            "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                        },
                    },
                },
            }
        }
    },
}
"""How an OpenAPI document describes an error answer."""

# Only these say nothing but what is expected; the others may quote the value (a date, a tag, the text of a library's
# ValueError), and a value may be a client's. Our own validators speak through `refusal`, whose text is fixed.
# fmt: off
QUOTABLE: Final = frozenset({
    "missing", "none_required", "extra_forbidden", "refusal", "literal_error", "enum", "bool_type", "int_type",
    "float_type", "string_type", "dict_type", "list_type", "tuple_type", "model_type", "model_attributes_type",
    "string_too_short", "string_too_long", "string_pattern_mismatch", "too_short", "too_long", "greater_than",
    "greater_than_equal", "less_than", "less_than_equal", "timezone_aware", "union_tag_not_found",
})
# fmt: on


FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}|\[key\]")
UNNAMED: Final = "(unknown)"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request: where (`members.0.client_id`) and what was expected there."""

    field: str
    detail: str


class Problem(Exception):
    """An error answer. `name` is a row of PROBLEM_TYPES, which gives status and title.

    `detail` and the faults are shown to the caller: fixed texts and public names only, never a value of the request.
    `field` is short for one fault with the same detail; `extra` are further members of the answer (RFC 9457 3.2).
    """

    def __init__(
        self,
        name: str,
        detail: str = "",
        *,
        field: str | None = None,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name)
        self.name = name
        self.type = PROBLEM_TYPES[name]
        self.detail = detail or self.type.meaning
        self.faults = (Fault(field, self.detail),) if field else tuple(faults)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        described = {
            "type": f"/problems/{self.name}",
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
        }
        errors = [{"field": fault.field, "detail": fault.detail} for fault in self.faults]
        return {**described, **({"errors": errors} if errors else {}), **self.extra}

    def response(self) -> JSONResponse:
        """Return the answer that carries this problem."""
        return JSONResponse(self.body(), self.type.status, self.headers, media_type=MEDIA_TYPE)


def refusal(requirement: str) -> PydanticCustomError:
    """Make the error for a validator to raise; `requirement` is a fixed text such as "must be in the future"."""
    return PydanticCustomError("refusal", requirement)


def invalid_body(field: str, detail: str) -> Problem:
    """Make the problem for a field that only the domain can judge, beyond its schema."""
    return Problem("invalid-body", detail, field=field)


def from_validation(error: RequestValidationError) -> Problem:
    """Turn pydantic's errors into a problem that names each field and echoes no value."""
    faults = [_fault(each) for each in error.errors()]
    in_body = all(each["loc"][0] == "body" for each in error.errors())
    first = faults[0]
    return Problem("invalid-body" if in_body else "invalid-parameter", f"{first.field}: {first.detail}", faults=faults)


def install(app: FastAPI, database_away: Iterable[type[Exception]] = ()) -> None:
    """Let every error of `app`, foreseen or not, be answered as a problem.

    `database_away` are the errors that say that the service's database can't be reached.
    """
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    for failure in database_away:
        app.add_exception_handler(failure, _answer_database)
    app.add_exception_handler(Exception, _answer_unforeseen)


def _fault(error: Mapping[str, Any]) -> Fault:
    source, *rest = error["loc"]
    if error["type"] == "json_invalid":  # its location is a character's position, its context may quote the text
        return Fault(str(source), "is not JSON")
    expected = str(error["msg"]) if error["type"] in QUOTABLE else "is not a valid value"
    told = map(_named, rest) if source == "body" else map(str, rest)  # a parameter that nobody declared is no fault
    return Fault(".".join(told) or str(source), expected)


def _named(step: str | int) -> str:
    """Return a step to a field as it may be told: the name of one that nobody declared is a text of the caller's."""
    return str(step) if isinstance(step, int) or FIELD_NAME.fullmatch(step) else UNNAMED


async def _answer_problem(_: Request, error: Exception) -> JSONResponse:
    return cast("Problem", error).response()


async def _answer_validation(_: Request, error: Exception) -> JSONResponse:
    return from_validation(cast("RequestValidationError", error)).response()


async def _answer_http(_: Request, error: Exception) -> JSONResponse:
    answer = cast("HTTPException", error)
    return Problem(NAME_OF_STATUS.get(answer.status_code, "internal-error"), headers=answer.headers).response()


async def _answer_database(_: Request, __: Exception) -> JSONResponse:
    return Problem("database-down", headers={"Retry-After": str(DATABASE_RETRY_SECONDS)}).response()


async def _answer_unforeseen(_: Request, __: Exception) -> JSONResponse:
    return Problem("internal-error").response()
