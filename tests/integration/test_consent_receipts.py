"""Revocations and their receipts: each transition, what counts in which scope, and who sees what of it."""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.control_records import ANNEX, BYSTANDER, OUTREACH, SHELTER
from tests.support.registry import SHARED_SYSTEM, Registry, founded
from tests.support.sealed import Sealed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def given(registry: Registry, **changes: Any) -> tuple[str, Sealed, dict[str, Any]]:
    """A client whose identity was released to the shelter and not settled yet."""
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    return client, sealed, await registry.release(sealed.asked(**changes))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_with_nothing_on_the_wire_it_is_effective_when_the_log_has_it(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    asked = await registry.post(OUTREACH, f"/clients/{client}/revocation", {"requested_by": "client"}, prefer="wait=10")
    assert asked.status_code == 200
    assert asked.headers["Preference-Applied"] == "wait=10"
    receipt = asked.json()
    assert receipt["state"] == "effective"
    assert receipt["effective_at"] == receipt["accepted_at"] > receipt["recorded_at"]
    assert (receipt["withheld"], receipt["in_doubt"], receipt["others"]) == (0, 0, "done")


async def test_it_waits_for_what_was_given_out_until_that_is_settled(registry: Registry) -> None:
    client, _, released = await given(registry)
    asked = await registry.post(OUTREACH, f"/clients/{client}/revocation", {"requested_by": "client"})
    assert asked.status_code == 202
    watch = asked.headers["Location"]
    assert watch == f"/clients/{client}/revocation?revocation_id={asked.json()['id']}"
    accepted = await registry.receipt(client, state="accepted")
    assert accepted["effective_at"] is None
    await registry.settle(released["release_id"], "started")
    receipt = (await registry.get(OUTREACH, watch)).json()
    assert (receipt["state"], receipt["in_doubt"]) == ("effective", 0)
    assert receipt["effective_at"] > accepted["accepted_at"]


@pytest.mark.parametrize("state", ["started", "delivered", "failed", "not_sent"])
async def test_whatever_became_of_a_release_settles_it(registry: Registry, state: str) -> None:
    client, _, released = await given(registry)
    await registry.revoke(client)
    await registry.settle(released["release_id"], state)
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0


async def test_what_nobody_settles_is_in_doubt_when_its_lease_and_margin_are_over(registry: Registry) -> None:
    client, _, released = await given(registry)
    await registry.revoke(client)
    asked = await registry.get(OUTREACH, f"/clients/{client}/revocation")
    assert asked.json()["state"] != "effective"
    receipt = await registry.receipt(client, state="effective")
    assert receipt["in_doubt"] == 1
    lease = moment(receipt["effective_at"]) - moment(receipt["recorded_at"])
    assert 3.0 < lease.total_seconds() <= 4.0, "the lease and margin, less what had passed before"

    await registry.settle(released["release_id"], "started")
    later = await registry.receipt(client)
    assert (later["in_doubt"], later["effective_at"]) == (1, receipt["effective_at"]), "a late word takes nothing back"

    second = await registry.revoke(client)
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0, "settled before this one was said"
    first = await registry.get(OUTREACH, f"/clients/{client}/revocation?revocation_id={receipt['id']}")
    assert (first.json()["in_doubt"], second["id"] != receipt["id"]) == (1, True)


async def test_an_old_release_that_was_never_settled_is_told_at_once(registry: Registry) -> None:
    client, _, released = await given(registry)
    with registry.database() as connection:
        connection.execute(
            "UPDATE releases SET released_at = released_at - interval '1 day', doubt_at = doubt_at - interval '1 day'"
            " WHERE id = %s",
            [released["release_id"]],
        )
    await registry.revoke(client)
    receipt = await registry.receipt(client, state="effective")
    assert (receipt["in_doubt"], receipt["effective_at"]) == (1, receipt["accepted_at"])


async def test_attempts_after_it_are_withheld_and_counted_by_decision(registry: Registry) -> None:
    client, sealed, released = await given(registry)
    await registry.settle(released["release_id"], "delivered")
    await registry.revoke(client)
    asked = sealed.asked(event_type="referral.updated")
    for attempt in (1, 2, 3):
        assert (await registry.release(asked | {"attempt": attempt}))["verdict"] == "withheld"
    await registry.release(sealed.status("cancelled"))
    assert (await registry.receipt(client, state="effective"))["withheld"] == 2
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0


async def test_what_is_deidentified_or_closed_goes_on_and_is_waited_for_by_nobody(registry: Registry) -> None:
    client = await registry.client()
    sealed = await registry.sealed(client)
    assert (await registry.release(sealed.asked()))["verdict"] == "deidentified"
    assert (await registry.release(sealed.status("closed")))["verdict"] == "closed"
    await registry.revoke(client)
    receipt = await registry.receipt(client, state="effective")
    assert receipt["effective_at"] == receipt["accepted_at"]


SCOPES: list[tuple[dict[str, Any], bool]] = [
    ({"scope": "all"}, True),
    ({"scope": "recipient", "recipient": SHELTER}, True),
    ({"scope": "recipient", "recipient": ANNEX}, False),
    ({"scope": "category", "category": "identity"}, True),
    ({"scope": "category", "category": "household"}, False),
    ({"scope": "consent", "consent_id": "the first"}, True),
    ({"scope": "consent", "consent_id": "the second"}, False),
]


@pytest.mark.parametrize(("scope", "concerned"), SCOPES)
async def test_only_what_is_in_the_scope_counts(registry: Registry, scope: dict[str, Any], concerned: bool) -> None:
    client = await registry.client()
    first = await registry.permit(client, categories=["identity"])
    second = await registry.permit(client, categories=["household"], to=[ANNEX])
    ids = {"the first": first["id"], "the second": second["id"]}
    sealed = await registry.sealed(client, ("need", "identity"))
    released = await registry.release(sealed.asked())
    assert released["categories"] == ["identity", "need"]
    await registry.revoke(client, **{name: ids.get(value, value) for name, value in scope.items()})
    if concerned:
        assert (await registry.receipt(client, state="accepted"))["effective_at"] is None
        await registry.settle(released["release_id"], "started")
    assert (await registry.receipt(client, state="effective"))["in_doubt"] == 0

    again = await registry.release(sealed.asked(event_type="referral.updated"))
    assert (again["verdict"] == "withheld") is concerned
    assert (await registry.receipt(client))["withheld"] == int(concerned)
    if not concerned:
        await registry.settle(again["release_id"], "started")


async def test_of_others_releases_only_their_standing_is_told(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    assert await registry.client(ANNEX, person) == client
    await registry.permit(client)
    sealed = await registry.sealed(client)
    released = await registry.release(sealed.asked())

    receipt = await registry.revoke(client, ANNEX)
    assert (receipt["others"], receipt["in_doubt"], receipt["withheld"]) == ("pending", 0, 0)
    own = await registry.revoke(client, SHELTER)
    assert own["others"] == "done", "the shelter was to receive it, so it is not of others"
    await registry.settle(released["release_id"], "started")
    assert (await registry.receipt(client, ANNEX, state="effective"))["others"] == "done"
    await registry.release(sealed.asked(event_type="referral.updated"))
    assert (await registry.receipt(client, ANNEX))["withheld"] == 0
    assert (await registry.receipt(client, SHELTER))["withheld"] == 1


async def test_doubt_about_others_releases_is_told_without_a_number(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    assert await registry.client(ANNEX, person) == client
    await registry.permit(client)
    await registry.release((await registry.sealed(client)).asked())
    await registry.revoke(client, ANNEX)
    receipt = await registry.receipt(client, ANNEX, state="effective")
    assert (receipt["others"], receipt["in_doubt"]) == ("in_doubt", 0)


async def test_a_revocation_cuts_for_every_discloser_and_only_what_came_before(registry: Registry) -> None:
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client = await registry.client(OUTREACH, person)
    await registry.client(ANNEX, person)
    consents = [await registry.permit(client), await registry.permit(client, ANNEX)]
    await registry.revoke(client, ANNEX)
    for consent, recorder in zip(consents, (OUTREACH, ANNEX), strict=True):
        shown = await registry.get(recorder, f"/consents/{consent['id']}")
        assert shown.json()["status"] == "revoked"
    later = await registry.permit(client)
    assert (await registry.get(OUTREACH, f"/consents/{later['id']}")).json()["status"] == "active"
    released = await registry.release((await registry.sealed(client)).asked())
    assert released["verdict"] == "permit"


async def test_a_consent_is_revoked_at_its_own_address(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client)
    path = f"/consents/{consent['id']}/revocation"
    assert (await registry.get(OUTREACH, path)).status_code == 404, "not revoked yet"
    asked = await registry.post(OUTREACH, path, {"requested_by": "guardian", "reason_code": "safety"}, prefer="wait=10")
    assert (asked.status_code, asked.json()["scope"]) == (200, "consent")
    assert (await registry.get(OUTREACH, path)).json() == asked.json()
    assert (await registry.get(OUTREACH, f"/clients/{client}/revocation")).json() == asked.json()


async def test_who_may_revoke_and_who_may_look(registry: Registry) -> None:
    client, _, _ = await given(registry)
    consent = (await registry.permit(client))["id"]
    body = {"requested_by": "client"}
    answers = {
        "another's consent": await registry.post(SHELTER, f"/consents/{consent}/revocation", body),
        "no consent": await registry.post(OUTREACH, f"/consents/{'0' * 32}/revocation", body),
        "a stranger": await registry.post(BYSTANDER, f"/clients/{client}/revocation", body),
        "no client": await registry.post(OUTREACH, f"/clients/{'0' * 32}/revocation", body),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 404)
    assert len({answer.content for answer in answers.values()}) == 1, "nobody learns which of these it was"

    revoked = await registry.revoke(client, SHELTER, scope="consent", consent_id=consent)
    assert revoked["scope"] == "consent", "at any desk that was given the client id"
    path = f"/clients/{client}/revocation?revocation_id={revoked['id']}"
    assert (await registry.get(SHELTER, path)).status_code == 200
    assert (await registry.get(OUTREACH, path)).status_code == 404, "the receipt is the desk's that asked"


async def test_only_what_was_permitted_can_be_revoked(registry: Registry) -> None:
    client = await registry.client()
    for decision in ("refuse", "exclude"):
        consent = (await registry.narrow(client, decision))["id"]
        body = {"requested_by": "client"}
        for path, more in (
            (f"/consents/{consent}", {}),
            (f"/clients/{client}", {"scope": "consent", "consent_id": consent}),
        ):
            answer = await registry.post(OUTREACH, f"{path}/revocation", body | more)
            assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-a-grant")


async def test_the_openapi_document_says_whose_releases_a_receipt_counts(registry: Registry) -> None:
    document = (await registry.http.get("/openapi.json")).json()
    fields = document["components"]["schemas"]["Receipt"]["properties"]
    assert "other organizations" in fields["in_doubt"]["description"]
    assert "without a count" in fields["others"]["description"]
    assert {"recorded_at", "accepted_at", "effective_at", "withheld"} <= {
        name for name, field in fields.items() if "description" in field
    }
