"""Tells a household as one: exactly the members of a referral that its receiver may know at this moment. Pure."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from schemas.events import PurposeOfUse
from services.webhooks.messages import CallBack, Consent, Identified, Shared
from services.webhooks.told import Told


class StoryMember(BaseModel):
    """A member of the household, as the newest message about the person would be told now."""

    client_id: str
    event_id: Annotated[str, Field(description="The event of the message that said this")]
    referral_version: int
    shared: Shared
    consent: list[Consent]
    obligations: Annotated[list[str], Field(description="What you must do or not do, as stable codes")]
    notices: Annotated[list[str], Field(description="The obligations in words, to be kept with the data")]


class Story(BaseModel):
    """A referral's household as you may know it now; a field that says nothing is left out.

    Members you may not know are not in it, and neither is what would tell of them.
    """

    referral_id: str
    reference: Annotated[str | None, Field(description="The referral's other name, once you know its head")] = None
    publisher: str
    publisher_project: str | None = None
    purpose: PurposeOfUse
    status: Annotated[str, Field(description="As it was last told; of what you did yourself nothing is told")]
    call_back: CallBack | None = None
    head_of_household: Annotated[str | None, Field(description="The client id of the head, if you may know it")] = None
    members: Annotated[list[StoryMember], Field(description="The head first, if you may know the head")]


class Known(NamedTuple):
    """A message about a member, with the decision that it was made of; `number` tells which came later."""

    number: int
    told: Told
    data: Identified

    @property
    def is_heads(self) -> bool:
        """A reference tells the head of household's events from all others."""
        return self.told.decision.reference is not None


def tell(known: Sequence[Known]) -> Story | None:
    """Make the story of what is known of one referral, permits and the statuses after them; None if that is nobody.

    Permits alone show anybody: each names the referral by its id. What names it by the `reference`, as of a head whose
    name is not known, must not be found by the id: who knows another member would learn whose child it is.
    """
    permits = [each for each in known if each.data.verdict == "permit"]
    if not permits:
        return None
    head = next((each for each in permits if each.is_heads), None)
    said = head or max(permits, key=_number)
    newest = max((each for each in known if each.is_heads), key=_number, default=said)
    given: dict[str, Any] = {
        "reference": said.data.reference,
        "publisher_project": said.data.publisher_project,
        "call_back": said.data.call_back,
        "head_of_household": head.data.client_id if head else None,
    }
    return Story(
        referral_id=said.told.event.data.referral.id,
        publisher=said.data.publisher,
        purpose=said.data.purpose,
        status=newest.data.status,
        members=[_member(each) for each in sorted(permits, key=_place)],
        **{name: value for name, value in given.items() if value is not None},
    )


def _number(known: Known) -> int:
    return known.number


def _place(known: Known) -> tuple[bool, str]:
    """The head first; the others by their ids, which are random: when each was said, or agreed to, is no order."""
    return not known.is_heads, str(known.data.client_id)


def _member(known: Known) -> StoryMember:
    data = known.data
    return StoryMember.model_validate(
        {
            "client_id": data.client_id,
            "event_id": data.event_id,
            "referral_version": data.referral_version,
            "shared": data.shared,
            "consent": data.consent,
            "obligations": data.obligations,
            "notices": data.notices,
        }
    )
