"""Carries out a plan through the services' APIs, as the administrator and then as each organization."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from services.cli.hmis.beds import UNSAID as UNSAID_OF_BEDS
from services.cli.hmis.beds import BedDesk, Clock
from services.cli.hmis.client import Caller, CannotImport, Refused
from services.cli.hmis.directory import CONTACT_ID, Directory
from services.cli.hmis.plan import Mode, Plan, PlannedMember, PlannedReferral, Registration, Transition
from services.cli.hmis.progress import Progress
from services.cli.hmis.results import Results

AT_ONCE: Final = 8
DECIDED_WITHIN: Final = 10.0  # seconds that the decision on a new referral may take
PAUSE: Final = 0.1  # seconds between two looks
NOT_THERE: Final = "its organization is not there"
UNSAID: Final = (
    "an export does not say who is covered by HIPAA, which projects are Part 2 programs, and whom to call back: taken "
    "as nobody, none, and a contact without a telephone number"
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    """A referral that is there: its id, and whether nobody has answered it yet."""

    id: str
    unanswered: bool


class Importer:
    """Imports one plan; what becomes of each part of it is in `results`. CannotImport when it cannot go on.

    Everything may be done again: what is there already is found and left as it is.
    """

    def __init__(self, plan: Plan, mode: Mode, directory: Directory, results: Results, progress: Progress) -> None:
        self._plan = plan
        self._historical = mode == "history"
        self._directory = directory
        self._results = results
        self._progress = progress
        self._client_ids: dict[Registration, str] = {}
        self._known: dict[tuple[str, str, str], _Known] = {}  # by originator, external id, recipient

    async def organizations(self) -> None:
        """Create the organizations with all that is theirs, and the client index that they share."""
        await self._each("Organizations", self._plan.organizations, self._directory.organization)
        if self._plan.identifier_system is not None:
            await self._directory.identifier_system(self._plan.identifier_system)
        if self._results.made["organizations"] or self._results.made["projects"]:
            self._results.remark("organizations", "new ones and new projects", UNSAID)

    async def beds(self, clock: Clock) -> None:
        """Register the units, and say how many of their beds were taken on the plan's night."""
        beds = self._plan.beds
        if beds is None:
            return
        owners = {each.organization_id for each in beds.units} | {organization for organization, _ in beds.gone}

        async def take(organization_id: str) -> None:
            units = [each for each in beds.units if each.organization_id == organization_id]
            gone = [external_id for owner, external_id in beds.gone if owner == organization_id]
            caller = self._directory.caller(organization_id)
            if caller is None:
                self._results.refuse("units", organization_id, NOT_THERE)
                return
            try:
                await BedDesk(caller, beds, clock, self._results).take(units, gone)
            except Refused as refused:
                self._results.refuse("units", organization_id, str(refused))

        await self._each("Units", sorted(owners), take)
        if self._results.made["units"]:
            self._results.remark("units", "new ones", UNSAID_OF_BEDS)

    async def clients(self) -> None:
        """Register everybody with each organization that serves them."""
        registrations = [each for client in self._plan.clients for each in client.registrations]
        await self._each("Clients", registrations, self._register)

    async def referrals(self) -> None:
        """Publish the referrals that are not there yet, and what became of them."""
        originators = sorted({each.organization_id for each in self._plan.referrals})
        await self._each("What is there", originators, self._look_up)
        await self._each("Referrals", self._plan.referrals, self._refer)

    async def _each(self, title: str, items: Sequence[T], do: Callable[[T], Awaitable[None]]) -> None:
        """Do it for each item, AT_ONCE at a time."""
        self._progress.step(title, len(items))
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                await do(item)
                self._progress.advance()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
        except* CannotImport as failures:
            raise failures.exceptions[0] from None

    async def _register(self, registration: Registration) -> None:
        caller = self._directory.caller(registration.organization_id)
        if caller is None:
            self._results.refuse("registrations", registration.organization_id, NOT_THERE)
            return
        identifier = {"system": registration.system, "value": registration.value}
        try:
            made = await caller.post("consent", "/clients", {"identifiers": [identifier]}, _key_of(registration))
        except Refused as refused:
            self._results.refuse("registrations", registration.organization_id, str(refused))
            return
        client_id = str(made.body["client_id"])
        self._client_ids[registration] = client_id
        self._results.clients.add(client_id)
        self._results.count("registrations", present=made.repeated)

    async def _look_up(self, organization_id: str) -> None:
        """Note an organization's referrals: Idempotency-Keys are forgotten after two days, these are not."""
        caller = self._directory.caller(organization_id)
        if caller is None:
            return
        try:
            async for each in caller.every("referrals", "/referrals"):
                if each.get("external_id") and each["historical"] == self._historical:
                    key = organization_id, each["external_id"], each["to"]["organization"]
                    self._known[key] = _Known(each["id"], unanswered=each["status"] == "requested")
        except Refused as refused:
            raise CannotImport(f"The referrals of {organization_id} cannot be listed: {refused}") from None

    async def _refer(self, planned: PlannedReferral) -> None:
        about = f"event {planned.external_id} to {planned.to_organization_id}"
        try:
            known = await self._published(planned)
        except (Refused, _Unprepared) as failed:
            self._results.refuse("referrals", about, str(failed))
            return
        if planned.transition is not None:
            await self._answer(planned, known, planned.transition, about)

    async def _published(self, planned: PlannedReferral) -> _Known:
        known = self._known.get((planned.organization_id, planned.external_id, planned.to_organization_id))
        if known is not None:
            self._results.count("referrals", present=True)
            return known
        caller = self._directory.caller(planned.organization_id)
        if caller is None:
            raise _Unprepared(NOT_THERE)
        members = [await self._member(each) for each in planned.members]
        made = await caller.post("referrals", "/referrals", self._body(planned, members), planned.key)
        self._results.count("referrals", present=made.repeated)
        return _Known(str(made.body["id"]), unanswered=True)

    async def _member(self, planned: PlannedMember) -> dict[str, Any]:
        registration = planned.registration
        if registration not in self._client_ids:  # whose client id must be fresh is not among the plan's clients
            await self._register(registration)
        if registration not in self._client_ids:
            raise _Unprepared("a member of the household could not be registered")
        return {
            "client_id": self._client_ids[registration],
            "relationship_to_hoh": planned.relationship_to_hoh,
            "segments": planned.segments,
        }

    def _body(self, planned: PlannedReferral, members: list[dict[str, Any]]) -> dict[str, Any]:
        # HUD's dates have no time and no zone; a day's beginning is never in the future.
        past = {"historical": True, "occurred_at": f"{planned.on.isoformat()}T00:00:00Z"} if self._historical else {}
        project = {"project": planned.to_project_id} if planned.to_project_id else {}
        return {
            "members": members,
            "to": {"organization": planned.to_organization_id, **project},
            "publisher_project": planned.project_id,
            "service": planned.service,
            "purpose": planned.purpose,
            "need": planned.need,
            "call_back": CONTACT_ID,
            "external_id": planned.external_id,
            **past,
        }

    async def _answer(self, planned: PlannedReferral, known: _Known, transition: Transition, about: str) -> None:
        """Let the recipient say what became of a referral."""
        if not known.unanswered:
            self._results.count("transitions", present=True)
            return
        recipient = self._directory.caller(planned.to_organization_id)
        originator = self._directory.caller(planned.organization_id)
        if recipient is None or originator is None:
            self._results.refuse("transitions", about, NOT_THERE)
            return
        declined_by = {"declined_by": transition.declined_by} if transition.declined_by else {}
        try:
            name = known.id if self._historical else await _reference(originator, known.id)
            path, key = f"/referrals/{name}/transitions", f"{planned.key}/{transition.to}"
            made = await recipient.post("referrals", path, {"to": transition.to, **declined_by}, key)
        except Refused as refused:
            self._answer_refused(refused, about)
            return
        self._results.count("transitions", present=made.repeated)

    def _answer_refused(self, refused: Refused, about: str) -> None:
        if refused.problem == "invalid-transition":  # it was answered before, and nobody may tell its originator
            self._results.count("transitions", present=True)
        elif refused.problem == "not-found":
            why = "the recipient may not know of the referral (no agreement lets it): its answer is not recorded"
            self._results.refuse("transitions", about, why)
        else:
            self._results.refuse("transitions", about, str(refused))


class _Unprepared(Exception):
    """Something that a referral needs is not there; the text says what."""


async def _reference(originator: Caller, referral_id: str) -> str:
    """Return the name under which a recipient knows a referral, once it is decided what it may know."""
    deadline = asyncio.get_running_loop().time() + DECIDED_WITHIN
    while True:
        shown = await originator.get("referrals", f"/referrals/{referral_id}")
        head = next(each for each in shown["crossing"] if each["reference"])
        if head["verdict"] != "not_sent" or head["withheld"] or asyncio.get_running_loop().time() >= deadline:
            return str(head["reference"])
        await asyncio.sleep(PAUSE)


def _key_of(registration: Registration) -> str:
    """Name a registration without its value: keys are not for what points at a person."""
    parts = f"{registration.organization_id}\n{registration.system}\n{registration.value}"
    return "hmis-csv/" + hashlib.sha256(parts.encode()).hexdigest()
