"""The API of webhooks: endpoints of one's own, and their deliveries."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from schemas.beds import Unit
from services.kit.auth import Scope, access_of, routes_of
from services.kit.keys import random_id
from services.webhooks.notices import AVAILABILITY_TYPE, EXPIRING_TYPE, HOLD_TYPES
from services.webhooks.tables import METADATA
from services.webhooks.told import EVENT_TYPES
from tests.conftest import Databases
from tests.support.governance import is_problem
from tests.support.hooked import Hooked, hooked
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
KIT_TABLES = {"alembic_version", "idempotency_keys", "outbox", "positions"}
URL = "https://receiver.example/hook"
SIGNING_HEADERS = {"webhook-id", "webhook-timestamp", "webhook-signature"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


@pytest.fixture
def owner() -> str:
    return f"org-{random_id()[:8]}"


async def test_an_endpoint_is_made_shown_changed_and_deleted(town: Hooked, owner: str) -> None:
    made = await town.call(owner, "POST", "/endpoints", {"url": URL, "types": ["referral.requested"]})
    assert made.status_code == 201
    endpoint = made.json()
    secret = endpoint.pop("secret")
    assert secret.startswith("whsec_")
    path = f"/endpoints/{endpoint['id']}"
    assert await town.get(owner, path) == endpoint
    assert (endpoint["enabled"], endpoint["failing"], endpoint["description"]) == (True, False, None)
    changed = await town.call(owner, "PATCH", path, {"types": ["*"], "description": "our case system"})
    assert changed.json() == endpoint | {"types": ["*"], "description": "our case system"}
    assert (await town.get(owner, "/endpoints"))["items"] == [changed.json()]
    assert (await town.call(owner, "DELETE", path)).status_code == 204
    for method in ("GET", "DELETE", "PATCH"):
        is_problem(await town.call(owner, method, path, {} if method == "PATCH" else None), 404, "not-found")
    assert (await town.get(owner, "/endpoints"))["items"] == []
    assert town.rows("SELECT secret FROM endpoints WHERE id = %s", endpoint["id"]) == [(b"",)]


async def test_endpoints_are_listed_in_pages(town: Hooked, owner: str) -> None:
    ids = [(await town.endpoint(owner)).id for _ in range(3)]
    first = await town.get(owner, "/endpoints", limit=2)
    second = await town.get(owner, "/endpoints", limit=2, after=first["next"])
    assert [each["id"] for each in first["items"] + second["items"]] == ids
    assert second["next"] is None


async def test_a_secret_is_shown_once_even_to_a_repetition(town: Hooked, owner: str) -> None:
    body, key = {"url": URL, "types": ["*"]}, {"Idempotency-Key": owner}
    first = (await town.call(owner, "POST", "/endpoints", body, headers=key)).json()
    again = (await town.call(owner, "POST", "/endpoints", body, headers=key)).json()
    assert first.pop("secret")
    assert again == first | {"secret": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"types": ["*"]}, "url"),
        ({"url": URL}, "types"),
        ({"url": URL, "types": []}, "types"),
        ({"url": URL, "types": ["*", "referral.eaten"]}, "types.1"),
        ({"url": URL, "types": ["consent.granted"]}, "types.0"),
        ({"url": URL, "types": "*"}, "types"),
        ({"url": URL, "types": ["*"], "secret": "whsec_mine"}, "secret"),
        ({"url": URL, "types": ["*"], "organization": "another"}, "organization"),
        ({"url": URL, "types": ["*"], "description": ""}, "description"),
        ({"url": "http://receiver.example/hook", "types": ["*"]}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data", "types": ["*"]}, "url"),
        ({"url": "https://user:secret@receiver.example/", "types": ["*"]}, "url"),
        ({"url": "https://receiver.example/" + "x" * 2048, "types": ["*"]}, "url"),
        ({"url": "hook", "types": ["*"]}, "url"),
    ],
)
async def test_what_is_refused_names_the_field(town: Hooked, owner: str, body: dict[str, Any], field: str) -> None:
    answer = await town.call(owner, "POST", "/endpoints", body)
    is_problem(answer, 422, "invalid-body", field)
    assert "receiver.example" not in answer.text


async def test_a_change_is_held_to_the_same(town: Hooked, owner: str) -> None:
    path = f"/endpoints/{(await town.endpoint(owner)).id}"
    is_problem(await town.call(owner, "PATCH", path, {"url": "https://[::ffff:10.0.0.1]/"}), 422, "invalid-body", "url")
    is_problem(await town.call(owner, "PATCH", path, {"types": ["x"]}), 422, "invalid-body", "types.0")
    is_problem(await town.call(owner, "PATCH", path, {"id": "x"}), 422, "invalid-body", "id")


async def test_anothers_endpoint_is_not_there(town: Hooked, owner: str) -> None:
    endpoint = await town.endpoint(owner)
    stranger = f"{owner}-x"
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
    ):
        answer = await town.call(stranger, method, f"/endpoints/{endpoint.id}{path}", {} if method == "PATCH" else None)
        is_problem(answer, 404, "not-found")
    assert (await town.get(stranger, "/endpoints"))["items"] == []
    assert endpoint.desk.received == []


async def test_every_route_has_its_scope_and_an_organization(town: Hooked, owner: str) -> None:
    own = [one for one in routes_of(_app(town)) if str(one.path).startswith(("/endpoints", "/deliveries"))]
    assert len(own) == 9
    assert {str(access_of(route)) for route in own} == {str(access_of(own[0]))}
    body = {"url": URL, "types": ["*"]}
    headers = town.headers(owner, Scope.INBOX_READ)
    is_problem(await town.http.post("/endpoints", json=body, headers=headers), 403, "insufficient-scope")
    is_problem(
        await town.http.get("/inbox", headers=town.headers(owner, Scope.WEBHOOKS_MANAGE)), 403, "insufficient-scope"
    )
    is_problem(await town.call(None, "POST", "/endpoints", body), 403, "organization-needed")
    is_problem(await town.call(None, "GET", "/inbox"), 403, "organization-needed")
    is_problem(await town.http.get("/inbox"), 401, "unauthenticated")


def _app(town: Hooked) -> Any:
    return town.http._transport.app  # type: ignore[attr-defined]


async def test_a_test_request_is_signed_and_says_what_came_of_it(town: Hooked, owner: str) -> None:
    endpoint = await town.endpoint(owner, "referral.requested")
    path = f"/endpoints/{endpoint.id}/test"
    endpoint.desk.answers = [(200, {}), (418, {}), (302, {"Location": endpoint.desk.url})]
    results = [(await town.call(owner, "POST", path)).json() for _ in range(3)]
    assert [(each["delivered"], each["status_code"], each["error"]) for each in results] == [
        (True, 200, None),
        (False, 418, None),
        (False, 302, None),
    ]
    assert len(endpoint.desk.received) == 3
    body = endpoint.desk.received[0].verified(endpoint.secret)
    assert (body["type"], body["data"]) == ("endpoint.test", {})
    nobody = await town.endpoint(owner, url="http://127.0.0.1:1/")
    answer = await town.call(owner, "POST", f"/endpoints/{nobody.id}/test")
    assert answer.json() | {"milliseconds": 0} == {
        "delivered": False,
        "status_code": None,
        "error": "connection-refused",
        "milliseconds": 0,
    }
    assert await town.deliveries(endpoint) == []


async def test_a_name_that_leads_inside_is_not_reached(town: Hooked, owner: str) -> None:
    endpoint = await town.endpoint(owner)
    town.do("UPDATE endpoints SET url = 'https://10.0.0.1/' WHERE id = %s", endpoint.id)
    answer = await town.call(owner, "POST", f"/endpoints/{endpoint.id}/test")
    assert answer.json()["error"] == "address-not-allowed"


async def test_deliveries_are_listed_newest_first_in_pages(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    for number in range(1, 4):
        town.referral(pair)
        await town.publish()
        await endpoint.desk.wait(number)  # of two on their way at once either may arrive first
    await wait_until_async(lambda: _count(town, endpoint, "delivered", 3), what="three deliveries")
    path = f"/endpoints/{endpoint.id}/deliveries"
    first = await town.get(pair[1], path, limit=2)
    second = await town.get(pair[1], path, limit=2, after=first["next"])
    listed = [each["webhook_id"] for each in first["items"] + second["items"]]
    assert (len(first["items"]), second["next"]) == (2, None)
    assert listed == [each.webhook_id for each in reversed(endpoint.desk.received)]
    is_problem(await town.call(pair[1], "GET", path, after=first["next"][:-3]), 422, "invalid-parameter", "after")
    is_problem(await town.call(pair[0], "GET", f"/deliveries/{first['items'][0]['id']}"), 404, "not-found")


async def _count(town: Hooked, endpoint: Any, state: str, number: int) -> bool:
    return [each["state"] for each in await town.deliveries(endpoint)].count(state) == number


async def test_the_openapi_document_says_what_arrives(town: Hooked) -> None:
    document = (await town.http.get("/openapi.json")).json()
    assert document["webhooks"].keys() == {*EVENT_TYPES, *HOLD_TYPES, EXPIRING_TYPE, AVAILABILITY_TYPE, "endpoint.test"}
    for type_, each in document["webhooks"].items():
        assert "Standard Webhooks" in each["post"]["description"]
        assert {one["name"] for one in each["post"]["parameters"]} == SIGNING_HEADERS
        name = each["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert document["components"]["schemas"][name]["properties"]["type"]["const"] == type_
    said = document["components"]["schemas"]["UnitAvailabilityMessage"]["properties"]["data"]["properties"]
    assert said.keys() == set(Unit.__struct_fields__)


async def test_migrations_make_the_tables_of_the_code(town: Hooked) -> None:
    engine = create_engine(town.settings.database_url.get_secret_value())
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name not in KIT_TABLES}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    engine.dispose()
    assert [each for each in differences if each[0] != "remove_index"] == []
