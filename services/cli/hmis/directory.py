"""Creates an export's organizations with their projects, contact and API client, and the client index they share."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from services.cli.hmis.client import Caller, Credential, Refused
from services.cli.hmis.credentials import Credentials
from services.cli.hmis.plan import IdentifierSystem, PlannedOrganization, PlannedProject
from services.cli.hmis.results import Kind, Results

CONTACT_ID: Final = "referrals-desk"
CREDENTIAL_NAME: Final = "HMIS CSV import"
SCOPES: Final = (
    "clients:write",
    "referrals:write",
    "referrals:read",
    "referrals:backfill",
    "beds:write",
    "beds:read",
)
LONGEST_NAME: Final = 180


class Directory:
    """Governance as an import needs it; what was there already is left as it is."""

    def __init__(
        self,
        admin: Caller,
        make_caller: Callable[[Credential], Caller],
        projects: Iterable[PlannedProject],
        credentials: Credentials,
        results: Results,
    ) -> None:
        self._admin = admin
        self._make_caller = make_caller
        self._projects = tuple(projects)
        self._credentials = credentials
        self._results = results
        self._callers: dict[str, Caller] = {}

    def caller(self, organization_id: str) -> Caller | None:
        """Return an organization's API client, None where it could not be made."""
        return self._callers.get(organization_id)

    async def organization(self, planned: PlannedOrganization) -> None:
        """Create an organization and all that is its own."""
        try:
            found = await self._registered(planned)
        except Refused as refused:
            self._results.refuse("organizations", planned.id, str(refused))
            return
        projects = {project["id"]: project for project in found["projects"]}
        for project in self._projects:
            if project.organization_id == planned.id:
                await self._project(project, projects.get(project.id))
        await self._contact(planned, found["contacts"] or [])
        await self._credential(planned.id)

    async def identifier_system(self, planned: IdentifierSystem) -> None:
        """Create the client index that those of the organizations share that are there."""
        members = [each for each in planned.organization_ids if each in self._callers]
        if members:
            body = {"id": planned.id, "organizations": members}
            await self._make("identifier systems", planned.id, "/identifier-systems", body)

    async def _registered(self, planned: PlannedOrganization) -> dict[str, Any]:
        """Return the organization as governance shows it."""
        said = {"name": planned.name, "victim_service_provider": planned.victim_service_provider}
        try:
            found = await self._admin.get("governance", f"/organizations/{planned.id}")
        except Refused as refused:
            if refused.problem != "not-found":
                raise
        else:
            self._present("organizations", planned.id, said, found)
            return found
        # What an export does not say is taken as its usual value; the administrator can change it.
        body = {"id": planned.id, "kind": "provider", "hipaa_covered": False, **said}
        made = await self._admin.post("governance", "/organizations", body)
        self._results.count("organizations", present=False)
        return made.body

    async def _project(self, planned: PlannedProject, found: dict[str, Any] | None) -> None:
        said = {
            "name": planned.name,
            "project_type": planned.project_type,
            "hmis_participation": planned.hmis_participation,
        }
        if found is not None:
            self._present("projects", planned.id, said, found)
            return
        # Whether it is a Part 2 program an export does not say.
        body = {"id": planned.id, "part2_program": False, **said}
        await self._make("projects", planned.id, f"/organizations/{planned.organization_id}/projects", body)

    async def _contact(self, planned: PlannedOrganization, found: list[dict[str, Any]]) -> None:
        """Give the organization somebody to call back: an export names nobody, so there is no telephone number."""
        if any(contact["id"] == CONTACT_ID for contact in found):
            self._results.count("contacts", present=True)
            return
        body = {"id": CONTACT_ID, "name": f"{planned.name[:LONGEST_NAME]}, referrals"}
        await self._make("contacts", planned.id, f"/organizations/{planned.id}/contacts", body)

    async def _credential(self, organization_id: str) -> None:
        """Sign in as the organization, with the API client of an earlier import if it is still good."""
        caller = await self._kept(organization_id)
        if caller is not None:
            self._results.count("credentials", present=True)
        else:
            body = {"name": CREDENTIAL_NAME, "scopes": list(SCOPES)}
            try:
                made = await self._admin.post("governance", f"/organizations/{organization_id}/credentials", body)
            except Refused as refused:
                self._results.refuse("credentials", organization_id, str(refused))
                return
            credential = Credential(made.body["client_id"], made.body["client_secret"])
            self._credentials.keep(organization_id, credential)
            self._results.count("credentials", present=False)
            caller = self._make_caller(credential)
        self._callers[organization_id] = caller

    async def _kept(self, organization_id: str) -> Caller | None:
        credential = self._credentials.of(organization_id)
        if credential is None:
            return None
        caller = self._make_caller(credential)
        try:
            await caller.sign_in()
        except Refused:
            return None
        return caller

    async def _make(self, kind: Kind, about: str, path: str, body: dict[str, Any]) -> None:
        try:
            await self._admin.post("governance", path, body)
        except Refused as refused:
            if refused.problem == "already-exists":
                self._results.count(kind, present=True)
            else:
                self._results.refuse(kind, about, str(refused))
        else:
            self._results.count(kind, present=False)

    def _present(self, kind: Kind, about: str, said: dict[str, Any], found: dict[str, Any]) -> None:
        self._results.count(kind, present=True)
        differing = [name for name, value in said.items() if found[name] != value]
        if differing:
            self._results.remark(kind, about, f"is registered with another {', '.join(differing)}; left as it is")
