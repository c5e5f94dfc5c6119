"""A community in a running stack: its administrator, its organizations with API clients, and what its log says."""

import asyncio

import httpx

from deploy.local.secrets import read_secrets, secrets_path
from policy.control import Control
from policy.state import PartitionState
from policy.step import Fold
from services.kit import keys
from services.kit.auth import Scope
from services.kit.broker import read_all
from tests.support.stack import StackProcess

PARTITIONS = 12
SCOPES = [scope.value for scope in Scope if scope is not Scope.ADMIN]


class Caller:
    """An API client of governance."""

    def __init__(self, community: StackProcess, client_id: str, client_secret: str) -> None:
        self.url = community.services["governance"]
        self.http = httpx.Client(base_url=self.url, trust_env=False)
        self.granted = self.http.post("/oauth/token", data=grant(client_id, client_secret)).json()
        self.http.headers["Authorization"] = f"Bearer {self.granted['access_token']}"

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.http.get(path, params=parameters)


def grant(client_id: str, client_secret: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}


def organization(admin: Caller, **changes: object) -> str:
    body = {
        "id": f"org-{keys.random_id()[:8]}",
        "name": "An organization",
        "kind": "provider",
        "victim_service_provider": False,
        "hipaa_covered": False,
    }
    made = admin.post("/organizations", body | changes)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def member(community: StackProcess, admin: Caller, scopes: list[str] = SCOPES, **changes: object) -> tuple[str, Caller]:
    """A new organization and its API client."""
    made = organization(admin, **changes)
    credential = admin.post(f"/organizations/{made}/credentials", {"name": "system", "scopes": scopes}).json()
    return made, Caller(community, credential["client_id"], credential["client_secret"])


def is_problem(answer: httpx.Response, status: int, name: str, field: str | None = None) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert [error["field"] for error in answer.json()["errors"]] == [field]


def controls(community: StackProcess) -> list[Control]:
    """The control state at the end of each partition, folded from the log by the policy itself."""
    fingerprint = read_secrets(secrets_path(community.home))["THRESHOLD_ROOT_FINGERPRINT"]
    folds = [Fold(PartitionState(partition=number, root_fingerprint=fingerprint)) for number in range(PARTITIONS)]

    async def read() -> None:
        async for run in read_all(community.kafka, "client-events", dict.fromkeys(range(PARTITIONS), 0)):
            for record in run:
                folds[record.partition].step(record.timestamp_ms, record.key, record.headers, record.value)

    asyncio.run(read())
    return [fold.state.control for fold in folds]


def on_the_log(community: StackProcess, organization_id: str) -> bool:
    return all(organization_id in control.organizations for control in controls(community))
