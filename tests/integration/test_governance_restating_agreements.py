"""What ended agreements, or took a party out of one, no restatement undoes, whatever became of its record."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.governance import restating
from tests.conftest import Databases
from tests.support.doubted import MORE_PARTIES, PARTIES, House, counted, opened
from tests.support.log import PARTITIONS, decode_event
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Databases) -> AsyncIterator[House]:
    async with opened(postgres.create_database("governance")) as found:
        yield found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How seldom it restates has a test of its own."""
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    monkeypatch.setattr(restating, "TRY_AGAIN_AFTER", 0.1)


async def test_what_is_suspended_stays_so(house: House) -> None:
    made = await house.agreed()
    activated = await house.said("agreement.activated")
    await house.post(f"/agreements/{made}/suspension", {}, PARTIES[0], wait=0)
    suspended = await house.said("agreement.suspended")
    await house.plant(suspended[0], suspended[1][:-40])
    await house.plant(*activated)
    after = await house.restated()
    assert made not in after.agreements
    newest = decode_event((await house.said("control.restated"))[1])
    assert made not in {one.id for one in newest.data.agreements}  # type: ignore[union-attr]
    assert len(after.agreements) > 0


async def test_who_has_left_stays_out_though_the_record_of_it_is_damaged(house: House) -> None:
    made = await house.agreed(MORE_PARTIES)
    activated = await house.said("agreement.activated")
    await house.post(f"/agreements/{made}/departure", {}, MORE_PARTIES[2], wait=0)
    left = await house.said("agreement.left")
    await house.plant(left[0], left[1][:-40])
    await house.plant(*activated)
    after = await house.restated()
    assert set(after.agreements[made].parties) == set(PARTIES)


async def test_what_was_superseded_stays_so_and_its_successor_is_in_force(house: House) -> None:
    made = await house.agreed()
    activated = await house.said("agreement.activated")
    successor = await house.agreed(supersedes=made)
    await house.plant(*activated)
    await house.plant("control/rubbish", b"rubbish")
    after = await house.restated()
    assert made not in after.agreements
    assert successor in after.agreements


async def test_tables_that_have_lost_a_departure_restate_nothing(house: House) -> None:
    made = await house.agreed(MORE_PARTIES)
    await house.post(f"/agreements/{made}/departure", {}, MORE_PARTIES[2], wait=0)
    await house.said("agreement.left")
    _gone(house, made, MORE_PARTIES[2], MORE_PARTIES[1])  # as in tables from before
    await house.plant("control/rubbish", b"rubbish")
    await wait_until_async(lambda: counted("behind-the-log") == 1, what="it to be counted")
    assert (await house.control()).in_doubt
    _gone(house, made, MORE_PARTIES[1], MORE_PARTIES[2])
    await house.restated()


async def test_tables_that_have_lost_a_suspension_restate_nothing_though_more_was_said_since(house: House) -> None:
    made = await house.agreed(MORE_PARTIES)
    before = _row(house, made)
    await house.post(f"/agreements/{made}/suspension", {}, PARTIES[0], wait=0)
    await house.said("agreement.suspended")
    lost = _row(house, made)
    _put_back(house, made, before)
    await house.post(f"/agreements/{made}/departure", {}, MORE_PARTIES[2], wait=0)
    await house.said("agreement.left")
    await house.plant("control/rubbish", b"rubbish")
    await wait_until_async(lambda: counted("behind-the-log") == 1, what="it to be counted")
    assert (await house.control()).in_doubt
    _put_back(house, made, (lost[0], _row(house, made)[1]))
    assert made not in (await house.restated()).agreements


async def test_what_is_said_after_a_restatement_stands_after_it_on_the_log_whatever_holds_it_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a damaged suspension would leave a doubt, which the older restatement then ends without it."""
    made = await house.agreed()
    with house.database() as connection:
        connection.execute(_HELD_UP)
    await house.plant("control/rubbish", b"rubbish")
    await wait_until_async(lambda: _waiting(house, "control/restated"), what="the restatement to be held up")
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(minutes=1))  # the one is enough
    await house.post(f"/agreements/{made}/suspension", {}, PARTIES[0], wait=0)
    assert made in (await house.control()).agreements
    with house.database() as connection:
        connection.execute("DROP TRIGGER held_up ON outbox")
        connection.execute("UPDATE outbox SET parked_reason = NULL")
        connection.execute("NOTIFY outbox")
    await wait_until_async(lambda: not _waiting(house), what="all to be sent")
    for partition in range(PARTITIONS):
        *_, restated, suspended = [one.value or b"" for one in await house.records(partition)]
        assert restated.endswith(b'"control.restated"}')
        assert suspended.endswith(b'"agreement.suspended"}')


_HELD_UP = """
CREATE OR REPLACE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.parked_reason = 'held up'; RETURN NEW; END $$;
CREATE TRIGGER held_up BEFORE INSERT ON outbox FOR EACH ROW
WHEN (NEW.key = 'control/restated'::bytea) EXECUTE FUNCTION held_up()
"""


def _waiting(house: House, key: str = "") -> bool:
    with house.database() as connection:
        query = "SELECT FROM outbox WHERE starts_with(convert_from(key, 'UTF8'), %s)"
        return connection.execute(query, [key]).fetchone() is not None


def _row(house: House, agreement: str) -> tuple[Any, ...]:
    with house.database() as connection:
        found = connection.execute("SELECT step, last_order FROM agreements WHERE id = %s", [agreement]).fetchone()
    assert found
    return found


def _put_back(house: House, agreement: str, row: tuple[Any, ...]) -> None:
    with house.database() as connection:
        connection.execute("UPDATE agreements SET step = %s, last_order = %s WHERE id = %s", [*row, agreement])


def _gone(house: House, agreement: str, before: str, after: str) -> None:
    query = "UPDATE departures SET organization = %s WHERE (agreement, organization) = (%s, %s)"
    with house.database() as connection:
        connection.execute(query, [after, agreement, before])
