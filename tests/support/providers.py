"""Providers with an agreement on a running stack, each calling the services and listening as its own system would."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.kit import keys
from services.kit.auth import Scope
from tests.support.receiver import Desk, Received, Receiver
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

PURPOSE = "shelter-placement"
SCOPES = [scope.value for scope in Scope if scope is not Scope.ADMIN]
CALL_BACK = {"name": "Ana at the desk", "phone": "+1 555 0142"}
SAID = {
    "identity": {"first_name": "Canary-Magdalena", "dob": "1988-04-17"},
    "household": {"relationship_to_hoh": 1, "household_size": 1},
    "health": {"general_health_status": 4},
}
NEED = {"household_type": "without_children", "household_size": 1, "beds": 1}
NEED_AS_TOLD = NEED | {"household_size": "1", "service": "ES"}


@dataclass
class Provider:
    """An organization's case-management system; `desk` and `secret` are its webhook endpoint's."""

    id: str
    http: httpx.AsyncClient
    services: dict[str, str]
    desk: Desk
    endpoint: str = ""
    secret: str = ""

    async def call(
        self, method: str, service: str, path: str, body: object = None, **parameters: str | int
    ) -> httpx.Response:
        """Call a service; `wait` is for the Prefer header, other parameters for the query."""
        wait = parameters.pop("wait", None)
        headers = {} if wait is None else {"Prefer": f"wait={wait}"}
        url = f"{self.services[service]}{path}"
        return await self.http.request(method, url, json=body, headers=headers, params=parameters)

    async def get(self, service: str, path: str, **parameters: str | int) -> Any:
        answer = await self.call("GET", service, path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, service: str, path: str, body: object = None, **parameters: str | int) -> Any:
        answer = await self.call("POST", service, path, body, **parameters)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def client(self) -> str:
        return str((await self.post("consent", "/clients", {}))["client_id"])

    async def refer(self, to: "Provider", client_id: str, /, **changes: Any) -> str:
        return str((await self.post("referrals", "/referrals", referral(to.id, client_id, **changes)))["id"])

    async def grant(self, to: "Provider", client_id: str, *categories: str) -> dict[str, Any]:
        body = consent(to.id, client_id, categories=categories)
        granted: dict[str, Any] = await self.post("consent", "/consents", body, wait=10)
        return granted

    async def told(self, mark: str, type_: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until `count` different messages of a type that hold `mark` have arrived; verified, and all of them."""

        def found() -> list[dict[str, Any]] | None:
            heard = self.heard(mark, type_)
            return heard if len(heard) >= count else None

        return await wait_until_async(found, what=f"{count} {type_} at {self.id}")

    def heard(self, mark: str, type_: str | None = None) -> list[dict[str, Any]]:
        """The different messages that hold `mark`, in their order; each verified by an independent implementation."""
        found = {one.webhook_id: one.verified(self.secret) for one in self.requests(mark)}
        return [message for message in found.values() if type_ in {None, message["type"]}]

    def requests(self, mark: str) -> list[Received]:
        """Every request that holds `mark`, repeated ones too."""
        return [one for one in self.desk.received if mark.encode() in one.raw]

    async def crossing(self, referral_id: str, verdict: str = "deidentified") -> dict[str, Any]:
        """What crossed, once something was delivered with this verdict."""

        async def found() -> dict[str, Any] | None:
            crossing: dict[str, Any] = (await self.get("referrals", f"/referrals/{referral_id}"))["crossing"][0]
            return crossing if crossing["delivered_at"] and crossing["verdict"] == verdict else None

        return await wait_until_async(found, what="a delivery that its originator sees")


@dataclass(frozen=True)
class Providers:
    """Outreach, a shelter, a victim service provider, and one that is no party of their agreement."""

    outreach: Provider
    shelter: Provider
    haven: Provider
    stranger: Provider
    agreement: str


def referral(to: str, client_id: str, /, **changes: Any) -> dict[str, Any]:
    """The body of a referral; `segments` may be among the changes."""
    segments = changes.pop("segments", SAID)
    return {
        "members": [{"client_id": client_id, "relationship_to_hoh": 1, "segments": segments}],
        "to": {"organization": to},
        "service": "ES",
        "purpose": PURPOSE,
        "need": NEED,
        "call_back": "desk",
    } | changes


def consent(to: str, client_id: str, /, **changes: Any) -> dict[str, Any]:
    """The body of a written permission for 30 days."""
    today = datetime.now(UTC)
    return {
        "client_id": client_id,
        "decision": "permit",
        "to": [to],
        "categories": ["identity"],
        "purposes": [PURPOSE],
        "expires_at": (today + timedelta(days=30)).isoformat(timespec="seconds"),
        "form": {
            "method": "written",
            "notice_version": "1",
            "signers": [{"role": "client", "on": today.date().isoformat()}],
        },
    } | changes


async def found_community(stack: StackProcess, receiver: Receiver) -> Providers:
    """Register everybody, let the first three agree, and let all listen."""
    admin = await _signed_in("administrator", stack.admin, stack, receiver)
    run = keys.random_id()[:6]
    made = {
        name: await _member(f"{name}-{run}", name == "haven", admin, stack, receiver)
        for name in ("outreach", "shelter", "haven", "stranger")
    }
    beds = {"id": "beds", "name": "Beds", "project_type": 1, "part2_program": False, "hmis_participation": "hmis"}
    await made["shelter"].post("governance", f"/organizations/{made['shelter'].id}/projects", beds)
    parties = [made[name] for name in ("outreach", "shelter", "haven")]
    return Providers(**made, agreement=await _agreed(parties))


async def _member(id_: str, survivors: bool, admin: Provider, stack: StackProcess, receiver: Receiver) -> Provider:
    about = {"id": id_, "name": id_, "kind": "provider", "victim_service_provider": survivors, "hipaa_covered": False}
    await admin.post("governance", "/organizations", about)
    path = f"/organizations/{id_}"
    credential = await admin.post("governance", f"{path}/credentials", {"name": "system", "scopes": SCOPES})
    provider = await _signed_in(id_, credential, stack, receiver)
    await provider.post("governance", f"{path}/contacts", {"id": "desk", **CALL_BACK})
    endpoint = await provider.post("webhooks", "/endpoints", {"url": provider.desk.url, "types": ["*"]})
    provider.endpoint, provider.secret = endpoint["id"], endpoint["secret"]
    return provider


async def _signed_in(id_: str, credential: dict[str, Any], stack: StackProcess, receiver: Receiver) -> Provider:
    return await signed_in(id_, credential, stack.services, receiver.desk(id_))


async def signed_in(id_: str, credential: dict[str, Any], services: dict[str, str], desk: Desk) -> Provider:
    """Let an organization's system call the services with a credential."""
    http = httpx.AsyncClient(trust_env=False, timeout=40)
    provider = Provider(id_, http, services, desk)
    form = {name: credential[name] for name in ("client_id", "client_secret")} | {"grant_type": "client_credentials"}
    answer = await http.post(f"{provider.services['governance']}/oauth/token", data=form)
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return provider


async def _agreed(parties: list[Provider]) -> str:
    outreach, shelter, haven = parties
    term = {
        "from": [outreach.id, haven.id],
        "to": [shelter.id],
        "purposes": [PURPOSE],
        "categories": ["identity", "household", "health"],
        "deidentified": True,
    }
    proposal = {"title": "Shelter", "parties": [party.id for party in parties], "terms": [term]}
    agreement = str((await outreach.post("governance", "/agreements", proposal))["id"])
    for party in parties:
        answer = await party.post("governance", f"/agreements/{agreement}/approvals", wait=10)
        assert (answer["status"] == "active") == (party is haven), answer
    return agreement
