"""The custodian's addresses for other services: who may ask what, and what is told of keys, positions and ends."""

import time
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from msgspec.structs import replace

from schemas.categories import CATEGORIES
from schemas.control import Project
from schemas.events import Party
from services.kit.assertions import sign_assertion
from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.control_records import ANNEX, OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.registry import Registry, founded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


async def test_everything_may_be_sealed_but_for_a_victim_service_providers_client(registry: Registry) -> None:
    client = await registry.client()
    key = (await registry.public_key(client)).json()
    assert (key["sealable"], key["victim_service_provider"]) == (list(CATEGORIES), False)
    assert (key["suite"], key["log_id"]) == ("x25519", "log-of-tests")

    protected = await registry.client(SAFE_HOUSE)
    key = (await registry.public_key(protected, SAFE_HOUSE)).json()
    assert (key["sealable"], key["victim_service_provider"]) == (["need"], True)
    await registry.permit(protected, SAFE_HOUSE)
    assert (await registry.public_key(protected, SAFE_HOUSE)).json()["sealable"] == ["household", "identity", "need"]
    other = await registry.public_key(protected, SAFE_HOUSE, recipient=ANNEX)
    assert other.json()["sealable"] == ["need"]
    await registry.revoke(protected, SAFE_HOUSE)
    assert (await registry.public_key(protected, SAFE_HOUSE)).json()["sealable"] == ["need"]


async def test_a_public_key_is_for_who_registered_the_client(registry: Registry) -> None:
    client = await registry.client()
    unknown = await registry.public_key("0" * 32)
    foreign = await registry.public_key(client, ANNEX)
    assert unknown.status_code == foreign.status_code == 404
    assert unknown.content == foreign.content


async def test_settlements_move_forward_only(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)
    stories = {
        ("started", "delivered"): "delivered",
        ("delivered", "started"): "delivered",
        ("started", "not_sent"): "started",
        ("not_sent", "delivered"): "not_sent",
        ("failed", "failed"): "failed",
    }
    for story, state in stories.items():
        together = (await registry.release(sealed.asked()))["release_id"]
        one_by_one = (await registry.release(sealed.asked()))["release_id"]
        await registry.settle(together, *story)
        for said in story:
            await registry.settle(one_by_one, said)
        with registry.database() as connection:
            found = connection.execute("SELECT state FROM releases WHERE id = ANY(%s)", [[together, one_by_one]])
            assert found.fetchall() == [(state,), (state,)], story
    await registry.settle("no-such-release", "delivered")


ROUTES = [
    ("POST", "/releases", {"webhooks"}),
    ("POST", "/releases/settlements", {"webhooks"}),
    ("GET", "/clients/0/public-key?organization=a&recipient=b&purpose=shelter-placement", {"referrals"}),
    ("GET", "/control-position", {"governance"}),
]


@pytest.mark.parametrize(("method", "path", "allowed"), ROUTES)
async def test_only_the_service_it_is_for_may_ask(
    registry: Registry, method: str, path: str, allowed: set[str]
) -> None:
    body = b'{"settlements": []}' if method == "POST" else b""

    def assertion(service: str, *, audience: str = "consent", said: bytes = body, target: str = path) -> dict[str, str]:
        signed = sign_assertion(
            registry.community.private_keys[service],
            issuer=service,
            audience=audience,
            method=method,
            target=target,
            body=said,
            now=time.time(),
        )
        return {"Authorization": f"Bearer {signed}", "Content-Type": "application/json"}

    async def status(headers: dict[str, str]) -> int:
        return (await registry.http.request(method, path, content=body, headers=headers)).status_code

    for service in registry.community.private_keys:
        assert (await status(assertion(service)) == 403) is (service not in allowed), service
    right = allowed.copy().pop()
    used = assertion(right)
    assert await status(used) in (200, 204, 404, 422)
    assert await status(used) == 401, "an assertion is good for one request"
    assert await status(assertion(right, audience="webhooks")) == 401
    assert await status(assertion(right, said=b'{"settlements": [ ]}')) == 401
    assert await status(assertion(right, target="/elsewhere")) == 401
    assert await status({}) == 401
    assert await status(registry.headers(OUTREACH, tuple(Scope))) == 401


async def test_a_release_is_asked_for_in_one_closed_shape(registry: Registry) -> None:
    sealed = await registry.sealed(await registry.client())
    for changes, field in (
        ({"verdict": "deny"}, "verdict"),
        ({"categories": ["shoe_size"]}, "categories.0"),
        ({"recipients": []}, "recipients"),
        ({"invented": True}, "invented"),
    ):
        refused = await registry.webhooks.post("/releases", sealed.asked(**changes))
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_a_release_records_what_to_whom_why_and_until_when(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client)
    sealed = await registry.sealed(client)
    asked = sealed.asked()
    released = await registry.release(asked)
    with registry.database() as connection:
        row = connection.execute(
            "SELECT decision_id, originator, recipient, verdict, categories, consents, reason, doubt_at - released_at"
            " FROM releases WHERE id = %s",
            [released["release_id"]],
        ).fetchone()
    assert row is not None
    assert row[:3] == (asked["decision_id"], OUTREACH, SHELTER)
    assert row[3:6] == ("permit", ["identity", "need"], [consent["id"]])
    assert row[6] == "no-consent"
    assert row[7].total_seconds() == 4, "the lease of 3 s and a margin of 1 s"


async def test_of_the_end_of_a_consent_hears_only_who_may_have_got_a_permit(registry: Registry) -> None:
    client = await registry.client()
    await registry.permit(client)
    sealed = await registry.sealed(client)

    async def told() -> str:
        return str((await registry.release(sealed.status("requested", event_type="referral.consent_ended")))["verdict"])

    assert await told() == "withheld"
    await registry.settle((await registry.release(sealed.asked()))["release_id"], "not_sent")
    assert await told() == "withheld"
    await registry.release(sealed.asked(attempt=2))
    assert await told() == "status", "of what is not settled nobody knows whether it was sent"


async def test_the_control_position_is_where_the_records_read_end(registry: Registry) -> None:
    told = (await registry.governance.get("/control-position")).json()
    assert told == {"positions": {str(number): at for number, at in enumerate(registry.view.positions)}}
    assert len(told["positions"]) == 12
    await registry.control(registry.says.organization("newcomer"), [3])
    later = (await registry.governance.get("/control-position")).json()["positions"]
    assert int(later["3"]) > told["positions"]["3"]


def beds(participation: Literal["none", "hmis"]) -> Project:
    return Project(id="beds", name="Beds", project_type=1, part2_program=False, hmis_participation=participation)


async def test_a_permit_obliges_to_what_holds_when_it_is_released(registry: Registry) -> None:
    """The boundary has long decided; then the shelter takes up an HMIS, and the annex a Part 2 program."""
    for discloser, before, after, obligation in (
        (
            SAFE_HOUSE,
            registry.says.organization(SHELTER, beds("none")),
            registry.says.organization(SHELTER, beds("hmis")),
            "do-not-enter-in-hmis",
        ),
        (
            ANNEX,
            registry.says.organization(ANNEX),
            registry.says.organization(ANNEX, replace(beds("none"), part2_program=True)),
            "42-cfr-2.32",
        ),
    ):
        client = await registry.client(discloser)
        await registry.permit(client, discloser)
        sealed = await registry.sealed(client, originator=Party(organization=discloser))
        await registry.control(before)
        assert (await registry.release(sealed.asked()))["obligations"] == []
        await registry.control(after, [7])
        assert (await registry.release(sealed.asked()))["obligations"] == [obligation], "from the first copy on"
        await registry.control(after, [each for each in range(12) if each != 7])
        released = await registry.release(sealed.asked())
        assert (released["verdict"], released["obligations"]) == ("permit", [obligation])
        assert (await registry.release(sealed.status("cancelled")))["obligations"] == []
