"""Households referred in front of the webhooks service: a mother, her son and her daughter, each by its own consent."""

from dataclasses import dataclass
from typing import Any

from schemas.events import DataCategory, Recipient
from tests.support.disclosing import Made
from tests.support.hooked import Hooked
from tests.support.waiting import wait_until_async

NAMES = {"mother": "Rosalind", "son": "Diego", "daughter": "Marisol"}


@dataclass
class Household:
    """A referral of a mother, her son and her daughter, as the events about each need it."""

    receiver: str
    mother: Made
    son: Made
    daughter: Made

    @property
    def id(self) -> str:
        return self.mother.id

    @property
    def reference(self) -> str:
        return str(self.mother.recipient.reference)

    def last_decision(self, town: Hooked) -> str:
        """The id of the decision on the last event."""
        return f"0/{len(town.disclosing.answers) - 1}/{self.receiver}"


def named(name: str) -> dict[DataCategory, Any]:
    return {"identity": {"first_name": NAMES[name]}}


async def household(town: Hooked, *granting: str) -> Household:
    """Refer a household of which those `granting` consented before; as referrals does, an event for each."""
    originator, receiver = town.pair()
    clients = {name: town.disclosing.client() for name in NAMES}
    for name in granting:
        town.disclosing.grant(clients[name], originator, receiver, "identity")
    mother = town.disclosing.refer(clients["mother"], originator, receiver, named("mother"))
    made = {"mother": mother}
    for name in ("son", "daughter"):
        made[name] = Made(mother.id, clients[name], mother.originator, Recipient(organization=receiver))
        town.disclosing.say(made[name], "requested", named(name))
    await town.publish()
    found = Household(receiver, **made)
    told = len({*granting, "mother"})  # without a consent her need is told
    await wait_decided(town, found, told)
    return found


async def wait_decided(town: Hooked, of: Household, count: int) -> None:
    query = "SELECT count(*) FROM decisions WHERE organization = %s"
    await wait_until_async(lambda: town.rows(query, of.receiver) == [(count,)], what=f"{count} decisions")
