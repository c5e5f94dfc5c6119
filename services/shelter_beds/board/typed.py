"""Reads what was typed into a page's form."""

from collections.abc import Mapping
from typing import TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData

from services.kit.problems import from_validation

M = TypeVar("M", bound=BaseModel)


def text(form: FormData, name: str) -> str:
    """Return what was typed into a field; "" for one that is not there."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def read(model: type[M], typed: Mapping[str, object]) -> M:
    """Return a body of an API as a form gave it; Problem 422, as the API answers."""
    try:
        return model.model_validate(typed)
    except ValidationError as error:
        located = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise from_validation(RequestValidationError(located)) from None
