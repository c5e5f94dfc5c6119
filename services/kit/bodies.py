"""What the bodies of all APIs have alike: what is unknown is refused, and who is behind the client may be named."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Body(BaseModel):
    """A body that refuses what it does not know and never repeats what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Actor(Body):
    """The person behind the API client: an opaque id of the organization's own, and a role."""

    id: Code
    role: Code


class Writing(Body):
    """A writing body: names, if it wants, who is behind the API client."""

    actor: Actor | None = None
