"""Proposes, approves, leaves and ends data-sharing agreements, and announces what that changes."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from schemas import control as control_data
from services.governance import bodies, records, store, tables
from services.governance.model import Step, Votes, status
from services.kit import topics
from services.kit.auth import Principal
from services.kit.bodies import Actor
from services.kit.database import now
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body

FIRST_VERSION: Final = 1
_APPROVABLE: Final = frozenset({Step.DRAFT, Step.DECIDED})


async def propose(session: AsyncSession, caller: Principal, body: bodies.NewAgreement) -> bodies.Agreement:
    """Draft an agreement; Problem 403 unless the caller is a party or the administrator, 422 for a wrong party."""
    await _check(session, body)
    if not caller.is_admin and caller.organization not in body.parties:
        raise Problem("not-a-party")
    superseded = await _to_supersede(session, caller, body.supersedes) if body.supersedes else None
    row = tables.Agreement(
        id=random_id(),
        version=superseded.version + 1 if superseded else FIRST_VERSION,
        title=body.title,
        parties=body.parties,
        content=body.model_dump(mode="json", by_alias=True, include={"activation", "terms"}),
        step=Step.DRAFT,
        created_at=await now(session),
        supersedes=body.supersedes,
    )
    session.add(row)
    await session.flush()
    return await view(session, row)


async def approve(session: AsyncSession, caller: Principal, agreement_id: str, actor: Actor | None) -> bodies.Agreement:
    """Approve for the caller's organization; the deciding one puts the agreement on the log, a later one the party.

    Approving twice changes nothing. Problem 404 for others' agreements, 409 for one that ended, or that can't supersede
    any more what it was to supersede.
    """
    organization = caller.own_organization()
    row = await store.agreement(session, agreement_id, organization, lock=True)
    step, before = Step(row.step), await votes_of(session, row)
    if step not in _APPROVABLE:
        raise Problem("wrong-status", "An agreement that has ended is not approved again: propose a new one.")
    await store.check_not_mixed(session, "parties", row.parties)  # a draft may be from before this was refused
    superseded = await _still_to_supersede(session, row) if step is Step.DRAFT else None
    votes = before.with_approval(organization)
    if votes == before:
        return await view(session, row)
    moment = await now(session)
    session.add(
        tables.Approval(
            agreement=row.id,
            organization=organization,
            client_id=caller.client_id,
            actor=actor.model_dump() if actor else None,
            approved_at=moment,
        )
    )
    if step is Step.DRAFT and votes.decided:
        row.step, row.decided_at = Step.DECIDED, moment
        if superseded is not None:
            superseded.step, superseded.superseded_by = Step.SUPERSEDING, row.id
    if Step(row.step) is Step.DECIDED:
        await records.agreement_activated(session, row, said(row, votes))
    await session.flush()
    return await view(session, row)


async def leave(session: AsyncSession, caller: Principal, agreement_id: str, actor: Actor | None) -> bodies.Agreement:
    """Take the caller's organization out of an agreement, for ever; Problem 409 for one that ended. Twice is once.

    An agreement that is left with fewer than two parties is suspended.
    """
    organization = caller.own_organization()
    row = await store.agreement(session, agreement_id, organization, lock=True)
    step, votes = Step(row.step), await votes_of(session, row)
    if organization in votes.left:
        return await view(session, row)
    if step not in _APPROVABLE:
        raise Problem("wrong-status", "An agreement that has ended is in force for nobody.")
    moment = await now(session)
    session.add(
        tables.Departure(
            agreement=row.id,
            organization=organization,
            client_id=caller.client_id,
            actor=actor.model_dump() if actor else None,
            requested_at=moment,
            effective_at=moment if step is Step.DRAFT else None,  # nothing of a draft is on the log
        )
    )
    if step is Step.DECIDED:
        await records.agreement_left(session, row, organization)
        if not votes.without(organization).shared:
            await _suspend(session, row)
    await session.flush()
    return await view(session, row)


async def suspend(session: AsyncSession, caller: Principal, agreement_id: str) -> bodies.Agreement:
    """Take an agreement out of force, by any party's word; Problem 409 for a draft or one superseded. Twice is once."""
    row = await store.agreement(session, agreement_id, visible_to(caller), lock=True)
    if Step(row.step) not in {Step.DECIDED, Step.SUSPENDING, Step.SUSPENDED}:
        raise Problem("wrong-status", "A draft, or what was superseded, is not in force.")
    if Step(row.step) is Step.DECIDED:
        await _suspend(session, row)
        await session.flush()
    return await view(session, row)


async def read(session: AsyncSession, caller: Principal, agreement_id: str) -> bodies.Agreement:
    """Show an agreement to its parties and the administrator; Problem 404 for everybody else."""
    return await view(session, await store.agreement(session, agreement_id, visible_to(caller)))


async def view(session: AsyncSession, row: tables.Agreement) -> bodies.Agreement:
    """Show an agreement and where it stands."""
    given, gone = await store.approvals(session, row.id), await store.departures(session, row.id)
    key, step = records.agreement_key(row.id), Step(row.step)
    spread = await store.on_every_partition(session, key, topics.load()[records.TOPIC].partitions)
    told = status(step, on_every_partition=spread)
    return bodies.Agreement(
        **row.model_dump(include={"id", "version", "title", "parties", "supersedes", "superseded_by"}),
        **row.model_dump(include={"created_at", "decided_at"}),
        **row.model_dump(include={"suspension_requested_at", "suspended_at", "superseded_at"}),
        status=told,
        activation=row.content["activation"],
        terms=row.content["terms"],
        approvals=[bodies.Approval(organization=each.organization, approved_at=each.approved_at) for each in given],
        departures=[
            bodies.Departure(**each.model_dump(include={"organization", "requested_at", "effective_at"}))
            for each in gone
        ],
        in_force=list(store.votes(row, given, gone).in_force) if told in {"activating", "active"} else [],
        spreading=not await store.all_taken(session, key),
    )


def visible_to(caller: Principal) -> str | None:
    """Return whose agreements a caller sees: None, everybody's, for the administrator."""
    return None if caller.is_admin else caller.own_organization()


async def votes_of(session: AsyncSession, row: tables.Agreement) -> Votes:
    """Return who is party to an agreement, who has approved it and who has left."""
    return store.votes(row, await store.approvals(session, row.id), await store.departures(session, row.id))


async def _suspend(session: AsyncSession, row: tables.Agreement) -> None:
    row.step, row.suspension_requested_at = Step.SUSPENDING, await now(session)
    await records.agreement_suspended(session, row)


async def _to_supersede(session: AsyncSession, caller: Principal, agreement_id: str) -> tables.Agreement:
    """Return the agreement that the caller wants to supersede: one of its own, in force."""
    found, party = await session.get(tables.Agreement, agreement_id), visible_to(caller)
    if found is None or (party is not None and party not in found.parties):
        raise invalid_body("supersedes", "must be an agreement that your organization is party to")
    if Step(found.step) is not Step.DECIDED:
        raise Problem("wrong-status", "Only an agreement in force can be superseded.", field="supersedes")
    return found


async def _still_to_supersede(session: AsyncSession, row: tables.Agreement) -> tables.Agreement | None:
    """Return, locked, what a draft is to supersede; Problem 409 if it has ended or has another successor by now."""
    if row.supersedes is None:
        return None
    found = await store.agreement(session, row.supersedes, None, lock=True)
    if Step(found.step) is not Step.DECIDED:
        raise Problem("wrong-status", "What this agreement was to supersede is not in force any more.")
    return found


async def _check(session: AsyncSession, body: bodies.NewAgreement) -> None:
    if len(set(body.parties)) != len(body.parties):
        raise invalid_body("parties", "must name each party once")
    await store.check_known(session, "parties", body.parties)
    await store.check_not_mixed(session, "parties", body.parties)
    named = {"activation.must_include": body.activation.must_include}
    for number, term in enumerate(body.terms):
        named |= {f"terms.{number}.from": term.from_, f"terms.{number}.to": term.to}
    for field, organizations in named.items():
        for index, organization in enumerate(organizations):
            if organization not in body.parties:
                raise invalid_body(f"{field}.{index}", "must be a party of the agreement")
    _check_activation(body.activation)


def _check_activation(activation: bodies.Activation) -> None:
    if activation.rule == "share" and activation.share is None:
        raise invalid_body("activation.share", "is needed with the rule share")
    if activation.rule == "all" and activation.share is not None:
        raise invalid_body("activation.share", "is for the rule share only")
    if activation.rule == "all" and activation.must_include:
        raise invalid_body("activation.must_include", "is for the rule share only: all are included anyway")


def said(row: tables.Agreement, votes: Votes) -> control_data.Agreement:
    """Return the agreement as the log has it: for those who have approved, and for nobody else."""
    terms = [bodies.Term.model_validate(term) for term in row.content["terms"]]
    return control_data.Agreement(
        id=row.id,
        version=row.version,
        parties=votes.in_force,
        terms=tuple(
            control_data.Term(
                from_=tuple(term.from_),
                to=tuple(term.to),
                purposes=tuple(term.purposes),
                categories=tuple(term.categories),
                deidentified=term.deidentified,
                reliance=term.reliance,
            )
            for term in terms
        ),
    )
