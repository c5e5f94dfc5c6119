"""Outreach refers a client to a shelter: what webhooks is told of it, and what the custodian would release."""

from typing import Any

from policy.base64url import encode
from schemas.control import Project
from schemas.events import DataCategory, Envelope
from services.kit.sealing import SealContext, box_key, unwrap
from services.webhooks.custodian import Release, ReleasedKey
from services.webhooks.told import Told, decode, told_by
from services.webhooks.told import encode as write
from tests.support.disclosing import Disclosing
from tests.support.log import LOG_ID

CANARY = "Rosalind-Canary"
SEGMENTS: dict[DataCategory, Any] = {
    "identity": {"first_name": CANARY},
    "notes": {"text": "knock twice"},
    "education": {"last_grade_completed": 5},
}


class World:
    """Outreach (a Part 2 program among its projects) refers clients to a shelter."""

    def __init__(self) -> None:
        self.log = Disclosing()
        part2 = Project(id="clinic", name="Clinic", project_type=6, part2_program=True, hmis_participation="none")
        self.log.organization("outreach", part2)
        self.log.organization("shelter")
        self.log.agree("outreach", "shelter")
        self.client = self.log.client()

    def last(self) -> Told:
        """What the last record told; through the database's form and back."""
        (told,) = told_by(0, self.log.answers[-1].value)
        return decode(write(told))

    def permit(self, **more: Any) -> Told:
        """A referral with everything, and a consent to everything."""
        self.log.grant(self.client, "outreach", "shelter", "identity", "notes", "education")
        self.log.refer(self.client, "outreach", "shelter", SEGMENTS, project="clinic", **more)
        return self.last()

    def release(self, told: Told, *categories: DataCategory, verdict: str | None = None, **more: Any) -> Release:
        """As the custodian would answer, with the real keys of these categories (default: all decided).

        Unless told otherwise, on the consents that were decided on.
        """
        wanted = categories or told.decision.categories
        given = {"verdict": verdict or told.verdict, "known_as": told.decision.known_as} | more
        if given["verdict"] == "permit":
            given.setdefault("consents", told.decision.basis)
        keys = tuple(
            self._key(told, envelope, one) for one in wanted for envelope in told.envelopes if one in envelope.boxes
        )
        return Release(release_id="r", categories=tuple(wanted), keys=keys, lease_seconds=3, **given)

    def _key(self, told: Told, envelope: Envelope, category: DataCategory) -> ReleasedKey:
        private = self.log.clients[self.client].pair.private_key
        seal_key = unwrap(envelope, SealContext.of(LOG_ID, told.event.data), private)
        return ReleasedKey(envelope.seq, category, encode(box_key(seal_key, category)))
