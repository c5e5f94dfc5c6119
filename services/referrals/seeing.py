"""Lets each party see of a referral what the boundary's decisions tell it."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.disclosures import Decision
from schemas.events import ReferralData
from services.referrals.sight import CLOSED, Sight
from services.referrals.tables import View


class Views:
    """What anybody may see of the referrals that a run of decisions is about; their rows are locked."""

    def __init__(self, session: AsyncSession, rows: Sequence[View]) -> None:
        self._session = session
        self._rows: dict[tuple[str, str], View] = {}
        self._referred: dict[tuple[str, str], View] = {}
        for row in rows:
            self._keep(row)

    async def told(self, data: ReferralData, decision: Decision) -> None:
        """After a decision let a party know of an event."""
        word = decision.status or data.referral.status
        if decision.recipient.organization == data.referral.originator.organization:
            self._told_originator(data, word)
        else:
            await self._told_recipient(data, decision, word)

    def denied(self, decision: Decision, *, about: tuple[str, str] | None) -> None:
        """After a decision let nothing cross; `about` are the referral's id and the client's, where they are known."""
        organization = decision.recipient.organization
        if decision.reference is not None:
            row = self._referred.get((organization, decision.reference))
        else:
            row = self._of_member(organization, *about) if about else None
        if row is not None:
            by_reference = row.name == row.reference
            row.see(row.sight.denied(decision.reasons, decision.withheld, by_reference=by_reference))

    def _told_originator(self, data: ReferralData, word: str) -> None:
        referral = data.referral
        own = self._rows.get((referral.originator.organization, referral.id))
        if own is not None:
            own.see(own.sight.told_originator(word, referral.version))
        if word == CLOSED:  # the rule was asked for what the recipient may know: nothing any more
            for row in self._of_head(data):
                row.see(row.sight.told(CLOSED, referral.version))

    async def _told_recipient(self, data: ReferralData, decision: Decision, word: str) -> None:
        row = await self._row(data, decision)
        # Of several members that it was told of, one speaks for the referral; the head, if it was told of the head.
        if row is not None and row.client_id == data.client_id:
            row.see(row.sight.told(word, data.referral.version))

    async def _row(self, data: ReferralData, decision: Decision) -> View | None:
        organization, reference = decision.recipient.organization, decision.reference
        name = data.referral.id if decision.known_as == "referral" else reference
        if name is None:
            return None
        row = self._rows.get((organization, name))
        known = self._referred.get((organization, reference)) if reference else None
        if row is not None:
            if reference is not None:
                row.reference, row.client_id = reference, data.client_id
                self._keep(row)
        else:
            row = self._new(data, decision, name, known)
        if known is not None and known is not row:  # what was known by reference is now known by its id
            del self._rows[known.organization, known.name]
            await self._forget(known)
        return row

    async def _forget(self, row: View) -> None:
        """Take a row back; one of this very run of decisions is not in the database yet."""
        if row in self._session.new:
            self._session.expunge(row)
        else:
            await self._session.delete(row)

    def _new(self, data: ReferralData, decision: Decision, name: str, known: View | None) -> View:
        sight = known.sight if known else Sight(data.referral.status, data.referral.version)
        row = View(
            organization=decision.recipient.organization,
            name=name,
            referral_id=data.referral.id,
            reference=decision.reference,
            client_id=data.client_id,
            word=sight.word,
            version=sight.version,
            state=sight.state,
        )
        self._session.add(row)
        self._keep(row)
        return row

    def _keep(self, row: View) -> None:
        self._rows[row.organization, row.name] = row
        if row.reference is not None:
            self._referred[row.organization, row.reference] = row

    def _of_member(self, organization: str, referral_id: str, client_id: str) -> View | None:
        row = self._rows.get((organization, referral_id))
        return row if row is not None and row.client_id == client_id else None

    def _of_head(self, data: ReferralData) -> list[View]:
        """What the recipient that published this sees of the referral, under whatever name."""
        organization = data.publisher.organization
        references = [one.reference for one in data.recipients if one.organization == organization and one.reference]
        rows = (self._referred.get((organization, reference)) for reference in references)
        return [row for row in rows if row is not None]
