"""The custodian and agreements in use: what one party attested for others, and records that spread over the log."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from schemas.control import Project, Term
from schemas.records import ConsentAttested
from tests.conftest import Databases
from tests.support.control_records import ANNEX, OUTREACH, PURPOSE, SAFE_HOUSE, SHELTER, TERM
from tests.support.log import PARTITIONS, decode_event
from tests.support.registry import SHARED_SYSTEM, Registry, assert_names, founded
from tests.support.sealed import Sealed, form

pytestmark = pytest.mark.asyncio(loop_scope="module")
RELYING = Term(
    from_=(OUTREACH, SAFE_HOUSE), to=(SHELTER,), purposes=(PURPOSE,), categories=("identity",), reliance="any_party"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        await found.control(found.says.agreement("relying", RELYING))
        yield found


async def known_to_both(registry: Registry) -> str:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    assert await registry.client(ANNEX, person) == client
    return client


async def test_a_key_is_given_out_on_what_another_party_attested(registry: Registry) -> None:
    client = await known_to_both(registry)
    sealed = await registry.sealed(client)
    plain = await registry.permit(client, ANNEX)
    assert (await registry.release(sealed.asked()))["categories"] == ["need"]
    body = registry.consent(client, attested=True)
    attested = (await registry.post(ANNEX, "/consents", body, prefer="wait=20")).json()
    assert attested["state"] == "accepted"
    assert (plain["attested"], attested["attested"]) == (False, True)
    released = await registry.release((sealed := await registry.sealed(client)).asked())
    assert (released["verdict"], released["categories"]) == ("permit", ["identity", "need"])
    assert sealed.opened(released).keys() == {"identity", "need"}
    (basis,) = released["consents"]
    assert (basis["id"], basis["discloser"], basis["recorded_by"]) == (attested["id"], OUTREACH, ANNEX)
    events = [decode_event(record.value or b"") for record in await registry.records(client)]
    assert [type(event) for event in events][-1] is ConsentAttested


async def test_its_revocation_at_the_publishers_desk_counts_what_it_cut(registry: Registry) -> None:
    client = await known_to_both(registry)
    attested = await registry.permit(client, ANNEX, attested=True)
    sealed = await registry.sealed(client)
    released = await registry.release(sealed.asked())
    assert released["verdict"] == "permit"
    await registry.settle(released["release_id"], "delivered")
    await registry.revoke(client, OUTREACH, scope="consent", consent_id=attested["id"])
    cut = await registry.release(sealed.asked(event_type="referral.updated"))
    assert (cut["verdict"], cut["reason"]) == ("withheld", "revoked")
    assert (await registry.receipt(client, OUTREACH, state="effective"))["withheld"] == 1


async def test_the_publishers_own_no_cuts_what_another_party_attested(registry: Registry) -> None:
    client = await known_to_both(registry)
    await registry.narrow(client, "refuse")
    await registry.permit(client, ANNEX, attested=True)
    assert (await registry.release((await registry.sealed(client)).asked()))["categories"] == ["need"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decision": "refuse", "expires_at": None}, "attested"),
        ({"form": form("verbal")}, "form.method"),
    ],
)
async def test_only_a_signed_permission_is_attested(registry: Registry, changes: dict[str, Any], field: str) -> None:
    client = await registry.client()
    refused = await registry.post(OUTREACH, "/consents", registry.consent(client, attested=True, **changes))
    assert_names(refused, field)


async def test_who_may_not_be_relied_on_attests_nothing(registry: Registry) -> None:
    survivor = await registry.client(SAFE_HOUSE)
    body = registry.consent(survivor, attested=True)
    assert_names(await registry.post(SAFE_HOUSE, "/consents", body), "attested")
    client = await known_to_both(registry)
    await registry.permit(client, ANNEX, attested=True)
    detox = Project(id="detox", name="Detox", project_type=1, part2_program=True, hmis_participation="none")
    await registry.control(registry.says.organization(ANNEX, detox), [0])
    try:
        assert_names(await registry.post(ANNEX, "/consents", registry.consent(client, attested=True)), "attested")
        assert (await registry.release((await registry.sealed(client)).asked()))["categories"] == ["need"]
    finally:
        await registry.control(registry.says.organization(ANNEX))


async def given(registry: Registry, sealed: Sealed) -> list[str]:
    categories: list[str] = (await registry.release(sealed.asked()))["categories"]
    return categories


async def test_a_departure_bites_from_its_first_copy(registry: Registry) -> None:
    only = replace(TERM, from_=(OUTREACH,), purposes=("eligibility-determination",))
    await registry.control(registry.says.agreement("to-leave", only))
    client = await registry.client()
    await registry.permit(client, purposes=["eligibility-determination"])
    sealed = await registry.sealed(client, purpose="eligibility-determination")
    assert await given(registry, sealed) == ["identity", "need"]
    await registry.control(registry.says.departure("to-leave", SHELTER), [PARTITIONS - 1])
    assert await given(registry, sealed) == []
    await registry.control(registry.says.agreement("to-leave", only))
    assert await given(registry, sealed) == []


async def test_while_a_successor_spreads_only_what_both_agreements_permit_is_given_out(registry: Registry) -> None:
    first = replace(TERM, from_=(OUTREACH,), purposes=("care-coordination",), categories=("identity", "household"))
    await registry.control(registry.says.agreement("first", first))
    client = await registry.client()
    categories = ["identity", "household", "health"]
    await registry.permit(client, purposes=["care-coordination"], categories=categories)
    sealed = await registry.sealed(client, categories, purpose="care-coordination")
    assert await given(registry, sealed) == ["household", "identity"]
    successor = registry.says.agreement("second", replace(first, categories=("household", "health")), "first")
    await registry.control(successor, [0])
    assert await given(registry, sealed) == ["household"]
    await registry.control(successor, range(1, PARTITIONS))
    assert await given(registry, sealed) == ["health", "household"]
