"""What consent's API refuses, and which field it names."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Databases
from tests.support.control_records import OUTREACH, SAFE_HOUSE, SHELTER
from tests.support.registry import SHARED_SYSTEM, Registry, assert_names, founded
from tests.support.sealed import form

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "Canary-Magdalena"
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
EARLIER = (datetime.now(UTC) - timedelta(days=1)).isoformat()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(postgres: Databases) -> AsyncIterator[Registry]:
    async with founded(postgres) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(registry: Registry) -> str:
    """A client of outreach's, for what is refused anyway."""
    return await registry.client()


REFUSED_CONSENTS: list[tuple[dict[str, Any], str]] = [
    ({"to": []}, "to"),
    ({"to": None}, "to"),
    ({"to": ["no-such-organization"]}, "to.0"),
    ({"to": [SHELTER, "nowhere"]}, "to.1"),
    ({"to": [SHELTER, OUTREACH]}, "to.1"),
    ({"to": [f"{SHELTER}\n"]}, "to.0"),
    ({"to": [SHELTER] * 21}, "to"),
    ({"categories": []}, "categories"),
    ({"categories": None}, "categories"),
    ({"categories": ["identity", "shoe_size"]}, "categories.1"),
    ({"categories": ["*"]}, "categories.0"),
    ({"purposes": []}, "purposes"),
    ({"purposes": None}, "purposes"),
    ({"purposes": ["curiosity"]}, "purposes.0"),
    ({"decision": "revoke"}, "decision"),
    ({"decision": None}, "decision"),
    ({"expires_at": EARLIER}, "expires_at"),
    ({"expires_at": LATER, "valid_from": (datetime.now(UTC) + timedelta(days=2)).isoformat()}, "expires_at"),
    ({"expires_at": "tomorrow"}, "expires_at"),
    ({"expires_at": LATER.replace("+00:00", "")}, "expires_at"),
    ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
    ({"valid_from": "0001-01-01T00:00:00+14:00"}, "valid_from"),
    ({"decision": "refuse", "expires_at": LATER}, "expires_at"),
    ({"decision": "exclude", "expires_at": LATER}, "expires_at"),
    ({"decision": "refuse", "expires_at": None, "valid_from": LATER}, "valid_from"),
    ({"decision": "refuse", "expires_at": None, "categories": []}, "categories"),
    ({"form": None}, "form"),
    ({"form": {**form("written"), "method": "telepathic"}}, "form.method"),
    ({"form": {**form("written"), "signers": []}}, "form.signers"),
    ({"form": {**form("electronic"), "signers": []}}, "form.signers"),
    ({"form": {**form("written"), "signers": [{"role": "abuser", "on": "2026-11-20"}]}}, "form.signers.0.role"),
    ({"form": {**form("written"), "signers": [{"role": "client", "on": "2199-01-01"}]}}, "form.signers"),
    ({"form": {**form("written"), "notice_version": ""}}, "form.notice_version"),
    ({"form": {**form("written"), "document": {"sha256": "ab", "held_by": "us"}}}, "form.document.sha256"),
    ({"actor": {"id": "Rosa Luxemburg", "role": "navigator"}}, "actor.id"),
    ({"client_id": None}, "client_id"),
    ({"discloser": SHELTER}, "discloser"),
]


@pytest.mark.parametrize(
    ("changes", "field"), REFUSED_CONSENTS, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_a_consent_that_cannot_be_is_refused(
    registry: Registry, client: str, changes: dict[str, Any], field: str
) -> None:
    refused = await registry.post(OUTREACH, "/consents", registry.consent(client, **changes))
    assert_names(refused, field)
    assert (await registry.get(OUTREACH, "/consents", client_id=client)).json()["items"] == []


async def test_a_victim_service_provider_permits_in_writing_and_for_a_time_only(registry: Registry) -> None:
    client = await registry.client(SAFE_HOUSE)

    async def tried(**changes: Any) -> Any:
        return await registry.post(SAFE_HOUSE, "/consents", registry.consent(client, **changes))

    assert_names(await tried(form=form("electronic")), "form.method")
    assert_names(await tried(form=form("verbal")), "form.method")
    assert_names(await tried(expires_at=None), "expires_at")
    assert (await tried()).status_code == 201
    refusal = await tried(decision="refuse", expires_at=None, form=form("verbal"))
    assert refusal.status_code == 201, "withdrawn orally, at once"


def signed_by(*roles: str) -> dict[str, Any]:
    return form("written") | {"signers": [{"role": role, "on": "2026-11-20"} for role in roles]}


@pytest.mark.parametrize(
    "roles", [("parent",), ("parent", "parent"), ("representative",), ("parent", "representative")]
)
async def test_nobody_signs_a_victim_service_providers_release_for_a_client_who_can(
    registry: Registry, roles: tuple[str, ...]
) -> None:
    for organization, status in ((SAFE_HOUSE, 422), (OUTREACH, 201)):
        client = await registry.client(organization)
        made = await registry.post(organization, "/consents", registry.consent(client, form=signed_by(*roles)))
        assert made.status_code == status, made.text
        if status == 422:
            assert_names(made, "form.signers")


@pytest.mark.parametrize("roles", [("client",), ("client", "parent"), ("guardian", "client"), ("guardian",)])
async def test_a_minor_signs_a_release_with_a_parent_and_a_guardian_for_who_cannot(
    registry: Registry, roles: tuple[str, ...]
) -> None:
    client = await registry.client(SAFE_HOUSE)
    made = await registry.post(SAFE_HOUSE, "/consents", registry.consent(client, form=signed_by(*roles)))
    assert made.status_code == 201, made.text
    assert [signer["role"] for signer in made.json()["form"]["signers"]] == list(roles)


REFUSED_REVOCATIONS: list[tuple[dict[str, Any], str]] = [
    ({"scope": "everything"}, "scope"),
    ({"scope": "recipient"}, "recipient"),
    ({"scope": "recipient", "recipient": "no-such-organization"}, "recipient"),
    ({"scope": "category"}, "category"),
    ({"scope": "category", "category": "shoe_size"}, "category"),
    ({"scope": "consent"}, "consent_id"),
    ({"scope": "consent", "consent_id": "0" * 32}, "consent_id"),
    ({"recipient": SHELTER}, "recipient"),
    ({"scope": "all", "category": "health"}, "category"),
    ({"requested_by": "neighbour"}, "requested_by"),
    ({"requested_by": None}, "requested_by"),
    ({"reason_code": "Rosa said so"}, "reason_code"),
    ({"until": LATER}, "until"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED_REVOCATIONS)
async def test_a_revocation_that_says_not_what_is_refused(
    registry: Registry, client: str, body: dict[str, Any], field: str
) -> None:
    said = {name: value for name, value in ({"requested_by": "client"} | body).items() if value is not None}
    assert_names(await registry.post(OUTREACH, f"/clients/{client}/revocation", said), field)
    assert (await registry.get(OUTREACH, f"/clients/{client}/revocation")).status_code == 404


async def test_a_consents_own_address_is_not_for_another_consent(registry: Registry) -> None:
    client = await registry.client()
    one, other = await registry.permit(client), await registry.permit(client)
    said = {"requested_by": "client", "consent_id": other["id"]}
    assert_names(await registry.post(OUTREACH, f"/consents/{one['id']}/revocation", said), "consent_id")


@pytest.mark.parametrize(
    ("identifiers", "field"),
    [
        ([{"system": "no-such-system", "value": CANARY}], "identifiers.0.system"),
        ([{"system": "local", "value": CANARY}, {"system": "no-such-system", "value": "1"}], "identifiers.1.system"),
        ([{"system": SHARED_SYSTEM, "value": ""}], "identifiers.0.value"),
        ([{"system": SHARED_SYSTEM}], "identifiers.0.value"),
        ([{"system": "../organizations", "value": "1"}], "identifiers.0.system"),
        ([{"system": "local", "value": str(number)} for number in range(21)], "identifiers"),
    ],
)
async def test_an_identifier_that_cannot_be_is_refused(
    registry: Registry, identifiers: list[dict[str, str]], field: str
) -> None:
    refused = await registry.post(OUTREACH, "/clients", {"identifiers": identifiers})
    assert_names(refused, field)
    assert CANARY not in refused.text


async def test_a_victim_service_provider_shares_no_client_index(registry: Registry) -> None:
    registry.systems["mistaken"] = [OUTREACH, SAFE_HOUSE]
    body = {"identifiers": [{"system": "mistaken", "value": "1"}]}
    assert_names(await registry.post(SAFE_HOUSE, "/clients", body), "identifiers.0.system")
