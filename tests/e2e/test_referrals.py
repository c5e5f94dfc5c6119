"""Referrals on a whole stack: with the real consent service, and with the referrals service killed on the way."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.governance import Caller, is_problem, member
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until

PURPOSE = "shelter-placement"
NAME = {"identity": {"first_name": "Canary-Magdalena"}}


@dataclass
class Provider:
    """An organization, as its case-management system calls the services."""

    id: str
    governance: Caller
    stack: StackProcess

    def call(self, method: str, service: str, path: str, body: object = None) -> httpx.Response:
        url = f"{self.stack.services[service]}{path}"
        return self.governance.http.request(method, url, json=body)

    def client(self) -> str:
        return str(self.call("POST", "consent", "/clients", {}).json()["client_id"])

    def grant(self, client_id: str, to: str) -> None:
        body = {
            "client_id": client_id,
            "decision": "permit",
            "to": [to],
            "categories": ["identity"],
            "purposes": [PURPOSE],
            "expires_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
            "form": {
                "method": "written",
                "notice_version": "1",
                "signers": [{"role": "client", "on": datetime.now(UTC).date().isoformat()}],
            },
        }
        made = self.call("POST", "consent", "/consents", body)
        assert made.status_code == 201, made.text

    def refer(self, to: str, client_id: str, **segments: object) -> httpx.Response:
        body = {
            "members": [{"client_id": client_id, "relationship_to_hoh": 1, "segments": segments}],
            "to": {"organization": to},
            "service": "ES",
            "purpose": PURPOSE,
            "need": {"household_type": "without_children", "household_size": 1, "beds": 1},
            "call_back": "desk",
        }
        return self.call("POST", "referrals", "/referrals", body)

    def crossing(self, referral: str, verdict: str) -> dict[str, Any]:
        """Wait until the crossing has this verdict, and return it."""

        def found() -> dict[str, Any] | None:
            answer = self.call("GET", "referrals", f"/referrals/{referral}")
            first: dict[str, Any] = answer.json()["crossing"][0]
            return first if first["verdict"] == verdict else None

        return wait_until(found, what=verdict)


@pytest.fixture(scope="module")
def providers(running_stack: StackProcess) -> tuple[Provider, Provider, Provider]:
    """An outreach provider, a victim service provider, and the shelter that they have an agreement with."""
    admin = Caller(running_stack, **running_stack.admin)
    made = [
        Provider(*member(running_stack, admin, victim_service_provider=protected), running_stack)
        for protected in (False, True, False)
    ]
    outreach, safe_house, shelter = made
    for provider in made:
        answer = provider.governance.post(f"/organizations/{provider.id}/contacts", {"id": "desk", "name": "The desk"})
        assert answer.status_code == 201, answer.text
    term = {
        "from": [outreach.id, safe_house.id],
        "to": [shelter.id],
        "purposes": [PURPOSE],
        "categories": ["identity"],
        "deidentified": True,
    }
    parties = [provider.id for provider in made]
    agreement = admin.post("/agreements", {"title": "Shelter", "parties": parties, "terms": [term]}).json()["id"]
    for provider in made:
        provider.governance.post(f"/agreements/{agreement}/approvals", {}, Prefer="wait=10")
    wait_until(lambda: admin.get(f"/agreements/{agreement}").json()["status"] == "active", what="the agreement")
    return outreach, safe_house, shelter


def test_what_was_withheld_follows_though_the_service_is_killed_as_the_client_consents(
    running_stack: StackProcess, providers: tuple[Provider, Provider, Provider]
) -> None:
    outreach, _, shelter = providers
    is_problem(
        outreach.refer(shelter.id, shelter.client(), **NAME), 404, "client-not-registered", "members.0.client_id"
    )
    client = outreach.client()
    referral = outreach.refer(shelter.id, client, **NAME).json()["id"]
    reference = outreach.crossing(referral, "deidentified")["reference"]
    killed = running_stack.kill("referrals")
    outreach.grant(client, shelter.id)
    running_stack.wait_restarted("referrals", killed)
    running_stack.wait_ready("referrals")
    assert outreach.crossing(referral, "permit")["categories"] == ["identity", "need"]
    for name in (reference, referral):
        assert shelter.call("GET", "referrals", f"/referrals/{name}").json() == {"id": name, "status": "requested"}
    accepted = shelter.call("POST", "referrals", f"/referrals/{referral}/transitions", {"to": "accepted"})
    assert accepted.status_code == 200
    view = outreach.call("GET", "referrals", f"/referrals/{referral}").json()
    assert (view["status"], view["version"]) == ("accepted", 3)
    assert "Canary" not in running_stack.log("referrals")


def test_a_victim_service_provider_seals_what_its_release_names(
    providers: tuple[Provider, Provider, Provider],
) -> None:
    _, safe_house, shelter = providers
    client = safe_house.client()
    refused = safe_house.refer(shelter.id, client, **NAME)
    is_problem(refused, 422, "vsp-no-release", "members.0.segments.identity")
    safe_house.grant(client, shelter.id)
    made = safe_house.refer(shelter.id, client, **NAME)
    assert safe_house.crossing(made.json()["id"], "permit")["categories"] == ["identity", "need"]
    is_problem(safe_house.refer(shelter.id, client), 409, "client-already-used", "members.0.client_id")
