"""An agreement is suspended by one of its parties: it bites at once, and is said once the custodian has seen it."""

import pytest

from tests.support.providers import SAID, found_community
from tests.support.receiver import receiving
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_suspension_is_said_when_both_deciders_know_it(running_stack: StackProcess) -> None:
    async with receiving() as receiver:
        town = await found_community(running_stack, receiver)
        outreach, shelter = town.outreach, town.shelter
        client = await outreach.client()
        await outreach.grant(shelter, client, "identity")
        path = f"/agreements/{town.agreement}"
        answer = await shelter.call("POST", "governance", f"{path}/suspension", wait=15)
        assert (answer.status_code, answer.json()["status"]) == (200, "suspended"), answer.text
        assert (await outreach.get("governance", path))["status"] == "suspended"
        made = await outreach.refer(shelter, client)

        async def decided() -> bool:
            crossing = (await outreach.get("referrals", f"/referrals/{made}"))["crossing"]
            return bool(crossing) and crossing[0]["verdict"] == "not_sent" and set(SAID) <= set(crossing[0]["withheld"])

        await wait_until_async(decided, what="a decision")
        assert shelter.desk.received == []
