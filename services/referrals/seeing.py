"""Lets each party see of a referral what the boundary's decisions tell it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.disclosures import Decision, DisclosedEvent
from schemas.events import ReferralData
from services.referrals.noted import Noted
from services.referrals.sight import CLOSED
from services.referrals.tables import Step, View


class Views:
    """What anybody may see of the referrals that a run of decisions or deliveries is about; their rows are locked."""

    def __init__(self, session: AsyncSession, rows: Sequence[View]) -> None:
        self._session = session
        self._rows: dict[tuple[str, str], View] = {}
        self._heads: dict[tuple[str, str], View] = {}
        self.steps: list[Step] = []
        """What originators were told that recipients did, to be kept."""
        for row in rows:
            self._keep(row)

    def told(self, event: DisclosedEvent, decision: Decision) -> None:
        """After a decision let a party know of an event."""
        data = event.data
        word = decision.status or data.referral.status
        if decision.recipient.organization == data.referral.originator.organization:
            self._told_originator(event, word)
        else:
            self._told_recipient(data, decision, word)

    def denied(self, decision: Decision, *, about: tuple[str, str] | None) -> None:
        """After a decision let nothing cross; `about` are the referral's id and the client's, where they are known."""
        organization = decision.recipient.organization
        if decision.reference is not None:
            row = self._rows.get((organization, decision.reference))
        else:
            row = self._of_member(organization, *about) if about else None
        if row is not None:
            row.see(row.sight.denied(decision.reasons, decision.withheld, by_reference=not row.permitted))

    async def reached(self, decision: Noted) -> None:
        """After a permit left for its recipient: it has the referral's id now."""
        place = (decision.organization, decision.referral_id)
        row = self._heads.get(place) if decision.head else self._rows.get(place)
        if row is None:  # not decided here yet, or the head's row speaks for all
            return
        row.reached = True
        if decision.head and (member := self._rows.pop(place, None)) is not None:
            await self._forget(member)

    def _told_originator(self, event: DisclosedEvent, word: str) -> None:
        referral = event.data.referral
        own = self._rows.get((referral.originator.organization, referral.id))
        if own is not None:
            at = _moment(event.time)
            own.see(own.sight.told_originator(word, referral.version, at))
            if at is not None:
                made = Step(referral_id=referral.id, version=referral.version, status=word, at=at, by="recipient")
                self.steps.append(made)
        # The rule was asked for what the recipient, who published this, may know: nothing any more.
        publishers = self._heads.get((event.data.publisher.organization, referral.id))
        if word == CLOSED and publishers is not None:
            publishers.see(publishers.sight.told(CLOSED, referral.version))

    def _told_recipient(self, data: ReferralData, decision: Decision, word: str) -> None:
        row = self._row(data, decision)
        # Of several members that it was told of, one speaks for all.
        if row is not None and row.client_id == data.client_id:
            row.see(row.sight.told(word, data.referral.version))

    def _row(self, data: ReferralData, decision: Decision) -> View | None:
        """Find the row, or make it. A reference tells the head of household's events from all others."""
        organization, permitted = decision.recipient.organization, decision.known_as == "referral"
        if decision.reference is None:
            head = self._heads.get((organization, data.referral.id))
            if not permitted or (head is not None and head.reached):
                return None
        name = decision.reference or data.referral.id
        row = self._rows.get((organization, name)) or self._new(data, organization, name)
        row.permitted = row.permitted or permitted
        return row

    def _new(self, data: ReferralData, organization: str, name: str) -> View:
        row = View(
            organization=organization,
            name=name,
            referral_id=data.referral.id,
            client_id=data.client_id,
            permitted=False,
            reached=False,
            word=data.referral.status,
            version=data.referral.version,
            state="open",
        )
        self._session.add(row)
        self._keep(row)
        return row

    async def _forget(self, row: View) -> None:
        """Take a row back; one of this very run of decisions is not in the database yet."""
        if row in self._session.new:
            self._session.expunge(row)
        else:
            await self._session.delete(row)

    def _keep(self, row: View) -> None:
        self._rows[row.organization, row.name] = row
        if row.is_heads:
            self._heads[row.organization, row.referral_id] = row

    def _of_member(self, organization: str, referral_id: str, client_id: str) -> View | None:
        row = self._rows.get((organization, referral_id))
        return row if row is not None and row.client_id == client_id else None


def _moment(time: str) -> datetime | None:
    """Read an event's time; nothing is decided by it, so nobody has checked that it is one."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
