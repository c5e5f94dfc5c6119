"""What ends while the service is away has ended when it is back; what can't be read, or is no more, stops nothing."""

from datetime import UTC, datetime, timedelta

from services.kit.broker import Record
from services.kit.database import Database
from services.shelter_beds import worker
from tests.conftest import Databases
from tests.support.governance import is_problem
from tests.support.shelter import OUTREACH, SHELTER, Shelter, opened
from tests.support.waiting import wait_until_async

NUL = b'{"type": "referral.declined", "data": {"referral": {"id": "a\\u0000", "originator": {"organization": "x"}}}}'


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


async def test_a_missed_reset_comes_before_whatever_is_said_after_it(postgres: Databases) -> None:
    """The sweep made it later than a census and a check-in, and the board sent people to beds that were taken."""
    async with opened(postgres.create_database("shelter_beds")) as found:
        async with found.serving():
            unit = await found.unit(5, resets_at="10:00")
            await found.census(SHELTER, unit, occupied=2, as_of=datetime.now(UTC).isoformat())
        found.sql("UPDATE units SET last_reset_at = now() - interval '25 hours', wakes_at = NULL")
        async with found.serving():
            late = (datetime.now(UTC) - timedelta(days=2)).isoformat()
            is_problem(await found.census(SHELTER, unit, available=0, as_of=late), 409, "older-census", "as_of")
            await found.census(SHELTER, unit, occupied=4, as_of=datetime.now(UTC).isoformat())
            await worker.sweep(database := Database(found.settings.database_url))
            await database.close()
            assert await found.counts(unit) == (1, 0, 4, 0)


async def test_a_record_that_cannot_be_read_and_a_unit_that_is_no_more_stop_nothing(postgres: Databases) -> None:
    async with opened(postgres.create_database("shelter_beds")) as found, found.serving():
        unit, gone = await found.unit(1), await found.unit(1)
        hold = await found.hold(unit, referral_id="referral-4")
        found.sql("UPDATE units SET withdrawn = true, wakes_at = now() WHERE id = %s", gone)
        database = Database(found.settings.database_url)
        poison = (b"{}", b"\xff", NUL, b'{"type": "referral.declined", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}")
        async with database.transaction() as session:
            await worker.follow(session, [Record("client-events", 0, 0, 0, None, (), value) for value in poison])
        await worker.sweep(database)
        await database.close()
        await found.end_referral("referral-4", "declined")
        await until_state(found, hold["id"], ("released", "referral_declined"))


async def until_state(shelter: Shelter, hold_id: str, expected: tuple[str, str | None]) -> None:
    async def reached() -> bool:
        seen = (await shelter.get(OUTREACH, f"/holds/{hold_id}")).json()
        return (seen["state"], seen["reason"]) == expected

    await wait_until_async(reached, what=f"the hold to be {expected}")
