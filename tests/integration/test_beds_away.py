"""What ends while the service is away has ended when it is back."""

from tests.conftest import Databases
from tests.support.shelter import OUTREACH, Shelter, opened
from tests.support.waiting import wait_until_async


async def test_holds_end_while_the_service_is_away(postgres: Databases) -> None:
    async with opened(postgres.create_database("shelter_beds")) as found:
        async with found.serving():
            unit = await found.unit(2)
            expiring, declined = await found.hold(unit), await found.hold(unit, referral_id="referral-3")
        found.sql("UPDATE holds SET expires_at = now() WHERE id = %s", expiring["id"])
        await found.end_referral("referral-3", "declined")
        async with found.serving():
            await until_state(found, expiring["id"], ("expired", None))
            await until_state(found, declined["id"], ("released", "referral_declined"))
            assert (await found.said_of(unit))[-1].available == 2


async def until_state(shelter: Shelter, hold_id: str, expected: tuple[str, str | None]) -> None:
    async def reached() -> bool:
        seen = (await shelter.get(OUTREACH, f"/holds/{hold_id}")).json()
        return (seen["state"], seen["reason"]) == expected

    await wait_until_async(reached, what=f"the hold to be {expected}")
