"""What a story is made of: the head first, the others in no order that tells anything."""

import json
from itertools import permutations

from services.webhooks.messages import Identified
from services.webhooks.render import render
from services.webhooks.story import Known, tell
from services.webhooks.told import Told
from tests.support.outreach import World


def known(world: World, client_id: str, number: int, *, head: bool) -> Known:
    """A permit about a client; `number` is its place among the decisions."""
    told = world.permit()
    data = render(told, world.release(told)).data
    assert isinstance(data, Identified)
    of_client = data.model_copy(update={"client_id": client_id, "referral_version": number})
    return Known(number, told if head else _of_a_member(told), of_client)


def _of_a_member(told: Told) -> Told:
    decision = {name: getattr(told.decision, name) for name in told.decision.__struct_fields__} | {"reference": None}
    return Told(id=told.id, event=told.event, decision=type(told.decision)(**decision), envelopes=told.envelopes)


def test_members_stand_in_an_order_that_says_nothing_but_who_is_head() -> None:
    world = World()
    household = [known(world, name, number, head=name == "z") for number, name in enumerate("cabz")]
    stories = {json.dumps(found.model_dump()["members"]) for each in permutations(household) if (found := tell(each))}
    assert len(stories) == 1
    assert [member["client_id"] for member in json.loads(stories.pop())] == ["z", "a", "b", "c"]


def test_of_nobody_there_is_no_story() -> None:
    assert tell([]) is None
