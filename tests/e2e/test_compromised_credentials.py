"""What each credential opens and what it does not: services' assertions, governance's tokens, the administrator's."""

import hmac
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from policy.base64url import encode
from services.kit.assertions import sign_assertion
from services.kit.auth import Principal, Scope, issue_access_token
from services.kit.keys import random_id
from services.kit.tokens import key_id
from tests.support.governance import grant
from tests.support.intruder import intruding
from tests.support.providers import PURPOSE, Providers
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")

SETTLEMENTS = ("POST", "/releases/settlements")
NOTHING: dict[str, Any] = {"settlements": []}
ASKED = f"/clients/{random_id()}/public-key?organization=a&recipient=b&purpose={PURPOSE}"
FOR_OTHERS = {
    "webhooks": [("consent", *SETTLEMENTS)],
    "referrals": [("consent", "GET", ASKED)],
    "governance": [("consent", "GET", "/control-position")],
    "consent": [("governance", "GET", "/identifier-systems/local")],
    "shelter_beds": [("governance", "GET", "/confidential-projects")],
}
"""By the service that may, what it alone may ask."""


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "webhooks"},
        {"target": "/releases"},
        {"method": "PUT"},
        {"body": b'{"settlements":[{}]}'},
        {"now": -31.0},
        {"now": 120.0},
        {"issuer": "governance"},
        {"key": "referrals"},
    ],
)
async def test_an_assertion_for_anything_else_is_worth_nothing(running_stack: StackProcess, changes: Any) -> None:
    async with intruding(running_stack, "webhooks") as webhooks, intruding(running_stack, "referrals") as other:
        if "now" in changes:
            changes = {"now": time.time() + changes["now"]}
        if "key" in changes:
            changes = {"key": other.settings.assertion_key}
        assert (await webhooks.asks("consent", *SETTLEMENTS, NOTHING))[0] == 204, "as it should be it counts"
        assert (await webhooks.asks("consent", *SETTLEMENTS, NOTHING, **changes))[0] == 401


async def test_no_other_algorithm_and_no_second_use_makes_an_assertion(running_stack: StackProcess) -> None:
    async with intruding(running_stack, "webhooks") as webhooks:
        body, key = json.dumps(NOTHING).encode(), webhooks.settings.assertion_key
        about: dict[str, Any] = {
            "issuer": "webhooks",
            "audience": "consent",
            "method": "POST",
            "target": SETTLEMENTS[1],
        }
        true = sign_assertion(key, body=body, now=time.time(), **about)
        claims = true.split(".")[1]

        def signed(algorithm: str, secret: bytes | None) -> str:
            header = {"alg": algorithm, "typ": "assertion+jwt", "kid": key_id(key.public_key())}
            said = f"{encode(json.dumps(header).encode())}.{claims}"
            return f"{said}.{'' if secret is None else encode(hmac.digest(secret, said.encode(), 'sha256'))}"

        public = key.public_key().public_bytes_raw()
        for token in (signed("HS256", public), signed("none", None), signed("EdDSA", public)):
            assert (await webhooks.sends("consent", *SETTLEMENTS, body, token)).status_code == 401
        answers = [(await webhooks.sends("consent", *SETTLEMENTS, body, true)).status_code for _ in range(2)]
        assert answers == [204, 401]


async def test_each_service_is_refused_what_is_for_another(running_stack: StackProcess) -> None:
    names = (*FOR_OTHERS, "audit", "boundary")
    async with AsyncExitStack() as entered:
        for name in names:
            intruder = await entered.enter_async_context(intruding(running_stack, name))
            for owner, questions in FOR_OTHERS.items():
                for target, method, path in questions:
                    body = NOTHING if method == "POST" else None
                    status, _ = await intruder.asks(target, method, path, body)
                    assert (status == 403) is (name != owner), (name, path, status)


async def test_a_services_key_makes_no_organizations_token(running_stack: StackProcess, town: Providers) -> None:
    async with intruding(running_stack, "webhooks") as webhooks:
        key = webhooks.settings.assertion_key
        token = issue_access_token(Principal("thief", town.shelter.id, frozenset(Scope)), key, time.time())
        for service, path in (("webhooks", "/inbox"), ("consent", "/consents"), ("referrals", "/referrals")):
            assert (await read(running_stack, service, path, token)).status_code == 401


async def test_what_governance_could_do_is_act_as_any_organization_and_ask_for_no_key(
    running_stack: StackProcess, town: Providers
) -> None:
    """Its assertion key signs access tokens: with it one reads what is told to whom one likes, and records consents."""
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    await town.outreach.refer(town.shelter, client)
    await town.shelter.told(client, "referral.requested")
    async with intruding(running_stack, "governance") as governance:
        key = governance.settings.assertion_key
        token = issue_access_token(Principal("thief", town.shelter.id, frozenset(Scope)), key, time.time())
        assert client in await inbox(running_stack, token)
        assert (await governance.asks("consent", *SETTLEMENTS, NOTHING))[0] == 403
        assert (await governance.asks("consent", "GET", ASKED))[0] == 403


async def test_what_the_administrator_could_do_is_make_itself_a_credential_of_any_organization(
    running_stack: StackProcess, town: Providers
) -> None:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    await town.outreach.refer(town.shelter, client)
    await town.shelter.told(client, "referral.requested")
    own = await token_of(running_stack, running_stack.admin)
    for service, path in (("webhooks", "/inbox"), ("referrals", "/referrals"), ("consent", "/consents")):
        assert (await read(running_stack, service, path, own)).status_code == 403, "its own opens nothing of a client"
    async with httpx.AsyncClient(base_url=running_stack.services["governance"], trust_env=False) as http:
        path, body = f"/organizations/{town.shelter.id}/credentials", {"name": "thief", "scopes": ["inbox:read"]}
        made = (await http.post(path, json=body, headers={"Authorization": f"Bearer {own}"})).json()
    assert client in await inbox(running_stack, await token_of(running_stack, made))


async def test_a_stolen_credential_is_its_organization_and_no_other(town: Providers) -> None:
    client = await town.outreach.client()
    await town.outreach.grant(town.shelter, client, "identity")
    made = await town.outreach.refer(town.shelter, client)
    await town.shelter.told(client, "referral.requested")
    stolen = town.stranger
    for service, path in (
        ("referrals", f"/referrals/{made}"),
        ("webhooks", f"/inbox/referrals/{made}"),
        ("audit", f"/clients/{client}/disclosures"),
        ("consent", f"/clients/{client}/revocation"),
    ):
        assert (await stolen.call("GET", service, path)).status_code == 404
    assert client not in str(await stolen.get("webhooks", "/inbox"))
    mine = await town.shelter.call("GET", "webhooks", f"/inbox/referrals/{made}")
    assert mine.status_code == 200, "what it could do: read what is told to it, and narrow or disclose as it"


async def token_of(stack: StackProcess, credential: dict[str, str]) -> str:
    form = grant(credential["client_id"], credential["client_secret"])
    async with httpx.AsyncClient(base_url=stack.services["governance"], trust_env=False) as http:
        return str((await http.post("/oauth/token", data=form)).json()["access_token"])


async def read(stack: StackProcess, service: str, path: str, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.services[service], trust_env=False, timeout=20) as http:
        return await http.get(path, headers={"Authorization": f"Bearer {token}"})


async def inbox(stack: StackProcess, token: str) -> str:
    """Everything in an inbox."""
    told, path = "", "/inbox?limit=50"
    while True:
        page = (await read(stack, "webhooks", path, token)).json()
        if not page["items"]:
            return told
        told += json.dumps(page["items"])
        path = f"/inbox?limit=50&after={page['next']}"
