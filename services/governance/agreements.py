"""Proposes, approves and suspends data-sharing agreements, and announces what that changes."""

from sqlalchemy.ext.asyncio import AsyncSession

from schemas import control as control_data
from services.governance import bodies, records, store
from services.governance.model import Step, status
from services.kit.auth import Principal
from services.kit.bodies import Actor
from services.kit.database import now
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body

FIRST_VERSION = 1


async def propose(session: AsyncSession, caller: Principal, body: bodies.NewAgreement) -> bodies.Agreement:
    """Draft an agreement; Problem 403 unless the caller is a party or the administrator, 422 for a wrong party."""
    await _check(session, body)
    if not caller.is_admin and caller.organization not in body.parties:
        raise Problem("not-a-party")
    row = store.Agreement(
        id=random_id(),
        version=FIRST_VERSION,
        title=body.title,
        parties=body.parties,
        content=body.model_dump(mode="json", by_alias=True, include={"activation", "terms"}),
        step=Step.DRAFT,
        created_at=await now(session),
    )
    session.add(row)
    await session.flush()
    return await view(session, row)


async def approve(session: AsyncSession, caller: Principal, agreement_id: str, actor: Actor | None) -> bodies.Agreement:
    """Approve for the caller's organization; the deciding approval puts the agreement on the log.

    Approving twice changes nothing. Problem 404 for others' agreements, 409 for one that is suspended.
    """
    organization = caller.own_organization()
    row = await store.agreement(session, agreement_id, organization, lock=True)
    given = await store.approvals(session, agreement_id)
    if Step(row.step) not in {Step.DRAFT, Step.DECIDED}:
        raise Problem("wrong-status", "A suspended agreement is not approved again: propose a new one.")
    votes = store.votes(row, given).with_approval(organization)
    if organization not in {approval.organization for approval in given}:
        session.add(
            store.Approval(
                agreement=row.id,
                organization=organization,
                client_id=caller.client_id,
                actor=actor.model_dump() if actor else None,
                approved_at=await now(session),
            )
        )
    if Step(row.step) is Step.DRAFT and votes.decided:
        row.step, row.decided_at = Step.DECIDED, await now(session)
        await records.agreement_activated(session, row, said(row))
    await session.flush()
    return await view(session, row)


async def suspend(session: AsyncSession, caller: Principal, agreement_id: str) -> bodies.Agreement:
    """Take an agreement out of force, by any party's word; Problem 409 for a draft. Twice is once."""
    row = await store.agreement(session, agreement_id, visible_to(caller), lock=True)
    if Step(row.step) is Step.DRAFT:
        raise Problem("wrong-status", "A draft is not in force.")
    if Step(row.step) is Step.DECIDED:
        row.step, row.suspension_requested_at = Step.SUSPENDING, await now(session)
        await records.agreement_suspended(session, row)
        await session.flush()
    return await view(session, row)


async def read(session: AsyncSession, caller: Principal, agreement_id: str) -> bodies.Agreement:
    """Show an agreement to its parties and the administrator; Problem 404 for everybody else."""
    return await view(session, await store.agreement(session, agreement_id, visible_to(caller)))


async def view(session: AsyncSession, row: store.Agreement) -> bodies.Agreement:
    """Show an agreement and where it stands."""
    given = await store.approvals(session, row.id)
    spread = await store.on_every_partition(session, records.agreement_key(row.id))
    return bodies.Agreement(
        **row.model_dump(include={"id", "version", "title", "parties", "created_at", "decided_at"}),
        **row.model_dump(include={"suspension_requested_at", "suspended_at"}),
        status=status(Step(row.step), on_every_partition=spread),
        activation=row.content["activation"],
        terms=row.content["terms"],
        approvals=[bodies.Approval(organization=each.organization, approved_at=each.approved_at) for each in given],
    )


def visible_to(caller: Principal) -> str | None:
    """Return whose agreements a caller sees: None, everybody's, for the administrator."""
    return None if caller.is_admin else caller.own_organization()


def said(row: store.Agreement) -> control_data.Agreement:
    """Return what the log says of an agreement in force."""
    terms = [bodies.Term.model_validate(term) for term in row.content["terms"]]
    return control_data.Agreement(
        id=row.id,
        version=row.version,
        parties=tuple(row.parties),
        terms=tuple(
            control_data.Term(
                from_=tuple(term.from_),
                to=tuple(term.to),
                purposes=tuple(term.purposes),
                categories=tuple(term.categories),
                deidentified=term.deidentified,
            )
            for term in terms
        ),
    )


async def _check(session: AsyncSession, body: bodies.NewAgreement) -> None:
    if len(set(body.parties)) != len(body.parties):
        raise invalid_body("parties", "must name each party once")
    await store.check_known(session, "parties", body.parties)
    for number, term in enumerate(body.terms):
        for name, organizations in (("from", term.from_), ("to", term.to)):
            for index, organization in enumerate(organizations):
                if organization not in body.parties:
                    raise invalid_body(f"terms.{number}.{name}.{index}", "must be a party of the agreement")
