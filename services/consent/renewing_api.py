"""HTTP: a consent said again, with a new signature and a new end, and what it was before."""

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.consent import bodies, clients, ending, model, store, versions
from services.consent.api import ConsentReader, ConsentWriter, check, database_of, organizations_of, watched
from services.kit.idempotency import Once
from services.kit.pages import Page, PageRequest
from services.kit.problems import Problem
from services.kit.waiting import Wait

router = APIRouter()


@router.get("/consents/{consent_id}/versions")
async def list_versions(
    consent_id: str, request: Request, caller: ConsentReader, page: PageRequest
) -> Page[bodies.Version]:
    """List the versions of a consent that the caller's organization recorded, the oldest first; the last one counts."""
    async with database_of(request).transaction() as session:
        return await versions.page(session, caller.own_organization(), consent_id, page)


@router.post("/consents/{consent_id}/renewal")
async def renew_consent(
    consent_id: str, body: bodies.Renewal, request: Request, caller: ConsentWriter, once: Once, wait: Wait
) -> bodies.Consent:
    """Record that the client permits the same again: a new version, which takes the old one's place.

    The same recipients, categories and purposes; a new form and a new end, under the rules for every permission. What
    the client has revoked, refused or excluded since, even in part, is not renewed: record what is permitted now. Nor
    is it renewed in a form that permits less than its last one did: verbally where a signature is needed, say.
    """
    recorder = caller.own_organization()
    async with database_of(request).transaction() as session:
        known = await store.own_consent(session, recorder, consent_id)
    said = ending.renewed(known, body)
    try:
        await check(said, recorder, organizations_of(request))
    except Problem as refused:
        raise ending.of_the_renewal(refused, known) from None
    methods = await organizations_of(request).methods(recorder)

    async def record(session: AsyncSession) -> bodies.Made:
        client = await clients.lock(session, recorder, known.client_id)
        now = await store.own_consent(session, recorder, consent_id)
        ending.check_renewable(client, now, body, methods)
        change = model.consent_change(client, said, consent_id=consent_id, recorder=recorder, version=now.version + 1)
        await store.renew_consent(session, client, change)
        return bodies.Made(id=consent_id)

    made = await once(caller, bodies.Made, record)

    async def look(session: AsyncSession) -> bodies.Consent:
        return await store.own_consent(session, recorder, made.id)

    return await watched(request, look, lambda consent: consent.state == "accepted", wait)
