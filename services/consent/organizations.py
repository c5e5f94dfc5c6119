"""What consent asks about organizations: of the control records it follows, and of governance's identifier systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policy.regimes import may_attest, methods
from schemas.events import ConsentMethod
from services.consent.bodies import LOCAL, Identifier
from services.consent.clients import Known
from services.consent.key_encryption import KeyEncryption
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.control import ControlView
from services.kit.problems import Problem, invalid_body
from services.kit.waiting import until

CONFIRMED_WITHIN: Final = 2.0  # seconds: no key is given out, and nobody called unknown, on an older view
APPEARS_WITHIN: Final = 1.0  # seconds that what governance has just answered may take to reach us over the log


def require_fresh(view: ControlView) -> None:
    """DependencyDown unless the end of the control records was confirmed within CONFIRMED_WITHIN seconds."""
    if not view.confirmed_within(CONFIRMED_WITHIN):
        raise DependencyDown("event log")


def require_certain(view: ControlView) -> None:
    """DependencyDown also while a control record leaves a doubt: it may say who is a victim service provider now."""
    require_fresh(view)
    if any(control.in_doubt for control in view.controls()):
        raise DependencyDown("event log")


@dataclass(frozen=True)
class Organizations:
    """Who the organizations are, and which of them share a client index."""

    view: ControlView
    governance: ServiceClient
    encryption: KeyEncryption

    async def require(self, named: Mapping[str, str]) -> None:
        """Problem 422 for an organization that does not exist; `named` maps the fields of a body to organizations."""
        for field, organization in named.items():
            if not await self._appears(organization):
                require_fresh(self.view)
                raise Problem("unknown-organization", field=field)

    async def is_victim_service_provider(self, organization: str) -> bool:
        """Whether it is one, by any of the control states in force; DependencyDown if the log does not know it yet."""
        if not await self._appears(organization):
            raise DependencyDown("event log")
        found = [control.organizations[organization] for control in self.view.controls()]
        return any(one.victim_service_provider for one in found)

    def may_share(self, organization: str, other: str) -> bool:
        """Whether it may share with another who a client is, by all of the control states in force; asked at once.

        A victim service provider never does, and a test organization does so with tests alone.
        """
        found = [
            (control.organizations.get(organization), control.organizations.get(other))
            for control in self.view.controls()
        ]
        return all(one and two and not one.victim_service_provider and one.test == two.test for one, two in found)

    async def may_attest(self, organization: str) -> bool:
        """Whether others may rely on what it attests, by all of the control states in force; DependencyDown."""
        if not await self._appears(organization):
            raise DependencyDown("event log")
        return all(may_attest(control.organizations[organization]) for control in self.view.controls())

    async def methods(self, organization: str) -> frozenset[ConsentMethod]:
        """In which forms a consent counts for all its data, by all of the control states in force; DependencyDown."""
        if not await self._appears(organization):
            raise DependencyDown("event log")
        found = [methods(control.organizations[organization]) for control in self.view.controls()]
        return frozenset.intersection(*found)

    async def known_as(self, organization: str, identifiers: Sequence[Identifier]) -> list[Known]:
        """Return a person's identifiers as they are kept; Problem 422 for a system that the organization lacks.

        Who shares a system is asked each time: an organization that has left it must learn nothing from it any more.
        """
        shared = {each.system: await self._shares(organization, each.system) for each in identifiers}
        for position, each in enumerate(identifiers):
            if not shared[each.system]:
                detail = f"must be {LOCAL} or an identifier system that your organization shares"
                raise invalid_body(f"identifiers.{position}.system", detail)
        return [await self._known(organization, each) for each in identifiers]

    async def _appears(self, organization: str) -> bool:
        async def known() -> bool | None:
            return True if self.view.organization(organization) else None

        return await until(known, APPEARS_WITHIN) is True

    async def _shares(self, organization: str, system: str) -> bool:
        if system == LOCAL:
            return True
        if await self.is_victim_service_provider(organization):  # whatever the system says
            return False
        answer = await self.governance.get(f"/identifier-systems/{system}")
        return answer.is_success and organization in answer.json()["organizations"]

    async def _known(self, organization: str, identifier: Identifier) -> Known:
        owner = organization if identifier.system == LOCAL else ""
        index = await self.encryption.index(identifier.system, owner, identifier.value)
        return Known(identifier.system, owner, index)
