"""Founds the sandbox on a stack, once: three test organizations, their credentials, an agreement in force, beds."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, get_args

from deploy.local.errors import LocalStackError
from deploy.local.home import write_private
from deploy.local.settings import LocalSettings
from deploy.local.stack import Description
from schemas.events import DataCategory, PurposeOfUse
from services.cli.demo.community import STAFF
from services.cli.demo.people import CALL_BACK
from services.cli.hmis.client import Caller, Credential, Refused, Stack, connections
from services.kit.auth import Scope

OUTREACH: Final = "sandbox-outreach"
SHELTER: Final = "sandbox-shelter"
YOU: Final = "sandbox-you"
ORGANIZATIONS: Final = {OUTREACH: "Sandbox Outreach", SHELTER: "Sandbox Shelter", YOU: "Your organization"}
SCOPES: Final = sorted(scope.value for scope in Scope if scope not in {Scope.ADMIN, Scope.AUDIT_READ_ALL})
PROJECT: Final = "beds"
ABOUT: Final = {"kind": "provider", "victim_service_provider": False, "hipaa_covered": False, "test": True}
IN_FORCE_WITHIN: Final = 15  # seconds
# What a unit is called here -> its name, and how it gives beds on hold.
UNITS: Final = {"beds": ("Sandbox beds", "instant"), "rooms": ("Sandbox rooms, ask first", "request")}


@dataclass
class Kept:
    """What a home keeps of its sandbox; the services show a secret once."""

    organizations: dict[str, dict[str, str]]
    agreement: str = ""
    units: dict[str, str] | None = None


async def found(settings: LocalSettings, description: Description) -> Description:
    """Found what of the sandbox is not there yet; return what stack.json says of it. LocalStackError."""
    stack = Stack(description["services"], Credential(**description["admin"]))
    async with connections(at_once=4) as http:
        try:
            founding = _Founding(stack, Caller(stack, stack.admin, http), settings.home / "sandbox.json")
            callers = {id_: Caller(stack, await founding.joined(id_), http) for id_ in ORGANIZATIONS}
            await founding.agree(callers)
            await founding.furnish(callers[SHELTER])
        except Refused as refused:
            raise LocalStackError(f"The sandbox cannot be founded: {refused}.") from None
    return {"sandbox": asdict(founding.kept)}


class _Founding:
    """What is founded step by step, each step kept as it is done."""

    def __init__(self, stack: Stack, admin: Caller, file: Path) -> None:
        self._stack = stack
        self._admin = admin
        self._file = file
        self.kept = _read(file)

    async def joined(self, id_: str) -> Credential:
        """Let an organization be there, a test, with its project; return a credential of its own that is good."""
        await _once(self._admin, "governance", "/organizations", {"id": id_, "name": ORGANIZATIONS[id_], **ABOUT})
        await check_test(self._admin, id_)
        project = {"id": PROJECT, "name": "Night shelter", "project_type": 1, "part2_program": False}
        path = f"/organizations/{id_}"
        await _once(self._admin, "governance", f"{path}/projects", project | {"hmis_participation": "none"})
        await _once(self._admin, "governance", f"{path}/contacts", {"id": STAFF, **CALL_BACK})
        if id_ not in self.kept.organizations:
            body = {"name": "sandbox", "scopes": SCOPES}
            made = (await self._admin.post("governance", f"{path}/credentials", body)).body
            self.kept.organizations[id_] = {name: made[name] for name in ("client_id", "client_secret")}
            self._keep()
        return Credential(**self.kept.organizations[id_])

    async def agree(self, callers: dict[str, Caller]) -> None:
        """Let an agreement on everything be in force between all of them."""
        if self.kept.agreement:
            status = (await self._admin.get("governance", f"/agreements/{self.kept.agreement}"))["status"]
            if status == "active":
                return
        everybody = sorted(callers)
        term = {
            "from": everybody,
            "to": everybody,
            "purposes": sorted(get_args(PurposeOfUse)),
            "categories": sorted(get_args(DataCategory)),
            "deidentified": True,
        }
        body = {"title": "Everything, for the sandbox", "parties": everybody, "terms": [term]}
        agreement = (await self._admin.post("governance", "/agreements", body)).body["id"]
        for caller in callers.values():
            await caller.post("governance", f"/agreements/{agreement}/approvals", None, wait=IN_FORCE_WITHIN)
        self.kept.agreement = str(agreement)
        self._keep()

    async def furnish(self, shelter: Caller) -> None:
        """Let the shelter have its units."""
        every = [unit async for unit in shelter.every("shelter_beds", "/units") if not unit["withdrawn"]]
        there = {unit["profile"]["name"]: unit["id"] for unit in every}
        self.kept.units = {}
        for key, (name, policy) in UNITS.items():
            unit = {"name": name, "project": PROJECT, "household_type": "without_children", "beds": 20}
            unit |= {"hold_policy": policy, "max_open_holds": 100}
            self.kept.units[key] = there.get(name) or (await shelter.post("shelter_beds", "/units", unit)).body["id"]
        self._keep()

    def _keep(self) -> None:
        write_private(self._file, json.dumps(asdict(self.kept), indent=1) + "\n")


async def check_test(caller: Caller, organization: str) -> None:
    """LocalStackError unless an organization is a test: nobody acts for a real one here."""
    if not (await caller.get("governance", f"/organizations/{organization}"))["test"]:
        raise LocalStackError(f"{organization} is a real organization: the sandbox acts for test organizations only.")


@asynccontextmanager
async def callers_of(stack: Stack, credentials: dict[str, Any]) -> AsyncIterator[dict[str, Caller]]:
    """Give the sandbox's organizations, each signed in by its own credential; LocalStackError."""
    async with connections(at_once=4) as http:
        callers = {id_: Caller(stack, Credential(**each), http) for id_, each in credentials.items()}
        for id_, caller in callers.items():
            await check_test(caller, id_)
        yield callers


async def _once(caller: Caller, service: str, path: str, body: dict[str, Any]) -> None:
    """Post what need not be new."""
    try:
        await caller.post(service, path, body)
    except Refused as refused:
        if refused.status != HTTPStatus.CONFLICT:
            raise


def _read(file: Path) -> Kept:
    try:
        return Kept(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return Kept({})
