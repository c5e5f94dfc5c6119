"""What governance says of a project: asked when a unit is registered for it."""

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
