"""The key custodian: what it gives out, what it cuts, and that a box opens under its true circumstances only."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from schemas.control import Term
from tests.conftest import Databases
from tests.support.control_records import ANNEX, BYSTANDER, OTHER_PURPOSE, OUTREACH, PURPOSE, SHELTER
from tests.support.registry import SHARED_SYSTEM, Registry, founded
from tests.support.sealed import CONTENT

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


def is_nothing(released: dict[str, Any], reason: str) -> bool:
    said: dict[str, object] = {
        "release_id": None,
        "verdict": "withheld",
        "categories": [],
        "keys": [],
        "reason": reason,
    }
    return said.items() <= released.items()


async def test_a_permit_opens_exactly_what_is_permitted(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client, ("need", "identity", "household", "health"))
    released = await registry.release(sealed.asked())
    assert (released["verdict"], released["lease_seconds"], released["known_as"]) == ("permit", 3, "referral")
    assert released["categories"] == ["household", "identity", "need"]
    assert released["reason"] == "no-consent", "why the box of health stays closed"
    assert sealed.opened(released) == {name: CONTENT[name] for name in ("household", "identity", "need")}


async def test_of_two_boxes_of_a_category_the_newest_opens(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    old, new = sealed.asked()["envelopes"][0], sealed.asked()["envelopes"][0] | {"seq": 2, "categories": ["identity"]}
    released = await registry.release(sealed.asked(envelopes=[new, old]))
    assert {(key["seq"], key["category"]) for key in released["keys"]} == {(2, "identity"), (1, "need")}


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": OTHER_PURPOSE},
        {"originator": {"organization": ANNEX}, "publisher": {"organization": ANNEX}},
        {"recipients": [{"organization": SHELTER}, {"organization": ANNEX}]},
        {
            "recipients": [{"organization": ANNEX}],
            "recipient": {"organization": ANNEX},
            "told": {"organization": ANNEX},
        },
        {"referral_id": "another-referral"},
        {"client_id": "another"},
        {"client_id": "another", "key_id": "another"},
        {"seq": None, "wrapped": "AAAA"},
        {"seq": None, "wrapped": "no base64url"},
        {"seq": None, "suite": "mlkem768-x25519"},
        {"seq": None, "key_id": "another-key"},
    ],
    ids="-".join,
)
async def test_under_other_circumstances_nothing_opens(registry: Registry, changes: dict[str, Any]) -> None:
    """Consents and agreement would permit all of these; it is the seal key that does not open."""
    person = (SHARED_SYSTEM, str(time.time_ns()))
    client, other = await registry.client(OUTREACH, person), await registry.client()
    assert await registry.client(ANNEX, person) == client
    for one, discloser in ((client, OUTREACH), (client, ANNEX), (other, OUTREACH)):
        to = [SHELTER, ANNEX] if discloser == OUTREACH else [SHELTER]
        await registry.permit(one, discloser, to=to, purposes=[PURPOSE, OTHER_PURPOSE])
    sealed = await registry.sealed(client)
    envelope = sealed.asked()["envelopes"][0] | {
        n: v for n, v in changes.items() if n in ("wrapped", "suite", "key_id")
    }
    if changes.get("key_id") == "another":
        envelope["key_id"] = (await registry.public_key(other)).json()["key_id"]
    request = {name: value for name, value in changes.items() if name not in ("wrapped", "suite", "key_id", "seq")}
    if changes.get("client_id"):
        request["client_id"] = other
    assert is_nothing(await registry.release(sealed.asked(envelopes=[envelope]) | request), "does-not-open")
    assert (await registry.release(sealed.asked()))["verdict"] == "permit", "control: as it was sealed it opens"


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": {"organization": ANNEX}, "told": {"organization": ANNEX}},
        {"recipient": {"organization": SHELTER, "project": "nights"}, "told": {"organization": SHELTER}},
        {"told": {"organization": ANNEX}},
        {"told": {"organization": OUTREACH}},
        {"publisher": {"organization": SHELTER}},
        {"verdict": "status", "status": "accepted", "told": {"organization": BYSTANDER}},
    ],
)
async def test_what_no_decision_can_have_said_gets_nothing(registry: Registry, changes: dict[str, Any]) -> None:
    client = await registry.client()
    await registry.permit(client, to=[SHELTER, ANNEX])
    sealed = await registry.sealed(client)
    assert is_nothing(await registry.release(sealed.asked(**changes)), "other-circumstances")


async def test_without_consent_a_request_crosses_deidentified_and_an_update_not_at_all(registry: Registry) -> None:
    client = await registry.client()
    sealed = await registry.sealed(client)
    released = await registry.release(sealed.asked())
    assert (released["verdict"], released["categories"], released["known_as"]) == (
        "deidentified",
        ["need"],
        "reference",
    )
    assert released["reason"] == "no-consent"
    assert sealed.opened(released) == {"need": CONTENT["need"]}
    assert is_nothing(await registry.release(sealed.asked(event_type="referral.updated")), "no-consent")
    asked_for_need = await registry.release(sealed.asked(verdict="deidentified", categories=["need"]))
    assert (asked_for_need["verdict"], asked_for_need["reason"]) == ("deidentified", None)


async def test_what_was_asked_deidentified_is_never_more(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    released = await registry.release(sealed.asked(verdict="deidentified"))
    assert (released["verdict"], released["categories"]) == ("deidentified", ["need"])


async def test_a_recipient_that_had_a_permit_gets_nothing_deidentified(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    assert (await registry.release(sealed.asked()))["verdict"] == "permit"
    await registry.revoke(client)
    assert is_nothing(await registry.release(sealed.asked()), "revoked")
    assert is_nothing(
        await registry.release(sealed.asked(verdict="deidentified", categories=["need"])), "nothing-permitted"
    )
    another = await registry.sealed(client)
    assert (await registry.release(another.asked()))["verdict"] == "deidentified", "another referral is another matter"


async def test_the_boundarys_permission_ends_for_each_category_when_it_said(registry: Registry) -> None:
    client = await registry.client()
    for category in ("identity", "health"):
        await registry.permit(client, categories=[category])
    sealed = await registry.sealed(client)
    now = int(time.time() * 1000)
    for ends, categories in (
        ({"identity": now - 1}, ["health", "need"]),
        ({"identity": now + 60_000, "health": now - 1}, ["identity", "need"]),
        ({"identity": now + 60_000, "health": now + 60_000}, ["health", "identity", "need"]),
    ):
        released = await registry.release(sealed.asked(ends=ends))
        assert (released["verdict"], released["categories"]) == ("permit", categories)
    asked = sealed.asked(ends={"identity": now - 1, "health": now - 1})
    assert is_nothing(await registry.release(asked), "expired"), "the need alone goes to none that had a permit"


async def test_a_permit_names_the_consents_it_rests_on_now(registry: Registry) -> None:
    client = await registry.client()
    first = await registry.permit(client, to=[SHELTER, ANNEX])
    sealed = await registry.sealed(client)
    asked = sealed.asked()
    await registry.post(OUTREACH, f"/consents/{first['id']}/revocation", {"requested_by": "client"})
    assert (await registry.release(asked | {"event_type": "referral.updated"}))["consents"] == []
    second = await registry.permit(client, to=[SHELTER, ANNEX], expires_at="2199-12-31T00:00:00Z")
    (consent,) = (await registry.release(asked))["consents"]
    assert consent == {
        "id": second["id"],
        "version": 1,
        "discloser": OUTREACH,
        "to": [SHELTER],
        "categories": ["identity"],
        "purposes": [PURPOSE],
        "valid_from": second["valid_from"],
        "method": "written",
        "signed_on": "2026-11-20",
        "expires_at": "2199-12-31T00:00:00Z",
        "recorded_by": None,
    }


async def test_an_exclusion_leaves_nothing(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    assert (await registry.release(sealed.asked()))["verdict"] == "permit"
    await registry.narrow(client, "exclude", categories=None, purposes=None)
    assert is_nothing(await registry.release(sealed.asked()), "excluded")
    assert is_nothing(await registry.release(sealed.status("accepted")), "excluded")

    back = sealed.status("declined", publisher={"organization": SHELTER}, told={"organization": OUTREACH})
    assert (await registry.release(back))["verdict"] == "closed"
    await registry.narrow(client, "exclude", SHELTER, to=[OUTREACH])
    assert is_nothing(await registry.release(back), "excluded"), "nor to the originator, if it is excluded"


async def test_a_status_needs_the_permission_too_and_gives_no_key(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    await registry.release(sealed.asked())
    started = await registry.release(sealed.status("started", publisher={"organization": OUTREACH}))
    assert (started["verdict"], started["keys"], started["reason"]) == ("status", [], None)
    await registry.revoke(client)
    lapsed = await registry.release(sealed.status("cancelled"))
    assert (lapsed["verdict"], lapsed["reason"]) == ("closed", "revoked")
    assert (await registry.release(sealed.status("closed")))["verdict"] == "closed", "and never more than that"
    back = sealed.status("declined", publisher={"organization": SHELTER}, told={"organization": OUTREACH})
    assert (await registry.release(back))["verdict"] == "status", "its originator hears it under the agreement"


async def test_nobody_hears_of_a_referral_that_was_withheld_from_it(registry: Registry) -> None:
    """The boundary decided permit, so for it the shelter knows the referral; the custodian let nothing through."""
    client = await registry.client()
    sealed = await registry.sealed(client)
    assert is_nothing(await registry.release(sealed.asked(event_type="referral.updated")), "no-consent")
    assert is_nothing(await registry.release(sealed.status("cancelled")), "not-known-to-recipient")
    assert (await registry.release(sealed.asked()))["verdict"] == "deidentified"
    by_reference = await registry.release(sealed.status("cancelled"))
    assert (by_reference["verdict"], by_reference["known_as"]) == ("status", "reference")


async def test_a_widening_counts_once_everywhere_and_a_narrowing_from_its_first_copy(registry: Registry) -> None:
    purpose = "care-coordination"
    client = await registry.client()
    await registry.permit(client, purposes=[purpose])
    sealed = await registry.sealed(client, purpose=purpose)
    second = registry.says.agreement(
        "second", Term(from_=(OUTREACH,), to=(SHELTER,), purposes=("care-coordination",), categories=("identity",))
    )
    await registry.control(second, range(11))
    assert is_nothing(await registry.release(sealed.asked()), "no-agreement")
    await registry.control(second, [11])
    assert (await registry.release(sealed.asked()))["categories"] == ["identity", "need"]
    suspension = registry.says.suspension("second")
    await registry.control(suspension, [5])
    assert is_nothing(await registry.release(sealed.asked()), "no-agreement")
    await registry.control(suspension, [each for each in range(12) if each != 5])
    assert is_nothing(await registry.release(sealed.asked()), "no-agreement")


async def test_a_permit_gives_the_recipient_the_client_id(registry: Registry) -> None:
    client = await registry.client()
    sealed = await registry.sealed(client)
    await registry.release(sealed.asked())
    refused = await registry.post(SHELTER, f"/clients/{client}/revocation", {"requested_by": "client"})
    assert refused.status_code == 404, "what is de-identified gives nothing of this"
    assert (await registry.post(SHELTER, f"/clients/{client}/registration")).status_code == 404
    await registry.permit(client)
    await registry.release(sealed.asked())

    assert (await registry.public_key(client, SHELTER, recipient=OUTREACH)).status_code == 404
    assert (await registry.post(SHELTER, "/consents", registry.consent(client, to=[OUTREACH]))).status_code == 404
    assert (await registry.narrow(client, "exclude", SHELTER, to=[ANNEX]))["decision"] == "exclude"
    receipt = await registry.revoke(client, SHELTER)
    assert receipt["scope"] == "all"
    registered = await registry.post(SHELTER, f"/clients/{client}/registration")
    assert (registered.status_code, registered.json()) == (201, {"client_id": client})
    assert (await registry.public_key(client, SHELTER, recipient=OUTREACH)).status_code == 200
    assert (await registry.permit(client, SHELTER, to=[OUTREACH]))["recorded_by"] == SHELTER


async def test_an_unknown_client_is_withheld(registry: Registry) -> None:
    client = await registry.client()
    sealed = await registry.sealed(client)
    assert is_nothing(await registry.release(sealed.asked(client_id="0" * 32)), "unknown-client")
