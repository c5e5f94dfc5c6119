"""A community to be asked at random: what exists in it, and for each operation that takes much a body that is right."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.support.providers import PURPOSE, Providers, consent, found_community, referral
from tests.support.receiver import receiving
from tests.support.stack import StackProcess

UNIT = {"name": "Rooms", "project": "beds", "household_type": "with_children", "beds": 5}


@dataclass(frozen=True)
class FuzzedTown:
    """`known` are values that exist, by the names of fields; `right` are bodies, by method and path."""

    organizations: Sequence[str]
    known: Mapping[str, Sequence[str]]
    right: Mapping[str, Mapping[str, Any]]


@asynccontextmanager
async def fuzzed_town(stack: StackProcess) -> AsyncIterator[FuzzedTown]:
    """Found one, that the other tests know nothing of, with something of each kind in it."""
    async with receiving() as receiver:
        town = await found_community(stack, receiver)
        outreach, shelter = town.outreach, town.shelter
        client_id = await outreach.client()
        granted = await outreach.grant(shelter, client_id, "identity", "household")
        referral_id = await outreach.refer(shelter, client_id)
        unit = await shelter.post("shelter_beds", "/units", UNIT)
        hold = await outreach.post("shelter_beds", "/holds", {"unit_id": unit["id"], "beds": 1, "minutes": 30})
        await outreach.crossing(referral_id, "permit")
        deliveries = await shelter.get("webhooks", f"/endpoints/{shelter.endpoint}/deliveries")
        # Not theirs: whether it may be suspended is asked, too, and then nothing would cross any more.
        proposed = await outreach.post("governance", "/agreements", _proposal(town))
        known = {
            "organization_id": [outreach.id, shelter.id],
            "organization": [outreach.id, shelter.id],
            "agreement_id": [proposed["id"]],
            "project_id": ["beds"],
            "client_id": [client_id],
            "consent_id": [granted["id"]],
            "referral_id": [referral_id],
            "name": [referral_id, "not-found"],
            "unit_id": [unit["id"]],
            "hold_id": [hold["id"]],
            "bed_id": hold["bed_ids"],
            "endpoint_id": [outreach.endpoint, shelter.endpoint],
            "delivery_id": [each["id"] for each in deliveries["items"]] or ["none"],
        }
        yield FuzzedTown([outreach.id, shelter.id], known, _right(town, stack, client_id, unit["id"], hold))


def _proposal(town: Providers) -> dict[str, Any]:
    outreach, shelter = town.outreach.id, town.shelter.id
    term = {"from": [outreach], "to": [shelter], "purposes": [PURPOSE], "categories": ["identity"]}
    return {"title": "Another", "parties": [outreach, shelter], "terms": [term]}


def _right(
    town: Providers, stack: StackProcess, client_id: str, unit_id: str, hold: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    outreach, shelter = town.outreach, town.shelter
    revocation, agreed = {"requested_by": "client"}, consent(shelter.id, client_id)
    return {
        "POST /agreements": _proposal(town),
        "POST /oauth/token": {**stack.admin, "grant_type": "client_credentials"},
        "POST /clients": {},
        "POST /consents": agreed,
        "POST /consents/{consent_id}/revocation": revocation,
        "POST /consents/{consent_id}/entered-in-error": {},
        "POST /consents/{consent_id}/renewal": {name: agreed[name] for name in ("expires_at", "form")},
        "POST /clients/{client_id}/revocation": revocation,
        "POST /referrals": referral(shelter.id, client_id),
        "POST /referrals/{referral_id}/segments": {"client_id": client_id, "segments": {"notes": {"text": "New."}}},
        "POST /referrals/{name}/transitions": {"to": "accepted"},
        "POST /units": UNIT,
        "PUT /units/{unit_id}/census": {"available": 2, "as_of": datetime.now(UTC).isoformat()},
        "PATCH /units/{unit_id}/beds/{bed_id}": {"status": "offline", "reason": "paint"},
        "POST /holds": {"unit_id": unit_id, "beds": 1, "minutes": 30},
        "POST /holds/{hold_id}/check-in": {"door_code": hold["door_code"]},
        "POST /endpoints": {"url": outreach.desk.url, "types": ["*"]},
        "PATCH /endpoints/{endpoint_id}": {"types": ["referral.requested"]},
    }
