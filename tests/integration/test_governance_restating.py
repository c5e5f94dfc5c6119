"""A damaged or forged control record leaves a partition in doubt; governance says, from its tables, what holds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio

from services.governance import bodies, directory, restating
from services.governance.restating import WHYS, Restating
from services.kit import keys
from services.kit.control import ControlView
from services.kit.database import Database
from services.kit.lasting import Lasting
from services.kit.signing import Signer
from tests.conftest import Databases
from tests.support.doubted import House, about, counted, opened
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


Forgery = Callable[[str, bytes], tuple[str, bytes]]
FORGERIES: dict[str, Forgery] = {
    "rubbish": lambda _, __: ("control/rubbish", b"rubbish"),
    "nothing": lambda key, _: (key, b""),
    "truncated": lambda key, value: (key, value[:-40]),
    "respelled": lambda key, value: (key, json.dumps(json.loads(value)).encode()),
    "of another control id": lambda _, value: ("control/another", value),
    "of a client": lambda _, value: (keys.random_id(), value),
    "of a stranger": lambda key, value: (key, _by_a_stranger(key, value)),
    "of an unknown type": lambda _, __: (keys.random_id(), b'{"type":"agreement.lost"}'),
}


def _by_a_stranger(key: str, value: bytes) -> bytes:
    event = decode_event(value)
    return Signer("stranger", keys.generate()).sign(event, log_id="log", key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_whatever_left_it_every_partition_is_let_out_of_doubt(house: House, forgery: Forgery) -> None:
    before, (key, value) = await house.control(), await house.said("agreement.activated")
    with house.kept_as_it_is():
        await house.plant(*forgery(key, value))
        assert (await house.control()).in_doubt
    after = await house.restated()
    assert (after.organizations, after.agreements, after.keys) == (
        before.organizations,
        before.agreements,
        before.keys,
    )
    assert after.agreements
    assert after.floor > max(before.marks.values())


async def test_what_is_being_said_while_it_is_restated_is_in_it_or_comes_after(house: House) -> None:
    database: Database = house.app.state.database
    async with database.transaction() as session:
        await directory.add_organization(session, bodies.NewOrganization.model_validate(about("latecomer")))
        await house.plant("control/rubbish", b"rubbish")
        await house.waiting(1)
    after = await house.restated()
    assert "latecomer" in after.organizations


async def test_after_a_restatement_a_change_counts_whatever_the_clock_says(house: House) -> None:
    ahead = int((time.time() + 3600) * 1_000_000)
    with house.database() as connection:
        connection.execute("UPDATE log_identity SET floor = %s", [ahead])
    await house.plant("control/rubbish", b"rubbish")
    assert (await house.restated()).floor > ahead
    await house.organization("afterwards")
    await wait_until_async(lambda: house.has("afterwards"), what="the change to count")
    made = await house.agreed()
    await house.plant("control/rubbish", b"rubbish")  # and so does the next restatement
    after = await house.restated()
    assert "afterwards" in after.organizations
    assert made in after.agreements


async def test_what_the_tables_have_lost_is_not_restated_but_paged(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.organization("lost")
    await wait_until_async(lambda: house.has("lost"), what="the record")
    before = await house.restatements()
    with house.database() as connection:
        connection.execute("UPDATE organizations SET last_order = last_order - 1 WHERE id = 'lost'")
    await house.plant("control/rubbish", b"rubbish")
    await wait_until_async(lambda: counted("behind-the-log") == 1, what="it to be counted")
    assert (await house.control()).in_doubt
    assert await house.restatements() == before
    paged = [line for line in capsys.readouterr().out.splitlines() if "a doubt lasts" in line]
    assert [json.loads(line)["why"] for line in paged][-1:] == ["behind-the-log"]
    with house.database() as connection:
        connection.execute("UPDATE organizations SET last_order = last_order + 1 WHERE id = 'lost'")
    await house.restated()


async def test_however_many_notice_it_and_however_often_it_is_restated_once_in_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(minutes=1))
    before = await house.restatements()
    with house.database() as connection:
        connection.execute("UPDATE log_identity SET restated_at = NULL")
    async with _others(house, 3) as others:
        for _ in range(2):
            await house.plant("control/rubbish", b"rubbish")
            await asyncio.gather(*(other.look() for other in others))
        await wait_until_async(lambda: counted("restating") == 0, what="the doubt to end")
    assert await house.restatements() <= before + 1
    monkeypatch.setattr(restating, "AT_MOST_EVERY", timedelta(0))
    await house.restated()


@asynccontextmanager
async def _others(house: House, count: int) -> AsyncIterator[Sequence[Restating]]:
    """Further processes of governance, as it were."""
    database = Database(house.settings.database_url)
    view = ControlView(house.settings.root_fingerprint, PARTITIONS)
    for partition in range(PARTITIONS):
        for one in await house.records(partition):
            view._partitions[partition].read(one.timestamp_ms, one.key, one.headers, one.value)
    view.confirm(time.monotonic())
    yield [Restating(database, view, Lasting("other", WHYS, 30)) for _ in range(count)]
    await database.close()
