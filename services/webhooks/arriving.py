"""What arrives at an endpoint, type by type: for the OpenAPI document, and for the JSON Schemas of receivers."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel, create_model

from services.kit.auth import public
from services.webhooks.messages import AvailabilityMessage, ExpiringMessage, HoldMessage, Message, TestMessage
from services.webhooks.notices import AVAILABILITY_TYPE, EXPIRING_TYPE, HOLD_TYPES
from services.webhooks.pings import TYPE as TEST_TYPE
from services.webhooks.told import EVENT_TYPES

_SHAPES: Final[Mapping[str, type[BaseModel]]] = {
    **dict.fromkeys(EVENT_TYPES, Message),
    **dict.fromkeys(HOLD_TYPES, HoldMessage),
    EXPIRING_TYPE: ExpiringMessage,
    AVAILABILITY_TYPE: AvailabilityMessage,
    TEST_TYPE: TestMessage,
}


def _named(type_: str, shape: type[BaseModel]) -> type[BaseModel]:
    name = "".join(word.capitalize() for word in type_.replace("_", ".").split("."))
    fields: dict[str, Any] = {"type": (Literal[type_], ...)}
    return create_model(f"{name}Message", __base__=shape, __doc__=shape.__doc__, **fields)


MESSAGES: Final[Mapping[str, type[BaseModel]]] = {type_: _named(type_, shape) for type_, shape in _SHAPES.items()}
"""The body of each type of request."""

_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    204: {"description": "It has arrived; any other 2xx says so too"},
    410: {"description": "Disables the endpoint"},
    "default": {"description": "Sent again later, by a schedule of about three days"},
}


def _signed(
    webhook_id: Annotated[str, Header(description="The same in each attempt, and in a repetition of the same message")],
    webhook_timestamp: Annotated[str, Header(pattern="^[0-9]+$", description="When this attempt was made: Unix time")],
    webhook_signature: Annotated[
        str,
        Header(
            description="`v1,` and the base64 HMAC-SHA256, under the endpoint's secret, of id, timestamp and body, "
            "joined by full stops (Standard Webhooks 1.0); of several, parted by spaces, any one may fit"
        ),
    ],
) -> None:
    """Name the headers that sign a request."""


def describe(app: FastAPI) -> None:
    """Describe in the OpenAPI document each type of request that arrives at endpoints."""
    for type_, shape in MESSAGES.items():
        _describe(app, type_, shape)


def _describe(app: FastAPI, type_: str, shape: type[BaseModel]) -> None:
    @app.webhooks.post(
        type_,
        name=type_,
        operation_id=type_,
        summary=type_,
        status_code=204,
        responses=_ANSWERS,
        dependencies=[public(), Depends(_signed)],
        tags=["webhooks"],
    )
    async def arrives(body: shape) -> None:  # type: ignore[valid-type] # a type made from the list of types
        """Arrives signed as Standard Webhooks 1.0 has it.

        Answer 2xx within 15 seconds. Any other answer is retried by a schedule of about three days, with the same
        webhook-id and what may be told then; 410 disables the endpoint. Leave alone the fields that you do not know.
        """
