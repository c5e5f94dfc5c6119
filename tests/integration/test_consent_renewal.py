"""A consent said again: a new version with a new signature and end, of what the client has not taken back since."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from schemas.control import ControlRestatedData, Project
from schemas.events import Party
from schemas.records import ConsentAttested, ConsentExpired, ConsentGranted, ControlRestated
from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.control_records import ANNEX, BYSTANDER, OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.log import context, decode_event
from tests.support.registry import Registry, assert_names, founded
from tests.support.sealed import form
from tests.support.waiting import wait_until_async

CLINIC = Project(id="clinic", name="Clinic", project_type=6, part2_program=True, hmis_participation="none")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


def later(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def renew(
    registry: Registry, consent: str, by: str = OUTREACH, *, key: str = "", **changes: Any
) -> httpx.Response:
    """Renew; whatever field a refusal names must be one of the renewal's body."""
    body = {"expires_at": later(60), "form": form("written"), **changes}
    answer = await registry.post(by, f"/consents/{consent}/renewal", body, prefer="wait=10", key=key)
    if answer.status_code == 422:
        document = (await registry.http.get("/openapi.json")).json()
        for error in answer.json()["errors"]:
            assert has_field(document, error["field"]), f"a renewal has no {error['field']}"
    return answer


def has_field(document: dict[str, Any], field: str) -> bool:
    """Whether the document says that the body of a renewal has this field."""
    operation = document["paths"]["/consents/{consent_id}/renewal"]["post"]
    shapes = [operation["requestBody"]["content"]["application/json"]["schema"]]
    for step in field.split("."):
        shapes = [each for shape in shapes for each in plain(document, shape)]
        inner = [each.get("items") if step.isdigit() else each.get("properties", {}).get(step) for each in shapes]
        shapes = [each for each in inner if each is not None]
    return bool(shapes)


def plain(document: dict[str, Any], shape: dict[str, Any]) -> list[dict[str, Any]]:
    """A shape without references and alternatives."""
    if "$ref" in shape:
        return plain(document, document["components"]["schemas"][shape["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in shape:
        return [each for one in shape["anyOf"] for each in plain(document, one)]
    return [shape]


async def shown(registry: Registry, consent: str) -> Any:
    return (await registry.get(OUTREACH, f"/consents/{consent}")).json()


async def test_it_says_the_same_with_a_new_signature_and_a_new_end(registry: Registry) -> None:
    client = await registry.client()
    old = await registry.permit(client, attested=True)
    signed = form("electronic") | {"language": "es"}
    answer = await renew(registry, old["id"], form=signed, actor={"id": "staff-7", "role": "navigator"})
    new = answer.json()
    assert (answer.status_code, new["version"], new["state"], new["status"]) == (200, 2, "accepted", "active")
    same = ("id", "client_id", "to", "categories", "purposes", "attested", "decision", "recorded_by")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert (new["form"]["method"], new["form"]["language"]) == ("electronic", "es")
    assert new["expires_at"] > old["expires_at"]
    said = [decode_event(one.value) for one in await registry.records(client) if one.value]
    assert [type(event) for event in said] == [ConsentAttested] * 2
    assert len({event.id for event in said}) == 2
    sealed = await registry.sealed(client)
    [relied] = (await registry.release(sealed.asked()))["consents"]
    assert (relied["id"], relied["version"]) == (old["id"], 2)


async def test_what_has_expired_counts_again_and_its_first_end_is_said_once(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client, expires_at=later(0.3 / 86_400))

    async def expired() -> bool:
        said = [decode_event(one.value) for one in await registry.records(client) if one.value]
        return any(isinstance(event, ConsentExpired) for event in said)

    await wait_until_async(expired, what="the end to be said")
    assert (await renew(registry, consent["id"])).json()["status"] == "active"
    sealed = await registry.sealed(client, ["need", "identity"])
    assert (await registry.release(sealed.asked()))["categories"] == ["identity", "need"]


async def test_renewed_in_time_only_the_new_end_is_said(registry: Registry) -> None:
    client = await registry.client()
    consent = await registry.permit(client, expires_at=later(2 / 86_400))
    assert (await renew(registry, consent["id"])).json()["version"] == 2
    with registry.database() as connection:
        row = connection.execute(
            "SELECT due_at > now() + interval '40 days' FROM consents WHERE client_id = %s", [client]
        )
        assert row.fetchone() == (True,)
    said = [decode_event(one.value) for one in await registry.records(client) if one.value]
    assert [type(event) for event in said] == [ConsentGranted] * 2


@pytest.mark.parametrize("narrowing", ["revoked", "partly", "in error", "refused", "excluded"])
async def test_what_was_taken_back_since_even_in_part_is_not_renewed(registry: Registry, narrowing: str) -> None:
    client = await registry.client()
    consent = (await registry.permit(client, to=[SHELTER, ANNEX]))["id"]
    match narrowing:
        case "revoked":
            await registry.revoke(client)
        case "partly":
            await registry.revoke(client, scope="recipient", recipient=ANNEX)
        case "in error":
            await registry.post(OUTREACH, f"/consents/{consent}/entered-in-error", {})
        case "refused":
            await registry.narrow(client, "refuse", categories=["household"], to=[ANNEX])
        case _:
            await registry.narrow(client, "exclude", to=[ANNEX])
    refused = await renew(registry, consent)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-renewable")
    assert (await shown(registry, consent))["version"] == 1
    other = (await registry.permit(client))["id"]
    assert (await renew(registry, other)).status_code == 200, "what was permitted after it is"


async def test_the_rules_are_those_of_every_permission(registry: Registry) -> None:
    client = await registry.client()
    consent = (await registry.permit(client))["id"]
    assert_names(await renew(registry, consent, form={**form("written"), "signers": []}), "form.signers")
    assert_names(await renew(registry, consent, expires_at=later(-1)), "expires_at")
    assert_names(await renew(registry, consent, expires_at=None), "expires_at")
    assert_names(await renew(registry, consent, valid_from=later(1)), "valid_from")
    survivor = await registry.client(SAFE_HOUSE)
    release = (await registry.permit(survivor, SAFE_HOUSE))["id"]
    assert_names(await renew(registry, release, SAFE_HOUSE, form=form("electronic")), "form.method")
    assert (await renew(registry, release, SAFE_HOUSE)).json()["version"] == 2
    refusal = await registry.narrow(client, "refuse", categories=["health"])
    refused = await renew(registry, refusal["id"])
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-a-grant")


async def test_spoken_it_does_not_take_the_place_of_a_signature_that_a_part_2_program_needs(registry: Registry) -> None:
    """What crossed would not any more, and nobody at the desk would know."""
    signed, spoken = await registry.client(ANNEX), await registry.client(ANNEX)
    consent = (await registry.permit(signed, ANNEX))["id"]
    never_enough = (await registry.permit(spoken, ANNEX, form=form("verbal")))["id"]
    await registry.control(registry.says.organization(ANNEX, CLINIC))
    sealed = await registry.sealed(signed, ["need", "identity"], originator=Party(organization=ANNEX))
    assert_names(await renew(registry, consent, ANNEX, form=form("verbal")), "form.method")
    assert (await renew(registry, consent, ANNEX)).json()["version"] == 2
    assert (await registry.release(sealed.asked()))["categories"] == ["identity", "need"]
    assert (await renew(registry, never_enough, ANNEX, form=form("verbal"))).json()["version"] == 2
    await registry.control(registry.says.organization(ANNEX))
    assert (await renew(registry, consent, ANNEX, form=form("verbal"))).json()["version"] == 3


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"expires_at": None}, "expires_at"),
    ({"expires_at": "tomorrow"}, "expires_at"),
    ({"expires_at": "1999-12-31T00:00:00Z"}, "expires_at"),
    ({"valid_from": "2999-01-01T00:00:00Z"}, "valid_from"),
    ({"form": None}, "form"),
    ({"form": {"method": "written"}}, "form.notice_version"),
    ({"form": form("written") | {"method": "by heart"}}, "form.method"),
    ({"form": form("written") | {"signers": []}}, "form.signers"),
    ({"form": form("written") | {"signers": [{"role": "client", "on": "2999-01-01"}]}}, "form.signers"),
    ({"form": form("written") | {"signers": [{"role": "friend", "on": "2026-11-20"}]}}, "form.signers.0.role"),
    ({"form": form("written") | {"document": {"sha256": "0", "held_by": "desk"}}}, "form.document.sha256"),
    ({"form": form("verbal")}, "form.method"),
    ({"actor": {"id": "staff-7"}}, "actor.role"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
async def test_what_it_lacks_is_named_by_a_field_of_its_own(
    registry: Registry, changes: dict[str, Any], field: str
) -> None:
    consent = (await registry.permit(await registry.client(), attested=True))["id"]
    assert_names(await renew(registry, consent, **changes), field)


async def test_what_stands_in_the_way_of_the_consent_itself_is_said_in_words(registry: Registry) -> None:
    """That it may not be attested any more, or that a recipient is gone: no field of the renewal can mend that."""
    attested = (await registry.permit(await registry.client(ANNEX), ANNEX, attested=True))["id"]
    gone = (await registry.permit(await registry.client(), to=[BYSTANDER, SHELTER]))["id"]
    await registry.control(registry.says.organization(ANNEX, CLINIC))
    assert_not_renewable(await renew(registry, attested, ANNEX), "may not attest any more")
    await registry.control(restated_without(registry, BYSTANDER))
    assert_not_renewable(await renew(registry, gone), f"{BYSTANDER}, to whom")
    for organization in (ANNEX, BYSTANDER):
        await registry.control(registry.says.organization(organization))
    assert [(await renew(registry, *one)).status_code for one in ((attested, ANNEX), (gone,))] == [200, 200]


def restated_without(registry: Registry, organization: str) -> ControlRestated:
    """All that is in force, but for an organization."""
    (control,) = registry.view.controls()
    others = tuple(one for one in control.organizations.values() if one.id != organization)
    data = ControlRestatedData(
        **registry.says.signed(),
        policy_version=control.policy_version,
        organizations=others,
        agreements=tuple(control.agreements.values()),
        keys=tuple(control.keys.values()),
    )
    return ControlRestated(**context("restated"), data=data)


def assert_not_renewable(refused: httpx.Response, words: str) -> None:
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (409, "/problems/not-renewable")
    assert words in problem["detail"]
    assert "errors" not in problem


async def test_each_version_is_shown_with_its_form_also_when_another_has_taken_its_place(registry: Registry) -> None:
    """What was sent under the first one names it so: under which signature that was, an auditor asks later."""
    client = await registry.client()
    consent = await registry.permit(client)
    sealed = await registry.sealed(client, ["need", "identity"])
    [relied] = (await registry.release(sealed.asked()))["consents"]
    signers = [{"role": "client", "on": "2026-11-21"}, {"role": "guardian", "on": "2026-11-22"}]
    second = (await renew(registry, consent["id"], form=form("electronic") | {"signers": signers})).json()
    third = (await renew(registry, consent["id"], form=form("verbal"))).json()
    path = f"/consents/{consent['id']}/versions"
    versions = (await registry.get(OUTREACH, path)).json()["items"]
    assert [one["version"] for one in versions] == [1, 2, 3]
    for one, said in zip(versions, (consent, second, third), strict=True):
        same = ("recorded_by", "recorded_at", "valid_from", "expires_at", "form")
        assert {name: one[name] for name in same} == {name: said[name] for name in same}
    assert [one["signed_on"] for one in versions] == ["2026-11-20", "2026-11-22", None]
    assert [one["replaced_at"] for one in versions] == [second["recorded_at"], third["recorded_at"], None]
    assert (relied["version"], relied["signed_on"]) == (versions[0]["version"], versions[0]["signed_on"])
    page = (await registry.get(OUTREACH, path, limit="2")).json()
    following = (await registry.get(OUTREACH, path, limit="2", after=page["next"])).json()
    assert ([*page["items"], *following["items"]], following["next"]) == (versions, None)
    assert [(await registry.get(SHELTER, one)).status_code for one in (path, "/consents/0/versions")] == [404, 404]


async def test_it_is_its_recorders_alone_and_takes_the_right_to_write(registry: Registry) -> None:
    client = await registry.client()
    consent = (await registry.permit(client))["id"]
    there, nowhere = [await renew(registry, one, SHELTER) for one in (consent, "0" * 32)]
    assert (there.status_code, there.content) == (404, nowhere.content)
    scopes = [scope for scope in Scope if scope is not Scope.CONSENTS_WRITE]
    body = {"expires_at": later(60), "form": form("written")}
    assert (await registry.post(OUTREACH, f"/consents/{consent}/renewal", body, scopes=scopes)).status_code == 403


async def test_with_its_key_it_is_done_once_and_two_at_once_make_two_versions(registry: Registry) -> None:
    client = await registry.client()
    consent = (await registry.permit(client))["id"]
    body = {"expires_at": later(60), "form": form("written")}
    path = f"/consents/{consent}/renewal"
    answers = [await registry.post(OUTREACH, path, body, key="one-renewal") for _ in range(2)]
    assert [answer.json()["version"] for answer in answers] == [2, 2]
    await asyncio.gather(*(renew(registry, consent) for _ in range(2)))
    assert (await shown(registry, consent))["version"] == 4
