"""What governance says of projects: asked when a unit is registered, and again and again which are kept apart."""

from dataclasses import dataclass

from schemas.codes import ProjectType
from services.kit.bodies import Body
from services.kit.clients import DependencyDown, ServiceClient
from services.kit.problems import Problem


class RegisteredProject(Body):
    """A project of an organization, as much as a unit must know."""

    organization_name: str
    project_type: ProjectType
    confidential: bool
    victim_service_provider: bool
    test: bool


class ProjectName(Body):
    """Which project of which organization."""

    organization: str
    project: str


class ConfidentialProjects(Body):
    """Every project whose units nobody is to find, and every organization whose units tests alone are to find."""

    projects: list[ProjectName]
    test_organizations: list[str]


@dataclass(frozen=True)
class Apart:
    """Whose units are not for everybody: `confidential` is (organization, project) of each, `tests` organizations."""

    confidential: frozenset[tuple[str, str]]
    tests: frozenset[str]


async def project(governance: ServiceClient, organization: str, project_id: str) -> RegisteredProject:
    """Ask for a project; Problem 422 for one that the organization does not have, 503 when governance is down."""
    answer = await governance.get(f"/organizations/{organization}/projects/{project_id}")
    if answer.status_code == 404:
        raise Problem("unknown-project", field="project")
    answer.require_success()
    return RegisteredProject.model_validate(answer.json())


async def project_now(governance: ServiceClient, organization: str, project_id: str) -> RegisteredProject | None:
    """Ask for a project again; None when governance is down: what narrows a unit must not wait for it."""
    try:
        return await project(governance, organization, project_id)
    except DependencyDown:
        return None


async def apart(governance: ServiceClient) -> Apart:
    """Ask which projects are confidential or a victim service provider's, and which organizations are tests.

    DependencyDown when governance does not answer.
    """
    answer = await governance.get("/confidential-projects")
    answer.require_success()
    found = ConfidentialProjects.model_validate(answer.json())
    confidential = frozenset((each.organization, each.project) for each in found.projects)
    return Apart(confidential, frozenset(found.test_organizations))
