"""Registers units, changes them and their beds, and takes censuses."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.kit import database
from services.kit.auth import Principal
from services.kit.keys import random_id
from services.kit.problems import Problem, invalid_body
from services.shelter_beds import bodies, store
from services.shelter_beds.desk import Author, Desk
from services.shelter_beds.directory import RegisteredProject
from services.shelter_beds.model import Census, Counts, free_by
from services.shelter_beds.profile import UnitProfile
from services.shelter_beds.tables import Bed, Change, Unit

CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)


async def add(
    session: AsyncSession, caller: Principal, organization: str, project: RegisteredProject, body: bodies.NewUnit
) -> bodies.UnitView:
    """Register a unit with its beds; Problem 422 where its project says otherwise, or more are taken than there are."""
    if body.project_type not in {None, project.project_type}:
        raise invalid_body("project_type", "must be the project's own")
    profile = UnitProfile.model_validate(body.model_dump(include=set(UnitProfile.model_fields)))
    _check_confidential(profile, project)
    _check_reachable(profile)
    now = await database.now(session)
    _check_not_future(body.as_of, now)
    unit = Unit(
        id=random_id(),
        organization=organization,
        organization_name=project.organization_name,
        project=body.project,
        project_type=project.project_type,
        test=project.test,
        profile=profile.model_dump(mode="json"),
        updated_at=now,
        last_reset_at=now,
        created_at=now,
    )
    session.add(unit)
    await session.flush()
    desk = Desk(session, unit, [], now, Author.of(caller, body.actor))
    await _resize(desk, body.beds)
    if body.occupied > body.beds:
        raise invalid_body("occupied", "must not exceed beds")
    fill(desk.beds, body.beds - body.occupied)
    unit.reported_at = body.as_of or now
    desk.note("registered", beds=body.beds)
    await desk.close()
    return view(unit, desk.beds)


async def change(
    session: AsyncSession, caller: Principal, unit_id: str, project: RegisteredProject | None, body: bodies.UnitChange
) -> bodies.UnitView:
    """Change what the body names, or withdraw the unit, which ends requests; Problem 404, 409 `beds-in-use`, 422.

    `project` is what governance says of the unit's now, if it says anything.
    """
    desk = await Desk.open(session, unit_id, Author.of(caller, body.actor))
    if not caller.is_admin and caller.organization != desk.unit.organization:
        raise Problem("not-found")
    before, was_reachable = desk.unit.profile, desk.profile.is_reachable
    desk.profile = body.applied_to(before)
    if desk.profile.confidential < before["confidential"] and not caller.is_admin:
        raise invalid_body("confidential", "only the administrator makes a unit's place known")
    if was_reachable:
        _check_reachable(desk.profile)
    if project is not None and not body.withdrawn:
        _check_confidential(desk.profile, project)
        desk.unit.organization_name = project.organization_name
    desk.unit.profile = desk.profile.model_dump(mode="json")
    await desk.keep_discreet()
    if before["resets_at"] != desk.unit.profile["resets_at"]:
        desk.unit.last_reset_at = desk.now  # an hour that it had before was none of its own
    if body.beds is not None and body.beds != len(desk.beds):
        await _resize(desk, body.beds)
        desk.reported()
    if body.withdrawn:
        await _withdraw(desk)
    changed = _changed(before, desk.unit.profile)
    desk.note("withdrawn" if body.withdrawn else "changed", **changed, **({"beds": body.beds} if body.beds else {}))
    await desk.close()
    return view(desk.unit, desk.beds)


async def change_bed(
    session: AsyncSession, caller: Principal, unit_id: str, bed_id: str, body: bodies.BedChange
) -> bodies.BedView:
    """Set a bed's status; Problem 404, 409 `bed-held`."""
    desk = await Desk.open(session, unit_id, Author.of(caller, body.actor))
    desk.check_may_act(caller)
    bed = next((bed for bed in desk.beds if bed.id == bed_id), None)
    if bed is None:
        raise Problem("not-found")
    if bed.status == "held":
        raise Problem("bed-held")
    desk.note("bed", bed_id=bed.id, label=bed.label, before=bed.status, after=body.status)
    bed.status, bed.offline_reason = body.status, body.reason
    desk.reported()
    await desk.close()
    return bed_view(bed)


async def count(session: AsyncSession, caller: Principal, unit_id: str, body: bodies.NewCensus) -> bodies.CensusView:
    """Take a census: so many beds are free now, whatever the beds said before. Live holds survive.

    Problem 404; 409 `older-census` when a later one is known; 422 for more beds than there are, or from the future.
    """
    desk = await Desk.open(session, unit_id, Author.of(caller, body.actor))
    desk.check_may_act(caller)
    unit, counts = desk.unit, desk.counts
    _check_not_future(body.as_of, desk.now)
    as_of = min(body.as_of, desk.now)  # whose clock is fast must not keep out what is said after it
    if unit.census_as_of is not None and as_of < min(unit.census_as_of, desk.now):
        raise Problem("older-census", field="as_of")
    _check_number(body, counts)
    census = Census(as_of, body.includes_holds, body.available, body.occupied)
    holds = await store.holds_since(session, unit.id, as_of)
    free = free_by(census, counts.maximum - counts.offline, holds)
    fill(desk.beds, free)
    unit.census_as_of = as_of
    unit.reported_at = max(as_of, min(unit.reported_at or as_of, desk.now))
    desk.note("census", **body.model_dump(mode="json", exclude={"actor"}, exclude_none=True))
    await desk.close()
    return bodies.CensusView(unit_id=unit.id, overcommitted=max(-free, 0), as_of=as_of, **_counted(desk.counts))


async def wake(session: AsyncSession, unit_id: str) -> None:
    """Let what is over by now end, the unit's hour strike, a season begin or end."""
    desk = await Desk.open(session, unit_id, Author())
    await desk.close()


async def hide(session: AsyncSession, unit_id: str) -> None:
    """Make a unit confidential, by nobody's hand: its project has become so. Nothing does the reverse by itself."""
    desk = await Desk.open(session, unit_id, Author())
    if not desk.profile.confidential:  # another process may have done it
        before, desk.profile = desk.unit.profile, desk.profile.hidden()
        desk.unit.profile = desk.profile.model_dump(mode="json")
        await desk.keep_discreet()
        desk.note("changed", **_changed(before, desk.unit.profile))
    await desk.close()


async def be_a_test(session: AsyncSession, unit_id: str) -> None:
    """Let a unit that was taken for real be a test organization's, for ever: nobody else is shown it from now on."""
    desk = await Desk.open(session, unit_id, Author())
    if not desk.unit.test:  # another process may have done it
        desk.unit.test = True
        desk.note("changed", test=True)
    await desk.close()


def view(unit: Unit, beds: list[Bed]) -> bodies.UnitView:
    """Show a unit to whoever acts at its desk."""
    return bodies.UnitView(
        profile=UnitProfile.model_validate(unit.profile),
        beds=[bed_view(bed) for bed in beds],
        **_counted(Counts.of(bed.status for bed in beds)),
        **unit.model_dump(include=_SHOWN),
    )


def bed_view(bed: Bed) -> bodies.BedView:
    """Show a bed to whoever acts at its unit's desk."""
    return bodies.BedView(**bed.model_dump(include=set(bodies.BedView.model_fields)))


def change_view(row: Change, organization: str | None) -> bodies.ChangeView:
    """Show who changed what; the people and API clients of an organization to that one alone."""
    hidden = {} if row.organization == organization else {"api_client": None, "actor": None}
    return bodies.ChangeView(**row.model_dump(include=set(bodies.ChangeView.model_fields)) | hidden)


_SHOWN: Final = {
    "id",
    "organization",
    "organization_name",
    "project",
    "project_type",
    "test",
    "withdrawn",
    "version",
    "reported_at",
    "updated_at",
}


def _check_confidential(profile: UnitProfile, project: RegisteredProject) -> None:
    if (project.confidential or project.victim_service_provider) and not profile.confidential:
        raise invalid_body("confidential", "must be true: the project is confidential, or a victim service provider's")


def _check_reachable(profile: UnitProfile) -> None:
    if not profile.is_reachable:
        raise invalid_body("phone", "must be given for a unit that is reached by it alone")


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if value != before.get(name)}


def _check_not_future(as_of: datetime | None, now: datetime) -> None:
    if as_of is not None and as_of > now + CLOCKS_DIFFER_BY:
        raise invalid_body("as_of", "must not be in the future")


def _check_number(body: bodies.NewCensus, counts: Counts) -> None:
    field = "available" if body.available is not None else "occupied"
    number = body.available if body.available is not None else body.occupied
    if number is not None and number > counts.maximum - counts.offline:
        raise invalid_body(field, "must not exceed the unit's beds that are in service")


def fill(beds: list[Bed], free: int) -> None:
    """Let so many beds be free, of those that are neither held nor offline; as few as possible change."""
    open_beds = [bed for bed in beds if bed.status in {"free", "occupied"}]
    surplus = sum(bed.status == "free" for bed in open_beds) - min(max(free, 0), len(open_beds))
    before, after = ("free", "occupied") if surplus > 0 else ("occupied", "free")
    for bed in [bed for bed in open_beds if bed.status == before][: abs(surplus)]:
        bed.status = after  # type: ignore[assignment]


async def _resize(desk: Desk, number: int) -> None:
    last = max((bed.place for bed in desk.beds), default=0)
    for place in range(last + 1, last + 1 + number - len(desk.beds)):
        bed = Bed(id=random_id(), unit_id=desk.unit.id, label=str(place), place=place, status="free")
        desk.session.add(bed)
        desk.beds.append(bed)
    surplus = len(desk.beds) - number
    if surplus <= 0:
        return
    idle = [bed for bed in reversed(desk.beds) if bed.status in {"free", "offline"}][:surplus]
    if len(idle) < surplus:
        raise Problem("beds-in-use", field="beds")
    for bed in idle:
        await desk.session.delete(bed)
        desk.beds.remove(bed)


async def _withdraw(desk: Desk) -> None:
    """Withdraw a unit without beds on hold. Whoever asks for one is told no: asking must not keep a unit open."""
    if any(bed.status == "held" for bed in desk.beds):
        raise Problem("beds-in-use", field="withdrawn")
    for hold in await store.live_holds(desk.session, desk.unit.id):
        await desk.release(hold, "refused")
        desk.note("refused", hold_id=hold.id)
    desk.unit.withdrawn = True


def _counted(counts: Counts) -> dict[str, Any]:
    return {
        "available": counts.available,
        "held": counts.held,
        "occupied": counts.occupied,
        "offline": counts.offline,
        "maximum": counts.maximum,
    }
