"""What the API of webhooks takes and answers."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from services.kit.bodies import Actor, Body
from services.kit.problems import refusal
from services.webhooks.guard import LONGEST_URL
from services.webhooks.messages import ExpiringMessage, Message
from services.webhooks.notices import AVAILABILITY_TYPE, EXPIRING_TYPE, HOLD_TYPES
from services.webhooks.told import EVENT_TYPES, EVERYTHING

TYPES: Final = (*EVENT_TYPES, *HOLD_TYPES, EXPIRING_TYPE, AVAILABILITY_TYPE)


def _known_type(value: str) -> str:
    if value not in (EVERYTHING, *TYPES):
        raise refusal(f"must be {EVERYTHING} or one of: {', '.join(TYPES)}")
    return value


Url = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_URL)]
Types = Annotated[list[Annotated[str, AfterValidator(_known_type)]], Field(min_length=1, max_length=50)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class NewEndpoint(Body):
    """An endpoint to register: an https URL, and the types of event that it wants.

    `*` is all that is told to its organization. `unit.availability` is told to nobody in particular: it is to be named,
    by a credential with the scope beds:read, best for an endpoint of its own, since each change of each unit is sent. A
    test organization is told of tests' units, everybody else of real ones.
    """

    url: Url
    types: Types
    description: Description | None = None
    actor: Actor | None = None


class EndpointChange(Body):
    """What is to change of an endpoint; `enabled: true` also wakes one that has a `disabled_reason`."""

    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    enabled: bool | None = None
    actor: Actor | None = None


class Endpoint(Body):
    """An endpoint; its secret is never shown again."""

    id: str
    url: str
    types: list[str]
    description: str | None
    enabled: bool
    disabled_reason: Annotated[
        str | None,
        Field(
            description="`gone`: the receiver answered 410. `restored`: a backup was restored, which may not know how "
            "you changed or deleted the endpoint since; what is for it waits until you say `enabled: true`"
        ),
    ]
    failing: Annotated[bool, Field(description="The last attempt failed")]
    created_at: datetime


class CreatedEndpoint(Endpoint):
    """An endpoint with the secret that its requests are signed with (Standard Webhooks): shown this once."""

    secret: Annotated[str | None, Field(description="null in the answer to a repeated Idempotency-Key")] = None


class TestResult(Body):
    """What came of a test request."""

    __test__ = False

    delivered: bool
    status_code: int | None
    error: Annotated[str | None, Field(description="Why no answer came, in one of a few words")]
    milliseconds: int


class Attempt(Body):
    """One line of the attempt log. Neither what was sent nor what was answered is kept."""

    began_at: datetime
    milliseconds: int
    status_code: int | None
    error: Annotated[str | None, Field(description="Why no answer came, in one of a few words")]


class Delivery(Body):
    """One event on its way to an endpoint, from its first attempt on."""

    id: str
    endpoint_id: str
    webhook_id: Annotated[str, Field(description="The webhook-id header of every attempt")]
    type: str
    state: Literal["pending", "sending", "delivered", "given_up", "not_sent"]
    next_attempt_at: datetime | None


class DeliveryWithAttempts(Delivery):
    """A delivery with its attempt log, oldest first."""

    attempts: list[Attempt]


class Page(Body):
    """Deliveries, newest first; `next` is the cursor for `after`, null on the last page."""

    items: list[Delivery]
    next: str | None


class InboxPage(Body):
    """What was told, oldest first. Keep the last `next` that was not null: it is where to go on reading later."""

    items: list[Message | ExpiringMessage]
    next: Annotated[str | None, Field(description="The cursor of what follows; null when there was nothing")]
