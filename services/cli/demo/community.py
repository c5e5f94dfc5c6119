"""Founds the demo's community: four organizations with a credential each, and the agreement they all approve."""

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from services.cli.demo.client import Api, Caller
from services.cli.demo.people import CALL_BACK, CATEGORIES, PURPOSE
from services.cli.demo.receiver import Receiver
from services.cli.demo.telling import Telling

ACTIVE_WITHIN = 15  # seconds
SCOPES = (
    "agreements:approve",
    "clients:write",
    "consents:write",
    "consents:read",
    "consents:revoke",
    "referrals:write",
    "referrals:read",
    "webhooks:manage",
)
STAFF = "front-desk"  # the contact that every provider registers

# key, name, kind, victim service provider
ORGANIZATIONS: tuple[tuple[str, str, str, bool], ...] = (
    ("outreach", "Riverside Outreach", "provider", False),
    ("shelter", "Lakeside Shelter", "provider", False),
    ("haven", "Juniper House", "provider", True),
    ("coordinator", "Metro Coordinated Entry", "coordinator", False),
)


@dataclass(frozen=True)
class Community:
    """Who takes part; `shelter_endpoint` is the id of the shelter's webhook endpoint."""

    outreach: Caller
    shelter: Caller
    haven: Caller
    coordinator: Caller
    shelter_endpoint: str


async def found(api: Api, admin: dict[str, Any], receiver: Receiver, telling: Telling) -> Community:
    """Register everybody, let them agree, and let the shelter's and outreach's systems listen."""
    telling.step(0, "Four organizations agree what may be shared", "nothing is in force until the last has approved")
    administrator = await api.sign_in("administrator", admin)
    run = secrets.token_hex(3)  # a community of this run's own: the same home can see many days
    callers = {
        key: await _join(api, administrator, f"{key}-{run}", name, kind, survivors)
        for key, name, kind, survivors in ORGANIZATIONS
    }
    for key, name, *_ in ORGANIZATIONS:
        what = {"haven": "a victim service provider", "coordinator": "the coordinator"}.get(key, "a provider")
        telling.saw(f"{name}, {what}, signs in with its own credential as {callers[key].name}.")
    await _agree(callers, telling)
    endpoints = {key: await _listen(callers[key], key, receiver) for key in ("shelter", "outreach")}
    telling.saw("The shelter's and outreach's systems listen on " + receiver.url("…"))
    return Community(**callers, shelter_endpoint=endpoints["shelter"])


async def _join(api: Api, admin: Caller, id_: str, name: str, kind: str, survivors: bool) -> Caller:
    about = {"id": id_, "name": name, "kind": kind, "victim_service_provider": survivors, "hipaa_covered": False}
    await admin.post("governance", "/organizations", about)
    if id_.startswith("shelter"):
        project = {"id": "beds", "name": "Night shelter", "project_type": 1}
        await admin.post(
            "governance",
            f"/organizations/{id_}/projects",
            project | {"part2_program": False, "hmis_participation": "hmis"},
        )
    credential = await admin.post(
        "governance", f"/organizations/{id_}/credentials", {"name": "case management", "scopes": SCOPES}
    )
    caller = await api.sign_in(id_, credential)
    await caller.post("governance", f"/organizations/{id_}/contacts", {"id": STAFF, **CALL_BACK})
    return caller


async def _agree(callers: dict[str, Caller], telling: Telling) -> None:
    parties = [caller.name for caller in callers.values()]
    term = {
        "from": [callers["outreach"].name, callers["haven"].name],
        "to": [callers["shelter"].name],
        "purposes": [PURPOSE],
        "categories": CATEGORIES,
        "deidentified": True,
    }
    proposal = {"title": "Sharing for shelter placement", "parties": parties, "terms": [term]}
    agreement = await callers["coordinator"].post("governance", "/agreements", proposal)
    path = f"/agreements/{agreement['id']}/approvals"
    statuses = [agreement["status"]]
    for caller in callers.values():
        approved = await caller.post("governance", path, status=HTTPStatus.OK, wait=ACTIVE_WITHIN)
        statuses.append(approved["status"])
    telling.saw(f"The coordinator proposes what may be shared, for {PURPOSE}: {', '.join(CATEGORIES)}.")
    expected = [*["draft"] * len(parties), "active"]
    telling.check("The agreement when proposed, and after each approval", statuses, expected)


async def _listen(caller: Caller, key: str, receiver: Receiver) -> str:
    endpoint = await caller.post("webhooks", "/endpoints", {"url": receiver.url(key), "types": ["*"]})
    receiver.systems[key].secret = endpoint["secret"]
    return str(endpoint["id"])
