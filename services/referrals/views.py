"""Shows referrals: to their originators all but the boxes, to recipients what they may know."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from services.kit.sayable import explained
from services.referrals import sealed, store
from services.referrals.bodies import Addressee, CrossingView, Explained, MemberView, ReferralStatusView, ReferralView
from services.referrals.crossing import crossing
from services.referrals.tables import Decision, Member, Referral, Step, View

Row = TypeVar("Row", Member, Decision, Step)


async def shown(
    session: AsyncSession, rows: Sequence[View], name: str | None = None
) -> list[ReferralView | ReferralStatusView]:
    """Show each row to its organization; a recipient's under the `name` that it asked for, or as lists name it."""
    own = [row.referral_id for row in rows if row.is_originators]
    referrals = await store.referrals(session, own)
    members = _by_referral(await store.members(session, own))
    decisions = _by_referral(await store.decisions(session, own))
    steps = _by_referral(await store.steps(session, own))
    return [
        _to_originator(
            row,
            referrals[row.referral_id],
            members.get(row.referral_id, []),
            decisions.get(row.referral_id, []),
            steps.get(row.referral_id, []),
        )
        if row.is_originators
        else ReferralStatusView.of(name or row.listed_name, row.sight.shown)
        for row in rows
    ]


def _to_originator(
    row: View, referral: Referral, members: Sequence[Member], decisions: Sequence[Decision], steps: Sequence[Step]
) -> ReferralView:
    recipient = Addressee(organization=referral.recipient, project=referral.recipient_project)
    return ReferralView.model_validate(
        {
            "id": row.name,
            "status": row.sight.shown,
            "status_at": row.status_at,
            "version": referral.version,
            "to": recipient,
            "publisher_project": referral.originator_project,
            "purpose": referral.purpose,
            "call_back": referral.call_back,
            "respond_by": referral.respond_by,
            "nudged_at": referral.nudged_at,
            "external_id": referral.external_id,
            "occurred_at": referral.occurred_at,
            "historical": referral.historical,
            "created_at": referral.created_at,
            "members": [_member(member) for member in members],
            "crossing": [_crossing(referral, recipient, member, decisions) for member in members],
            "history": [
                {"status": "requested", "at": referral.created_at, "by": "originator"},
                *({"status": step.status, "at": step.at, "by": step.by} for step in steps),
            ],
        }
    )


def _member(member: Member) -> MemberView:
    categories = {category for envelope in sealed.read(member.sealed) for category in envelope.boxes}
    return MemberView(client_id=member.client_id, head_of_household=member.head, categories=sorted(categories))


def _crossing(referral: Referral, recipient: Addressee, member: Member, decisions: Sequence[Decision]) -> CrossingView:
    found = crossing([each for each in decisions if each.client_id == member.client_id])
    return CrossingView(
        recipient=recipient,
        client_id=member.client_id,
        reference=referral.reference if member.head else None,
        verdict=found.verdict,
        categories=list(found.categories),
        withheld=dict(found.withheld),
        delivered_at=found.delivered_at,
        explained=Explained(
            verdict=found.explained,
            withheld={category: explained(reason) for category, reason in found.withheld.items()},
        ),
        decided_at=found.decided_at,
        delivery=found.delivery,
    )


def _by_referral(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.referral_id, []).append(row)
    return grouped
