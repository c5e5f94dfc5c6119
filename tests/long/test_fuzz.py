"""Each service answers as its OpenAPI document says, whatever it is asked: no 5xx, and nothing undocumented.

A short run of one seed; `make fuzz` asks much more, of a seed of its own each time.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import requests
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.secrets import read_secrets, secrets_path
from deploy.local.services import SERVICES
from services.cli.documents.published import FOLDER
from services.kit import keys
from services.kit.assertions import sign_assertion
from services.kit.auth import Principal, Scope, issue_access_token
from tests.support.fuzzed_town import FuzzedTown, fuzzed_town
from tests.support.fuzzing import Authorize, Fuzzer
from tests.support.stack import StackProcess

pytestmark = pytest.mark.asyncio(loop_scope="package")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
ACCESS = yaml.safe_load((Path(__file__).parents[1] / "contracts" / "access.yaml").read_text(encoding="utf-8"))


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def town_to_fuzz(running_stack: StackProcess) -> AsyncIterator[FuzzedTown]:
    async with fuzzed_town(running_stack) as town:
        yield town


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
async def test_it_answers_as_documented(running_stack: StackProcess, town_to_fuzz: FuzzedTown, service: str) -> None:
    url = running_stack.services[service]
    async with httpx.AsyncClient(trust_env=False) as http:
        document = (await http.get(f"{url}/openapi.json")).json()
    assert document == json.loads((FOLDER / "openapi" / f"{service}.json").read_text(encoding="utf-8"))
    fuzzer = Fuzzer(url, document, _callers(running_stack, service, town_to_fuzz.organizations), town_to_fuzz)
    # Not in this thread: the receiver answers in it.
    faults = await asyncio.to_thread(fuzzer.faults, EXAMPLES, SEED)
    assert faults == [], f"with FUZZ_EXAMPLES={EXAMPLES} FUZZ_SEED={SEED}"


def _callers(stack: StackProcess, service: str, organizations: Sequence[str]) -> list[Authorize]:
    """Clients that may do everything, of each organization and of none."""
    secrets = read_secrets(secrets_path(stack.home))
    own = {name.name: keys.decode_private(secrets[f"THRESHOLD_{name.name.upper()}_ASSERTION_KEY"]) for name in SERVICES}
    principals = [Principal("fuzzer", organization, frozenset(Scope)) for organization in (*organizations, None)]
    return [_caller(service, principal, own) for principal in principals]


def _caller(service: str, principal: Principal, own: dict[str, Ed25519PrivateKey]) -> Authorize:
    """Come as this client, or where only a service may call, as that one."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        method, target, body = request.method or "", request.path_url, request.body or b""
        issuer = _only_caller(service, method, target.partition("?")[0])
        bearer = (
            issue_access_token(principal, own["governance"], time.time())
            if issuer is None
            else sign_assertion(
                own[issuer],
                issuer=issuer,
                audience=service,
                method=method,
                target=target,
                body=body.encode() if isinstance(body, str) else body,
                now=time.time(),
            )
        )
        request.headers["Authorization"] = f"Bearer {bearer}"
        return request

    return authorize


def _only_caller(service: str, method: str, path: str) -> str | None:
    for row in ACCESS[service]:
        route_method, _, route = row["route"].partition(" ")
        is_this = route_method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)
        if is_this and row["access"].startswith("service: "):
            return str(row["access"].removeprefix("service: ").split()[0])
    return None
