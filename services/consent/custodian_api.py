"""HTTP of the key custodian, for other services only."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, status

from schemas.categories import CATEGORIES
from schemas.events import DataCategory, Party, PurposeOfUse
from services.consent import clients, releases
from services.consent.asked import ControlPosition, PublicKey, ReleaseAnswer, ReleaseRequest, Settlements
from services.consent.bodies import Id
from services.consent.clients import Sealable
from services.consent.model import milliseconds
from services.consent.organizations import Organizations, require_certain
from services.consent.releases import Custodian
from services.kit.auth import service_only

router = APIRouter()

Webhooks = Annotated[str, service_only("webhooks")]
Referrals = Annotated[str, service_only("referrals")]
Governance = Annotated[str, service_only("governance")]


@router.post("/releases")
async def release(asked: ReleaseRequest, request: Request, caller: Webhooks) -> ReleaseAnswer:
    """Say what of a decision may be sent now, and give out the keys of its boxes."""
    del caller
    return await _custodian(request).release(asked)


@router.post("/releases/settlements", status_code=status.HTTP_204_NO_CONTENT)
async def settle(body: Settlements, request: Request, caller: Webhooks) -> None:
    """Take note of what became of releases."""
    del caller
    async with _custodian(request).database.direct.connection() as connection:
        await releases.settle(connection, body.settlements)


@router.get("/clients/{client_id}/public-key")
async def public_key(
    client_id: str,
    request: Request,
    caller: Referrals,
    organization: Annotated[Id, Query()],
    recipient: Annotated[Id, Query()],
    purpose: PurposeOfUse,
    project: Id | None = None,
    recipient_project: Id | None = None,
) -> PublicKey:
    """Give a client's public key to the organization that registered it, and say what it may seal to it.

    Everything; of a victim service provider's data the need, and what its own release lets cross to this recipient
    now: nothing else may stand on a shared log, not even sealed (34 U.S.C. 12291(b)(2)). So who is one must be certain.
    """
    del caller
    custodian = _custodian(request)
    async with custodian.database.direct.connection() as connection:
        client = await clients.registered(connection, organization, client_id)
    organizations: Organizations = request.app.state.organizations
    protected = await organizations.is_victim_service_provider(organization)
    require_certain(custodian.view)  # after the wait for an organization that is new
    sender = Party(organization=organization, project=project)
    receiver = Party(organization=recipient, project=recipient_project)
    return PublicKey(
        log_id=custodian.log_id,
        key_id=client.key_id,
        suite=client.suite,
        public_key=client.public_key,
        sealable=_released(custodian, client, sender, receiver, purpose) if protected else list(CATEGORIES),
        victim_service_provider=protected,
    )


@router.get("/control-position")
async def control_position(request: Request, caller: Governance) -> ControlPosition:
    """Say up to where the custodian has taken the control records into account."""
    del caller
    positions = enumerate(_custodian(request).view.positions)
    return ControlPosition(positions={str(partition): following for partition, following in positions})


def _released(
    custodian: Custodian, client: Sealable, sender: Party, receiver: Party, purpose: PurposeOfUse
) -> list[DataCategory]:
    consents = clients.read_consents(client.consents)
    allowed = custodian.view.allowed(consents, sender, receiver, purpose, milliseconds(client.now))
    permitted = frozenset.intersection(*(each.categories for each in allowed))
    return sorted(permitted | {"need"})


def _custodian(request: Request) -> Custodian:
    custodian: Custodian = request.app.state.custodian
    return custodian
