"""A day in short, over HTTP alone: two organizations agree, a client consents, a name crosses, and it stops."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.kit import keys
from services.kit.auth import Scope
from tests.support.waiting import wait_until

PURPOSE = "shelter-placement"
NAME = "Canary-Magdalena"
SCOPES = [scope.value for scope in Scope if scope is not Scope.ADMIN]


class Organization:
    """One organization's system: who it is and what it may call."""

    def __init__(self, services: Mapping[str, str], credential: Mapping[str, str], name: str = "") -> None:
        self.id = name
        self._services = services
        self._http = httpx.Client(trust_env=False, timeout=30)
        form = {"grant_type": "client_credentials", **credential}
        granted = self.call("POST", "governance", "/oauth/token", data=form)
        self._http.headers["Authorization"] = f"Bearer {granted['access_token']}"

    def call(self, method: str, service: str, path: str, **more: Any) -> Any:
        """Send a request, again where a service that is needed does not answer: nothing was changed then."""

        def sent() -> httpx.Response | None:
            answer = self._http.request(method, f"{self._services[service]}{path}", **more)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        answer = wait_until(sent, what=f"{method} {service}{path} to be answered", deadline=60)
        assert answer.is_success, f"{method} {service}{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, service: str, path: str, body: object) -> Any:
        return self.call("POST", service, path, json=body)


def live_through(services: Mapping[str, str], admin: Mapping[str, str]) -> None:
    """Refer a client who consents to a shelter, see her name arrive there, revoke, and see it arrive no more."""
    credential = {name: admin[name] for name in ("client_id", "client_secret")}
    administrator = Organization(services, credential)
    outreach, shelter = (_join(services, administrator) for _ in range(2))
    _agree(administrator, outreach, shelter)
    client = outreach.post("consent", "/clients", {})["client_id"]
    consent = outreach.post("consent", "/consents", _permit(client, shelter))["id"]
    _refer(outreach, shelter, client)
    arrived = wait_until(lambda: _inbox(shelter, NAME), what="the name in the shelter's inbox", deadline=60)
    assert [item["data"]["verdict"] for item in arrived] == ["permit"]
    outreach.post("consent", f"/consents/{consent}/revocation", {"requested_by": "client"})
    wait_until(lambda: not _inbox(shelter, NAME), what="the name to be gone from the inbox")


def _join(services: Mapping[str, str], administrator: Organization) -> Organization:
    name = f"org-{keys.random_id()[:8]}"
    about = {"name": name, "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}
    administrator.post("governance", "/organizations", {"id": name, **about})
    made = administrator.post("governance", f"/organizations/{name}/credentials", {"name": "system", "scopes": SCOPES})
    joined = Organization(services, {key: made[key] for key in ("client_id", "client_secret")}, name)
    joined.post("governance", f"/organizations/{name}/contacts", {"id": "desk", "name": "The desk"})
    return joined


def _agree(administrator: Organization, outreach: Organization, shelter: Organization) -> None:
    term = {"from": [outreach.id], "to": [shelter.id], "purposes": [PURPOSE], "categories": ["identity"]}
    proposal = {"title": "Shelter", "parties": [outreach.id, shelter.id], "terms": [{**term, "deidentified": True}]}
    path = f"/agreements/{administrator.post('governance', '/agreements', proposal)['id']}"
    for party in (outreach, shelter):
        party.post("governance", f"{path}/approvals", {})
    wait_until(
        lambda: administrator.call("GET", "governance", path)["status"] == "active", what="the agreement", deadline=60
    )


def _permit(client: str, shelter: Organization) -> dict[str, Any]:
    now = datetime.now(UTC)
    signed = {"method": "written", "notice_version": "1", "signers": [{"role": "client", "on": now.date().isoformat()}]}
    return {
        "client_id": client,
        "decision": "permit",
        "to": [shelter.id],
        "categories": ["identity"],
        "purposes": [PURPOSE],
        "expires_at": (now + timedelta(days=30)).isoformat(),
        "form": signed,
    }


def _refer(outreach: Organization, shelter: Organization, client: str) -> None:
    her = {"client_id": client, "relationship_to_hoh": 1, "segments": {"identity": {"first_name": NAME}}}
    need = {"household_type": "without_children", "household_size": 1, "beds": 1}
    about = {"to": {"organization": shelter.id}, "service": "ES", "purpose": PURPOSE, "call_back": "desk"}
    outreach.post("referrals", "/referrals", {"members": [her], "need": need, **about})


def _inbox(shelter: Organization, name: str) -> list[Any]:
    items = shelter.call("GET", "webhooks", "/inbox?limit=50")["items"]
    return [item for item in items if name in str(item)]
