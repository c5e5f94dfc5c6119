"""The kinds of field a data category may hold: bounded, closed, and the same from JSON and from Python."""

import re
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

# C0 and C1 controls, line and paragraph separators, lone surrogates, and a spelled-out NUL: nothing that can end a line
# in a log or that canonical JSON refuses.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\\u0000")
_CONTROLS_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\\u0000")
_CALENDAR_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _one_line(text: str) -> str:
    if _CONTROLS.search(text) or not text.strip():
        raise ValueError("must be one line of text, not blank and without control characters")
    return text


def _lines(text: str) -> str:
    if _CONTROLS_BUT_LINES.search(text) or not text.strip():
        raise ValueError("must be text, not blank and without control characters except new lines and tabs")
    return text


def _calendar_date(value: object) -> object:
    if isinstance(value, str):
        if not _CALENDAR_DATE.fullmatch(value):
            raise ValueError("must be a date as YYYY-MM-DD")
        return date.fromisoformat(value)
    return value


Day = Annotated[date, BeforeValidator(_calendar_date)]
# The patterns are for the JSON Schema; the validators, which also refuse what is blank, judge by themselves.
ShortText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100),
    AfterValidator(_one_line),
    Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"}),
]
FreeText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=4000),
    AfterValidator(_lines),
    Field(json_schema_extra={"pattern": r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]*$"}),
]
SocialSecurityNumber = Annotated[
    str, StringConstraints(pattern=r"^[0-9x]{9}$"), Field(description="nine digits, x for each one not known")
]
Dollars = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{2})?$"),
    Field(description='an amount per month as text, like "1204.50": what is sealed has no floats'),
]
CocCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[0-9]{3}$")]
ZipCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{5}(-[0-9]{4})?$")]
State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Phone = Annotated[str, StringConstraints(pattern=r"^[0-9+(). x-]{3,32}$")]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")]
StationNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,3}([A-Z]{2}|[A-Z][0-9])?$")]
Year = Annotated[int, Field(ge=1900, le=2200)]
Months = Annotated[int, Field(ge=1, le=11)]
Score = Annotated[int, Field(ge=0, le=1000)]
People = Annotated[int, Field(ge=1, le=99)]


class Closed(BaseModel):
    """Refuses fields it does not know and values of another type; its errors never repeat what was sent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    def plain(self) -> dict[str, Any]:
        """Give the fields that hold something, as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


class DataCategoryModel(Closed):
    """A data category: every field is optional, but an empty box would say that there is something to say."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("must hold at least one field")
        return self
