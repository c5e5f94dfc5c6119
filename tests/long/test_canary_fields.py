"""Each text field of each API is tried with personal data: it is refused, sealed, or one that is meant for staff.

With a name; `make canary` tries an address of e-mail too, which takes as long again.
"""

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from services.kit import keys
from tests.support.asking import Asking, Described, Place
from tests.support.canary import Canaries
from tests.support.places import kept
from tests.support.providers import NEED, PURPOSE, SCOPES, Provider, Providers, signed_in
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")

TEXTS = ("Ana Núñez-Canario {:04d}q", "ana.{:04d}q@canario.example")[: 2 if "CANARY" in os.environ else 1]
STEMS = ("Núñez-Canario", "q@canario.example")
NAMED_BY: dict[str, tuple[str, ...]] = {
    "/consents": ("consent_id",),
    "/referrals": ("referral_id", "name"),
    "/units": ("unit_id",),
    "/holds": ("hold_id",),
    "/endpoints": ("endpoint_id",),
    "/agreements": ("agreement_id",),
}
"""What the id of something that was made is called where it is asked for."""

_BEDS = ("table shelter_beds.", "topic bed-availability", "table webhooks.notices")
_DIRECTORY = ("table governance.", "topic client-events", *_BEDS)
STAFFS: dict[tuple[str, str], tuple[str, ...]] = {
    ("governance", "name"): _DIRECTORY,  # of organizations, projects, credentials, and of staff to call back
    ("governance", "phone"): _DIRECTORY,
    ("governance", "email"): _DIRECTORY,
    ("governance", "title"): ("table governance.agreements",),
    ("shelter_beds", "name"): _BEDS,  # what a unit says of itself on the board
    ("shelter_beds", "area"): _BEDS,
    ("shelter_beds", "eligibility"): _BEDS,
    ("webhooks", "description"): ("table webhooks.endpoints",),
    # The publisher's own name for a referral: shown to it alone, on no topic.
    ("referrals", "external_id"): ("table referrals.referrals",),
}
"""Service and field of what is kept as it is said, and where: texts about organizations, their staff and units."""


@dataclass
class Tried:
    """What was asked, what it was answered, and what could be made."""

    asked: list[Asking] = field(default_factory=list)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    refusals: list[tuple[str, bytes]] = field(default_factory=list)

    async def ask(self, caller: Provider, asking: Asking, known: dict[str, list[Any]]) -> None:
        self.asked.append(asking)
        answer, content = await _ask(caller, asking)
        self.statuses[str(asking.place)].add(answer.status_code)
        if answer.status_code == 201:
            known.update({name: [json.loads(content).get("id")] for name in NAMED_BY.get(asking.place.route, ())})
        elif answer.status_code >= 400:
            self.refusals.append((f"answer to {asking.place}", content + repr(answer.headers.raw).encode()))

    def taken(self, part: str) -> bool:
        """Whether any request with a text at such a place was taken."""
        return any(part in place and 201 in statuses for place, statuses in self.statuses.items())


async def test_what_is_personal_in_any_field_is_refused_or_sealed(running_stack: StackProcess, town: Providers) -> None:
    admin, walker, known = await _walker(running_stack, town)
    tried = Tried()
    for text in TEXTS:
        texts = (text.format(number) for number in count())
        for service in running_stack.services:
            own = {"organization": known["organization_id"]} if service == "shelter_beds" else {}
            of_service = known | own
            document = await walker.get(service, "/openapi.json")
            for asking in Described(service, document, of_service).requests(texts):
                for caller in (walker, admin) if service == "governance" else (walker,):
                    await tried.ask(caller, asking, of_service)
    assert [place for place, found in tried.statuses.items() if max(found) >= 500] == []
    assert tried.taken("referrals POST /referrals body members.segments.identity.first_name"), "what is sealed is tried"
    places = {asking.text: asking.place for asking in tried.asked}
    found = Canaries(places, STEMS).search([*await kept(running_stack, running_stack.services), *tried.refusals])
    told = {(places[one.canary], one.place) for one in found}
    assert [f"{place}: {where}" for place, where in told if not where.startswith(_may_stand(place))] == []
    assert {("governance", "name"), ("shelter_beds", "area"), ("referrals", "external_id")} <= {
        (place.service, place.field) for place, _ in told
    }, "what is kept as it is said is found"


def _may_stand(place: Place) -> tuple[str, ...]:
    return STAFFS.get((place.service, place.field), ())


async def _ask(caller: Provider, asking: Asking) -> tuple[httpx.Response, bytes]:
    url = f"{caller.services[asking.place.service]}{asking.path}"
    request = caller.http.build_request(asking.place.method.upper(), url, **asking.content)
    answer = await caller.http.send(request, stream=True)
    try:
        streams = "event-stream" in answer.headers.get("content-type", "")
        return answer, b"" if streams else await answer.aread()
    finally:
        await answer.aclose()


async def _walker(stack: StackProcess, town: Providers) -> tuple[Provider, Provider, dict[str, list[Any]]]:
    """An organization of its own, with what its requests may be about; the administrator, who made it."""
    admin = await signed_in("administrator", stack.admin, stack.services, town.stranger.desk)
    id_ = f"walker-{keys.random_id()[:6]}"
    about = {"id": id_, "name": id_, "kind": "provider", "victim_service_provider": False, "hipaa_covered": False}
    await admin.post("governance", "/organizations", about)
    path = f"/organizations/{id_}"
    credential = await admin.post("governance", f"{path}/credentials", {"name": "system", "scopes": SCOPES})
    walker = await signed_in(id_, credential, stack.services, town.stranger.desk)
    beds = {"id": "beds", "name": "Beds", "project_type": 1, "part2_program": False, "hmis_participation": "hmis"}
    await walker.post("governance", f"{path}/projects", beds)
    await walker.post("governance", f"{path}/contacts", {"id": "desk", "name": "The desk"})
    client = await walker.client()
    today = datetime.now(UTC)
    known: dict[str, list[Any]] = {
        "id": [lambda: keys.random_id()[:12]],
        "organization_id": [id_],
        "organization": [town.shelter.id],
        "organizations": [[id_, town.shelter.id]],
        "parties": [[id_, town.shelter.id]],
        "from": [[id_]],
        "to": [[town.shelter.id], {"organization": town.shelter.id}],
        "client_id": [client],
        "purpose": [PURPOSE],
        "purposes": [[PURPOSE]],
        "scope": ["consent"],
        "need": [NEED],
        "members": [[{"client_id": client, "relationship_to_hoh": 1, "segments": {}}]],
        "relationship_to_hoh": [1],
        "call_back": ["desk"],
        "project": ["beds"],
        "system": ["local"],
        "types": [["*"]],
        "url": [walker.desk.url],
        "scopes": [["clients:write"]],
        "decision": ["permit"],
        "categories": [["identity"]],
        "expires_at": [(today + timedelta(days=30)).isoformat(timespec="seconds")],
        "signers": [[{"role": "client", "on": today.date().isoformat()}]],
        "method": ["written"],
        "notice_version": ["1"],
    }
    return admin, walker, known
