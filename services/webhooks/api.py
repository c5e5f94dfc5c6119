"""HTTP: endpoints, their deliveries, and the inbox."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Response, status
from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.auth import Principal, Scope, requires
from services.kit.database import now
from services.kit.idempotency import Once
from services.kit.keys import random_id
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem, invalid_body
from services.webhooks import bodies, deliveries, endpoints, store
from services.webhooks.guard import UnacceptableUrlError, check_url
from services.webhooks.model import InvalidTransitionError
from services.webhooks.notices import AVAILABILITY_TYPE
from services.webhooks.parts import Parts, Using
from services.webhooks.signatures import encrypt_secret, new_secret
from services.webhooks.story import Story
from services.webhooks.tables import Delivery, Endpoint

router = APIRouter()

Manager = Annotated[Principal, requires(Scope.WEBHOOKS_MANAGE)]
Reader = Annotated[Principal, requires(Scope.INBOX_READ)]

SECRET: Final = frozenset({"secret"})


@router.post("/endpoints", status_code=status.HTTP_201_CREATED, tags=["endpoints"])
async def create_endpoint(
    body: bodies.NewEndpoint, caller: Manager, once: Once, using: Using
) -> bodies.CreatedEndpoint:
    """Register an endpoint. Its secret is in this answer only, not in a repetition's."""
    organization = caller.own_organization()
    _check_url(body.url, using)
    _check_types(body.types, caller)

    async def add(session: AsyncSession) -> bodies.CreatedEndpoint:
        id_, secret = random_id(), new_secret()
        row = await endpoints.add(
            session,
            id_=id_,
            organization=organization,
            test=caller.test,
            url=body.url,
            types=body.types,
            description=body.description,
            secret=encrypt_secret(using.keys.endpoint_secrets, id_, secret),
        )
        return bodies.CreatedEndpoint(**_view(row).model_dump(), secret=secret)

    return await once(caller, bodies.CreatedEndpoint, add, secret=SECRET)


@router.get("/endpoints", tags=["endpoints"])
async def list_endpoints(caller: Manager, page: PageRequest, using: Using) -> Page[bodies.Endpoint]:
    """List the caller's endpoints, oldest first."""
    async with using.database.transaction() as session:
        rows = await endpoints.listed(session, caller.own_organization(), page)
    return page.page(rows, lambda row: row.number, _view)


@router.get("/endpoints/{endpoint_id}", tags=["endpoints"])
async def read_endpoint(endpoint_id: str, caller: Manager, using: Using) -> bodies.Endpoint:
    """Show an endpoint."""
    async with using.database.transaction() as session:
        return _view(await endpoints.of(session, caller, endpoint_id))


@router.patch("/endpoints/{endpoint_id}", tags=["endpoints"])
async def change_endpoint(
    endpoint_id: str, body: bodies.EndpointChange, caller: Manager, using: Using
) -> bodies.Endpoint:
    """Change an endpoint; what is still to be sent goes by the new url and types."""
    if body.url is not None:
        _check_url(body.url, using)
    _check_types(body.types or [], caller)
    changes = body.model_dump(exclude_none=True, exclude={"actor"})
    if "enabled" in changes:
        changes |= {"disabled_reason": None, "held_until": None}
    async with using.database.transaction() as session:
        row = await endpoints.of(session, caller, endpoint_id, lock=True)
        for name, value in changes.items():
            setattr(row, name, value)
        await store.notify(session, row.id)
        return _view(row)


@router.delete("/endpoints/{endpoint_id}", status_code=status.HTTP_204_NO_CONTENT, tags=["endpoints"])
async def delete_endpoint(endpoint_id: str, caller: Manager, using: Using) -> None:
    """Delete an endpoint and its secret; what is still to be sent to it is not."""
    async with using.database.transaction() as session:
        await endpoints.delete(session, await endpoints.of(session, caller, endpoint_id, lock=True))


@router.post("/endpoints/{endpoint_id}/test", tags=["endpoints"])
async def test_endpoint(endpoint_id: str, caller: Manager, using: Using) -> bodies.TestResult:
    """Send the endpoint a signed request of type `endpoint.test`, and say what came of it."""
    async with using.database.transaction() as session:
        row = await endpoints.of(session, caller, endpoint_id)
    return await using.pinger.ping(row)


@router.get("/endpoints/{endpoint_id}/deliveries", tags=["deliveries"])
async def list_deliveries(endpoint_id: str, caller: Manager, page: PageRequest, using: Using) -> bodies.Page:
    """List what was sent, or tried, to an endpoint, newest first."""
    before = None if page.after is None else using.cursors.read(endpoint_id, page.after)
    async with using.database.transaction() as session:
        await endpoints.of(session, caller, endpoint_id)
        rows = await deliveries.of_endpoint(session, endpoint_id, before, page.limit + 1)
    return _page(endpoint_id, rows, page.limit, using)


@router.get("/deliveries/{delivery_id}", tags=["deliveries"])
async def read_delivery(delivery_id: str, caller: Manager, using: Using) -> bodies.DeliveryWithAttempts:
    """Show a delivery and its attempts."""
    async with using.database.transaction() as session:
        row, _ = await deliveries.of(session, caller.own_organization(), delivery_id)
        attempts = [deliveries.view_attempt(each) for each in await deliveries.attempts(session, row.number)]
    return bodies.DeliveryWithAttempts(**deliveries.view(row).model_dump(), attempts=attempts)


@router.post("/deliveries/{delivery_id}/replay", status_code=status.HTTP_202_ACCEPTED, tags=["deliveries"])
async def replay_delivery(delivery_id: str, caller: Manager, using: Using) -> bodies.Delivery:
    """Send a delivery again, now, with the same webhook-id, and what may be told now: consent is asked again."""
    async with using.database.transaction() as session:
        row, endpoint = await deliveries.of(session, caller.own_organization(), delivery_id, lock=True)
        if not endpoint.enabled:
            raise Problem("wrong-status", "The endpoint is disabled.")
        try:
            await store.replay(session, row, await now(session))
        except InvalidTransitionError:
            raise Problem("wrong-status", "The delivery is being sent.") from None
        await session.refresh(row)
        return deliveries.view(row)


@router.get("/inbox", response_model=bodies.InboxPage, tags=["inbox"])
async def read_inbox(caller: Reader, page: PageRequest, using: Using) -> Response:
    """Read what was told to the caller's organization, oldest first, each item as it may be told now.

    It is what webhooks bring of referrals, and of the ends of your own consents, for those who have none or have missed
    some; what is told of beds stands in GET /availability and GET /holds of shelter_beds. A page may be shorter than
    `limit`; go on until `next` is null, and later from the last one that was not.
    """
    return await using.inbox.answer(caller.own_organization(), page.after, page.limit)


@router.get("/inbox/referrals/{referral_id}", response_model=Story, tags=["inbox"])
async def read_story(referral_id: str, caller: Reader, using: Using) -> Response:
    """Read a referral's household as one: exactly the members that the caller's organization may know now.

    By the referral's id alone: what is known under a `reference` is not found by it, nor is it by the other's.
    """
    return await using.stories.answer(caller.own_organization(), referral_id)


def _check_url(url: str, using: Parts) -> None:
    try:
        check_url(url, allow_loopback=using.allow_loopback)
    except UnacceptableUrlError as error:
        raise invalid_body("url", str(error)) from None


def _check_types(types: list[str], caller: Principal) -> None:
    if AVAILABILITY_TYPE in types and Scope.BEDS_READ not in caller.scopes:
        raise Problem("insufficient-scope", f"{AVAILABILITY_TYPE} needs the scope {Scope.BEDS_READ}.", field="types")


def _view(row: Endpoint) -> bodies.Endpoint:
    return bodies.Endpoint(
        id=row.id,
        url=row.url,
        types=row.types,
        description=row.description,
        enabled=row.enabled and row.disabled_reason is None,
        disabled_reason=row.disabled_reason,
        failing=row.failing,
        created_at=row.created_at,
    )


def _page(endpoint_id: str, rows: Sequence[Delivery], limit: int, using: Parts) -> bodies.Page:
    shown = rows[:limit]
    following = using.cursors.write(endpoint_id, shown[-1].number) if len(rows) > limit else None
    return bodies.Page(items=[deliveries.view(row) for row in shown], next=following)
