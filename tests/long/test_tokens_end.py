"""Governance is away until every access token has ended: each client is told what to do, and goes on afterwards."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.secrets import read_secrets, secrets_path
from services.cli.hmis.client import Caller as Importer
from services.cli.hmis.client import CannotImport, Credential, Stack
from services.kit import keys
from services.kit.auth import ACCESS_TOKEN_SECONDS, ENDED, Principal, Scope, issue_access_token
from services.shelter_beds.board.credentials import AWAY_SECONDS
from services.shelter_beds.board.session import READABLE_SECONDS, VERIFIED_SECONDS, Seal, Session
from tests.support.callers import bearer
from tests.support.feed import Listener, listening
from tests.support.governance import SCOPES, Caller, grant
from tests.support.providers import Provider, Providers, found_community, referral
from tests.support.receiver import receiving
from tests.support.stack import StackProcess, started_stack
from tests.support.waiting import wait_until_async

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

LEFT = 2.0  # seconds that a token has left when governance goes away
LISTS = {
    "consent": "/consents",
    "referrals": "/referrals",
    "shelter_beds": "/availability",
    "webhooks": "/inbox",
    "audit": "/decisions",
}
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Place:
    """The stack, its community, and a credential of each organization for when governance is back."""

    stack: StackProcess
    town: Providers
    secrets: dict[str, str] = field(init=False)
    credentials: dict[str, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = read_secrets(secrets_path(self.stack.home))
        admin = Caller(self.stack, **self.stack.admin)
        self.credentials = {
            one.id: admin.post(f"/organizations/{one.id}/credentials", {"name": "system", "scopes": SCOPES}).json()
            for one in (self.town.outreach, self.town.shelter)
        }

    def ending(self, provider: Provider, left: float = LEFT) -> None:
        """Let a provider have a token as governance would have given it ten minutes ago, but for what is left of it."""
        principal = Principal(f"{provider.id}-system", provider.id, frozenset(Scope(name) for name in SCOPES))
        now = time.time() + left - ACCESS_TOKEN_SECONDS
        provider.http.headers.update(bearer(issue_access_token(principal, self._key("governance"), now)))

    async def signed_in(self, provider: Provider) -> None:
        """Let a provider get a token from governance, which is there."""
        made = self.credentials[provider.id]
        form = grant(made["client_id"], made["client_secret"])
        answer = await provider.http.post(f"{self.stack.services['governance']}/oauth/token", data=form)
        provider.http.headers.update(bearer(answer.json()["access_token"]))

    def cookie(self, provider: Provider, verified_ago: float) -> str:
        """The session of somebody who signed in an hour ago and whose credential was verified so many seconds ago."""
        made, now = self.credentials[provider.id], time.time()
        principal = Principal(made["client_id"], provider.id, frozenset(Scope(name) for name in SCOPES))
        begun = Session.begun(principal, made["client_secret"], now - 2 * READABLE_SECONDS)
        return Seal.of(self._key("shelter_beds")).seal(begun.renewed(principal, now - verified_ago))

    def pids(self) -> dict[str, int]:
        return {name: self.stack.pid(name) for name in self.stack.services if name != "governance"}

    def _key(self, service: str) -> Any:
        return keys.decode_private(self.secrets[f"THRESHOLD_{service.upper()}_ASSERTION_KEY"])


@pytest.fixture(scope="module")
def stack() -> Iterator[StackProcess]:
    with started_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(stack: StackProcess) -> AsyncIterator[Place]:
    async with receiving() as receiver:
        yield Place(stack, await found_community(stack, receiver))


async def test_each_api_says_what_to_do_and_what_was_taken_is_delivered_meanwhile(
    stack: StackProcess, place: Place
) -> None:
    outreach, shelter, pids = place.town.outreach, place.town.shelter, place.pids()
    client = await outreach.client()
    await outreach.grant(shelter, client, "identity")
    with stack.service_down("governance"):
        stack.kill("webhooks", signal.SIGSTOP)
        try:
            for provider in (outreach, shelter):
                place.ending(provider)
            made = [await outreach.refer(shelter, client)]
            body, key = referral(shelter.id, client), {"Idempotency-Key": keys.random_id()}

            async def refused() -> httpx.Response | None:
                url = f"{outreach.services['referrals']}/referrals"
                answer = await outreach.http.post(url, json=body, headers=key)
                return answer if answer.status_code != HTTPStatus.CREATED else None

            _assert_get_a_new_one(await wait_until_async(refused, what="the token to end"))
            await _nobody_signs_in(place, outreach)
        finally:
            stack.kill("webhooks", signal.SIGCONT)
        # Nobody has a token any more; the services prove to each other who they are by themselves.
        [told] = await shelter.told(made[0], "referral.requested")
        assert told["data"]["verdict"] == "permit"
        for service, path in LISTS.items():
            _assert_get_a_new_one(await shelter.call("GET", service, path))
        for service in pids:
            assert (await shelter.call("GET", service, "/readyz")).status_code == HTTPStatus.OK
    for provider in (outreach, shelter):
        await place.signed_in(provider)
    again = await outreach.http.post(f"{outreach.services['referrals']}/referrals", json=body, headers=key)
    assert again.status_code == HTTPStatus.CREATED
    listed = await outreach.get("referrals", "/referrals", limit=200)
    assert len(listed["items"]) == 2, "the same request was made again and again, and one referral"
    await shelter.told(again.json()["id"], "referral.requested")
    page = await shelter.get("webhooks", "/inbox", limit=50)
    assert {made[0], again.json()["id"]} <= {item["data"].get("referral_id") for item in page["items"]}
    assert place.pids() == pids


async def test_what_asks_governance_itself_answers_503_and_is_taken_when_it_is_back(
    stack: StackProcess, place: Place
) -> None:
    outreach, shelter = place.town.outreach, place.town.shelter
    for provider in (outreach, shelter):
        place.ending(provider, 300)
    identified = {"identifiers": [{"system": "shared", "value": "4711"}]}
    unit = {"name": "House", "project": "beds", "household_type": "without_children", "beds": 2}
    with stack.service_down("governance"):
        for provider, service, path, body in (
            (outreach, "consent", "/clients", identified),
            (shelter, "shelter_beds", "/units", unit),
        ):
            answer = await provider.call("POST", service, path, body)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/dependency-down"), answer.text
            assert int(answer.headers["Retry-After"]) > 0
    assert (await shelter.call("POST", "shelter_beds", "/units", unit)).status_code == HTTPStatus.CREATED


async def test_an_open_feed_goes_on_and_one_that_comes_again_is_told_what_to_do(
    stack: StackProcess, place: Place
) -> None:
    outreach, shelter = place.town.outreach, place.town.shelter
    place.ending(shelter, 300)
    unit = await _unit(shelter)
    url, listener = stack.services["shelter_beds"], Listener()
    place.ending(outreach)
    with stack.service_down("governance"):
        async with listening(url, _token_of(outreach), listener):
            await listener.knows(unit, available=2)

            async def ended() -> httpx.Response | None:
                answer = await outreach.call("GET", "shelter_beds", "/availability")
                return answer if answer.status_code != HTTPStatus.OK else None

            _assert_get_a_new_one(await wait_until_async(ended, what="the token to end"))
            await _say(shelter, unit, available=1)
            await listener.knows(unit, available=1)
        refused = await outreach.http.get(f"{url}/feed", headers={"Last-Event-ID": listener.last_id or ""})
        _assert_get_a_new_one(refused)
        await _say(shelter, unit, available=0)
    await place.signed_in(outreach)
    before = len(listener.events)
    async with listening(url, _token_of(outreach), listener):
        await listener.knows(unit, available=0)
    assert [event.name for event in listener.events[before:]][:1] == ["changes"], "it goes on where it was"


async def test_the_board_is_read_for_an_hour_and_the_same_session_writes_when_governance_is_back(
    stack: StackProcess, place: Place
) -> None:
    outreach, shelter = place.town.outreach, place.town.shelter
    place.ending(shelter, 300)
    unit = await _unit(shelter)
    address = stack.services["shelter_beds"]
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=20) as browser:
        with stack.service_down("governance"):
            browser.cookies.set("threshold", place.cookie(outreach, READABLE_SECONDS + 1))
            unreadable = await browser.get("/board")
            assert (unreadable.status_code, "Please try again" in unreadable.text) == (503, True)
            api = await browser.get("/availability")
            assert (api.status_code, api.json()["type"]) == (503, "/problems/dependency-down")
            browser.cookies.set("threshold", place.cookie(outreach, VERIFIED_SECONDS + 1))
            page = await browser.get(f"/board/units/{unit}/hold")
            assert page.status_code == HTTPStatus.OK
            form = {"csrf": _csrf(page), "beds": "1", "minutes": "30"}
            refused = await browser.post(f"/board/units/{unit}/hold", data=form)
            assert (refused.status_code, "Nothing was changed" in refused.text) == (503, True)
        assert (await shelter.get("shelter_beds", f"/units/{unit}"))["held"] == 0

        async def held() -> bool:
            return (await browser.post(f"/board/units/{unit}/hold", data=form)).status_code == HTTPStatus.SEE_OTHER

        await wait_until_async(held, what="the hold", deadline=AWAY_SECONDS + 10)
        assert (await shelter.get("shelter_beds", f"/units/{unit}"))["held"] == 1


async def test_an_import_uses_its_token_to_the_end_waits_and_says_how_to_go_on(
    stack: StackProcess, place: Place
) -> None:
    made = place.credentials[place.town.outreach.id]
    credential, ahead = Credential(made["client_id"], made["client_secret"]), 0.0
    services = Stack(stack.services, credential)
    async with httpx.AsyncClient(trust_env=False, timeout=1) as http:
        importer, patient = (
            Importer(services, credential, http, patience, lambda: time.time() + ahead) for patience in (1, 90)
        )
        keys_ = [keys.random_id() for _ in range(2)]
        for each in (importer, patient):
            await each.sign_in()
        with stack.service_down("governance"):
            ahead = ACCESS_TOKEN_SECONDS - 30
            first = await importer.post("consent", "/clients", {}, keys_[0])
            ahead = ACCESS_TOKEN_SECONDS + 1
            with pytest.raises(CannotImport, match=r"The governance service does not answer.*Run this again"):
                await importer.post("consent", "/clients", {}, keys_[1])
            waiting = asyncio.create_task(patient.post("consent", "/clients", {}, keys_[1]))
        second = await waiting
        again = [await importer.post("consent", "/clients", {}, key) for key in keys_]
    assert [one.body for one in again] == [first.body, second.body]
    assert all(one.repeated for one in again)


def _assert_get_a_new_one(answer: httpx.Response) -> None:
    assert answer.status_code == HTTPStatus.UNAUTHORIZED, answer.text
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threshold", error="invalid_token"'
    assert (answer.json()["type"], answer.json()["detail"]) == ("/problems/unauthenticated", ENDED)


async def _nobody_signs_in(place: Place, provider: Provider) -> None:
    made = place.credentials[provider.id]
    form = grant(made["client_id"], made["client_secret"])
    with pytest.raises(httpx.TransportError):
        await provider.http.post(f"{place.stack.services['governance']}/oauth/token", data=form, timeout=1)


def _token_of(provider: Provider) -> dict[str, str]:
    return {"Authorization": provider.http.headers["Authorization"]}


async def _unit(shelter: Provider) -> str:
    said = {"name": "House", "project": "beds", "household_type": "without_children", "beds": 2}
    unit = str((await shelter.post("shelter_beds", "/units", said))["id"])
    await _say(shelter, unit, available=2)
    return unit


async def _say(shelter: Provider, unit: str, *, available: int) -> None:
    said = {"available": available, "as_of": datetime.now(UTC).isoformat()}
    answer = await shelter.call("PUT", "shelter_beds", f"/units/{unit}/census", said)
    assert answer.status_code == HTTPStatus.OK, answer.text


def _csrf(page: httpx.Response) -> str:
    found = CSRF.search(page.text)
    assert found is not None
    return found[1]
