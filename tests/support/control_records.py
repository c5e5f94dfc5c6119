"""What governance says on the log of a small community: its organizations and its agreement."""

import time
from dataclasses import dataclass, field
from typing import Any

from schemas.control import (
    Agreement,
    AgreementData,
    AgreementLeftData,
    AgreementSuspendedData,
    Organization,
    OrganizationData,
    Project,
    Term,
)
from schemas.events import PurposeOfUse
from schemas.records import AgreementActivated, AgreementLeft, AgreementSuspended, OrganizationChanged
from tests.support.log import context

OUTREACH, SHELTER, ANNEX, SAFE_HOUSE, BYSTANDER = "outreach", "shelter", "annex", "safe-house", "bystander"
PURPOSE: PurposeOfUse = "shelter-placement"
OTHER_PURPOSE: PurposeOfUse = "housing-placement"
TERM = Term(
    from_=(OUTREACH, ANNEX, SAFE_HOUSE),
    to=(SHELTER, ANNEX),
    purposes=(PURPOSE, OTHER_PURPOSE),
    categories=("identity", "household", "health"),
    deidentified=True,
)


@dataclass
class Governance:
    """Its words, in their order; still to be signed."""

    order: int = field(default_factory=lambda: int(time.time() * 1_000_000))

    def agreement(self, agreement_id: str, term: Term = TERM, supersedes: str | None = None) -> AgreementActivated:
        agreement = Agreement(id=agreement_id, version=1, parties=(OUTREACH, SHELTER, ANNEX, SAFE_HOUSE), terms=(term,))
        data = AgreementData(**self.signed(), agreement=agreement, supersedes=supersedes)
        return AgreementActivated(**context(agreement_id), data=data)

    def departure(self, agreement_id: str, organization: str) -> AgreementLeft:
        data = AgreementLeftData(**self.signed(), agreement_id=agreement_id, organization=organization)
        return AgreementLeft(**context(f"{organization} leaves {agreement_id}"), data=data)

    def suspension(self, agreement_id: str) -> AgreementSuspended:
        data = AgreementSuspendedData(**self.signed(), agreement_id=agreement_id)
        return AgreementSuspended(**context(f"end of {agreement_id}"), data=data)

    def organization(self, name: str, *projects: Project) -> OrganizationChanged:
        organization = Organization(
            id=name,
            name=name,
            kind="provider",
            victim_service_provider=name == SAFE_HOUSE,
            hipaa_covered=False,
            projects=projects,
        )
        return OrganizationChanged(**context(name), data=OrganizationData(**self.signed(), organization=organization))

    def signed(self) -> dict[str, Any]:
        self.order += 1
        return {"order": self.order, "key_id": "-", "signature": "-"}
