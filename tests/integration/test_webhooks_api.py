"""The API of webhooks: endpoints of one's own, their deliveries, and the inbox, which says no more than it may."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from services.kit.auth import Scope, access_of, routes_of
from services.kit.keys import random_id
from services.webhooks.tables import METADATA
from tests.conftest import Databases
from tests.support.custodian import Asked, closed, nothing, only_the_need
from tests.support.disclosing import Made
from tests.support.governance import is_problem
from tests.support.hooked import Hooked, hooked
from tests.support.tables import direct
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="module")
KIT_TABLES = {"alembic_version", "idempotency_keys", "outbox", "positions"}
URL = "https://receiver.example/hook"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Databases) -> AsyncIterator[Hooked]:
    async with hooked(postgres.create_database("webhooks")) as found, found.serving():
        yield found


@pytest.fixture
def owner() -> str:
    return f"org-{random_id()[:8]}"


# --- endpoints


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
    with direct(town.settings.database_url) as connection:
        assert connection.execute("SELECT secret FROM endpoints WHERE id = %s", (endpoint["id"],)).fetchone() == (b"",)


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
    with direct(town.settings.database_url) as connection:
        endpoint = await town.endpoint(owner)
        connection.execute("UPDATE endpoints SET url = 'https://10.0.0.1/' WHERE id = %s", (endpoint.id,))
    answer = await town.call(owner, "POST", f"/endpoints/{endpoint.id}/test")
    assert answer.json()["error"] == "address-not-allowed"


async def test_deliveries_are_listed_newest_first_in_pages(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    for _ in range(3):
        town.referral(pair)
        await town.publish()
    await endpoint.desk.wait(3)
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
    assert "Message" in document["components"]["schemas"]
    assert "Standard Webhooks" in document["webhooks"]["message"]["post"]["description"]


async def test_migrations_make_the_tables_of_the_code(town: Hooked) -> None:
    engine = create_engine(town.settings.database_url.get_secret_value())
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name not in KIT_TABLES}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    engine.dispose()
    assert [each for each in differences if each[0] != "remove_index"] == []


# --- the inbox


async def read(town: Hooked, organization: str, **parameters: Any) -> Any:
    return await town.get(organization, "/inbox", **parameters)


async def arrived(town: Hooked, organization: str, count: int) -> list[dict[str, Any]]:
    """Wait until the inbox has this many items."""

    async def found() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await read(town, organization))["items"]
        return items if len(items) >= count else None

    return await wait_until_async(found, what=f"{count} items")


async def referred(town: Hooked, pair: tuple[str, str], count: int) -> list[Made]:
    made = [town.referral(pair) for _ in range(count)]
    await town.publish()
    await arrived(town, pair[1], count)
    return made


async def test_the_inbox_serves_what_webhooks_bring(town: Hooked) -> None:
    pair = town.pair()
    endpoint = await town.endpoint(pair[1])
    (made,) = await referred(town, pair, 1)
    (item,) = (await read(town, pair[1]))["items"]
    assert item == (await endpoint.desk.wait())[0].body
    assert item["data"]["client_id"] == made.client_id
    assert (await read(town, pair[0]))["items"] == []


async def test_the_inbox_is_read_in_pages_and_from_where_one_was(town: Hooked) -> None:
    pair = town.pair()
    clients = [made.client_id for made in await referred(town, pair, 5)]
    first = await read(town, pair[1], limit=2)
    rest = await read(town, pair[1], limit=200, after=first["next"])
    assert [item["data"]["client_id"] for item in first["items"] + rest["items"]] == clients
    assert await read(town, pair[1], after=rest["next"]) == {"items": [], "next": None}
    later = town.referral(pair)
    await town.publish()
    await arrived(town, pair[1], 6)
    assert [item["data"]["client_id"] for item in (await read(town, pair[1], after=rest["next"]))["items"]] == [
        later.client_id
    ]


async def test_what_is_withheld_leaves_no_gap(town: Hooked) -> None:
    pair = town.pair()
    made = [town.referral(pair) for _ in range(4)]
    for each in made[1:3]:
        town.custodian.rules[each.client_id] = nothing
    await town.publish()
    await arrived(town, pair[1], 2)
    first = await read(town, pair[1], limit=1)
    second = await read(town, pair[1], limit=1, after=first["next"])
    assert [page["items"][0]["data"]["client_id"] for page in (first, second)] == [made[0].client_id, made[3].client_id]
    assert len({len(page["next"]) for page in (first, second)}) == 1
    assert await read(town, pair[1], after=second["next"]) == {"items": [], "next": None}
    (record,) = await town.wait_told(made[1].client_id, "withheld")
    assert (record.channel, record.verdict, record.endpoint_id) == ("inbox", "withheld", None)
    town.custodian.rules.clear()
    assert len((await read(town, pair[1]))["items"]) == 2  # withheld is for good


async def test_an_inbox_of_nothing_but_withheld_looks_empty(town: Hooked) -> None:
    pair = town.pair()
    made = [town.referral(pair) for _ in range(20)]
    town.custodian.rules |= {each.client_id: nothing for each in made}
    await town.publish()
    await wait_until_async(lambda: _items(town, pair[1], 20), what="the items")
    assert await read(town, pair[1]) == {"items": [], "next": None}
    assert await read(town, pair[1]) == await read(town, f"{pair[1]}-nobody")


async def _items(town: Hooked, organization: str, number: int) -> bool:
    with direct(town.settings.database_url) as connection:
        found = connection.execute("SELECT count(*) FROM decisions WHERE organization = %s", (organization,)).fetchone()
    return found == (number,)


async def test_each_reading_is_released_and_settled(town: Hooked) -> None:
    pair = town.pair()
    made = town.referral(pair)
    await town.publish()
    await wait_until_async(lambda: _items(town, pair[1], 1), what="the item")
    for cut, verdict in ((None, "permit"), (only_the_need, "deidentified")):
        if cut:
            town.custodian.rules[made.client_id] = cut
        (item,) = (await read(town, pair[1]))["items"]
        assert item["data"]["verdict"] == verdict
    asked = town.custodian.of(made.client_id)
    assert [(each.channel, each.attempt) for each in asked] == [("inbox", 1), ("inbox", 2)]
    await wait_until_async(
        lambda: town.custodian.settlements(made.client_id) == [["delivered"]] * 2, what="both to be settled"
    )
    records = await town.wait_told(made.client_id, "released", "delivered", "released", "delivered")
    assert [record.verdict for record in records] == ["permit", "permit", "deidentified", "deidentified"]


async def test_a_status_in_the_inbox_may_be_closed(town: Hooked) -> None:
    pair = town.pair()
    made = town.referral(pair)
    town.custodian.rules[f"0/{len(town.disclosing.answers)}/{pair[1]}"] = closed
    town.disclosing.say(made, "cancelled")
    await town.publish()
    items = await arrived(town, pair[1], 2)
    assert (items[1]["type"], items[1]["data"]["status"]) == ("referral.closed", "closed")
    assert "cancelled" not in json.dumps(items[1])


async def test_without_the_custodian_the_inbox_says_so(town: Hooked) -> None:
    pair = town.pair()
    await referred(town, pair, 1)
    town.custodian.down = True
    answer = await town.call(pair[1], "GET", "/inbox")
    town.custodian.down = False
    is_problem(answer, 503, "dependency-down")
    assert answer.headers["retry-after"]
    assert len((await read(town, pair[1]))["items"]) == 1


async def test_past_its_leases_a_page_is_not_sent(town: Hooked) -> None:
    pair = town.pair()
    (made,) = await referred(town, pair, 1)
    before = len(town.custodian.of(made.client_id))

    def stand_still(asked: Asked) -> None:
        if asked.client_id == made.client_id and asked.attempt == before + 1:
            town.clock.ahead += 2.0

    town.custodian.before_answering = stand_still
    is_problem(await town.call(pair[1], "GET", "/inbox"), 503, "dependency-down")
    await wait_until_async(lambda: town.custodian.settlements(made.client_id)[-1] == ["not_sent"], what="settled")
    assert len((await read(town, pair[1]))["items"]) == 1


async def test_a_cursor_is_ones_own(town: Hooked) -> None:
    pair, other = town.pair(), town.pair()
    await referred(town, pair, 1)
    page = await read(town, pair[1])
    for organization, cursor in ((other[1], page["next"]), (pair[1], page["next"][:-2]), (pair[1], "NDE")):
        is_problem(await town.call(organization, "GET", "/inbox", after=cursor), 422, "invalid-parameter", "after")


async def test_an_answer_of_the_inbox_is_kept_by_no_cache(town: Hooked) -> None:
    pair = town.pair()
    answer = await town.call(pair[1], "GET", "/inbox")
    assert (answer.headers["cache-control"], answer.headers["content-type"]) == ("no-store", "application/json")
