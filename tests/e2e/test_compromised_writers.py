"""Records that somebody who may write the log puts there in consent's name: none of them opens anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from msgspec.structs import replace

from policy import canonical
from policy.murmur2 import partition_of
from schemas.records import ConsentGranted
from services.kit import keys
from services.kit.keys import random_id
from services.kit.signing import Signer
from tests.support.governance import PARTITIONS, controls
from tests.support.intruder import Intruder, intruding
from tests.support.providers import Providers
from tests.support.replayed import replayed
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")


class Forging(NamedTuple):
    """What a forger has: a true grant to copy from, the log's id, the ids of its keys, and keys of its own."""

    client: str
    true: ConsentGranted
    log_id: str
    ids: dict[str, str]
    governance: Intruder
    referrals: Intruder

    @property
    def wish(self) -> ConsentGranted:
        """The same grant, of the client to be robbed, newer than whatever was said of it."""
        data = replace(self.true.data, client_id=self.client, order=self.true.data.order + 10**9)
        return replace(self.true, id=random_id(), data=data)

    def signed(self, signer: Signer, log_id: str = "") -> bytes:
        return signer.sign(self.wish, log_id=log_id or self.log_id, key=self.client)


def by_governance(forging: Forging) -> bytes:
    return forging.signed(forging.governance.signer("THRESHOLD_GOVERNANCE_SIGNING_KEY", forging.ids["governance"]))


def by_governance_as_consent(forging: Forging) -> bytes:
    return forging.signed(forging.governance.signer("THRESHOLD_GOVERNANCE_SIGNING_KEY", forging.ids["consent"]))


def by_the_root_key(forging: Forging) -> bytes:
    return forging.signed(forging.governance.signer("THRESHOLD_ROOT_KEY", "root"))


def by_referrals_as_consent(forging: Forging) -> bytes:
    return forging.signed(forging.referrals.signer("THRESHOLD_REFERRALS_ASSERTION_KEY", forging.ids["consent"]))


def by_a_key_of_another_root(forging: Forging) -> bytes:
    return forging.signed(Signer(forging.ids["consent"], keys.generate()), "another-log")


def of_no_known_key(forging: Forging) -> bytes:
    return forging.signed(Signer("stranger", keys.generate()))


def with_the_signature_of_another(forging: Forging) -> bytes:
    return canonical.encode(forging.wish)


def copied_from_another_client(forging: Forging) -> bytes:
    return canonical.encode(forging.true)


FORGERIES: dict[Callable[[Forging], bytes], str] = {
    by_governance: "key-not-for-type",
    by_governance_as_consent: "bad-signature",
    by_the_root_key: "unknown-signing-key",
    by_referrals_as_consent: "bad-signature",
    by_a_key_of_another_root: "bad-signature",
    of_no_known_key: "unknown-signing-key",
    with_the_signature_of_another: "bad-signature",
    copied_from_another_client: "wrong-key",
}


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def referrals(running_stack: StackProcess) -> AsyncIterator[Intruder]:
    async with intruding(running_stack, "referrals") as intruder:
        yield intruder


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def governance(running_stack: StackProcess) -> AsyncIterator[Intruder]:
    async with intruding(running_stack, "governance") as intruder:
        yield intruder


async def granted(referrals: Intruder, town: Providers) -> ConsentGranted:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    event: ConsentGranted = await referrals.newest("consent.granted", client)
    return event


async def learns_nothing(town: Providers, client: str) -> None:
    """Refer the client, and see that the shelter hears of somebody unnamed."""
    made = await town.outreach.refer(town.shelter, client)
    crossing = await town.outreach.crossing(made)
    [message] = await town.shelter.told(crossing["reference"], "referral.requested")
    assert (message["data"]["verdict"], set(message["data"]["shared"])) == ("deidentified", {"need"})
    assert town.shelter.requests(client) == []


async def test_a_forged_consent_opens_nothing_and_the_truth_is_said_again(
    running_stack: StackProcess, town: Providers, referrals: Intruder, governance: Intruder
) -> None:
    [control, *_] = await asyncio.to_thread(controls, running_stack)
    assert control.genesis is not None
    ids = {key.owner: key.id for key in control.keys.values()}
    true = await granted(referrals, town)

    async def forge(forgery: Callable[[Forging], bytes], result: str) -> None:
        client = await town.outreach.client()
        forging = Forging(client, true, control.genesis.log_id if control.genesis else "", ids, governance, referrals)
        placed = await referrals.writes("client-events", client, forgery(forging))
        assert (await referrals.answer(*placed)).result == result, forgery.__name__
        restated: Any = await referrals.newest("consent.restated", client)
        assert restated.data.consents.grants == ()
        await learns_nothing(town, client)

    await asyncio.gather(*(forge(forgery, result) for forgery, result in FORGERIES.items()))


async def test_a_copy_of_an_old_grant_brings_nothing_back(town: Providers, referrals: Intruder) -> None:
    true = await granted(referrals, town)
    client = true.data.client_id
    stop = {"scope": "all", "requested_by": "client"}
    await town.outreach.post("consent", f"/clients/{client}/revocation", stop, wait=10)
    placed = await referrals.writes("client-events", client, canonical.encode(true))
    assert (await referrals.answer(*placed)).result == "late"
    await learns_nothing(town, client)


async def test_a_true_grant_in_another_partition_counts_for_nobody(town: Providers, referrals: Intruder) -> None:
    true = await granted(referrals, town)
    client = true.data.client_id
    elsewhere = (partition_of(client.encode(), PARTITIONS) + 1) % PARTITIONS
    placed = await referrals.writes("client-events", client, canonical.encode(true), elsewhere)
    assert (await referrals.answer(*placed)).result == "misplaced"
    await town.outreach.refer(town.shelter, client)
    await town.shelter.told(client, "referral.requested")


async def test_an_auditor_decides_all_that_was_forged_to_the_same_bytes(
    running_stack: StackProcess, town: Providers
) -> None:
    assert town.agreement
    report = await asyncio.to_thread(replayed, running_stack)
    assert (report["differences"], report["undecided"]) == ([], 0)
