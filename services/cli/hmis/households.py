"""Who belonged to a household on a day, what it looked like, and what each member's record says until then."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from schemas.codes import RelationshipToHeadOfHousehold
from schemas.need import LARGEST_HOUSEHOLD, HouseholdType
from services.cli.hmis.rows import Client, Enrollment, Export, HealthAndDv
from services.cli.hmis.segments import Segments

ADULT_AGE: Final = 18
HEAD: Final = RelationshipToHeadOfHousehold.SELF


@dataclass(frozen=True, slots=True)
class Person:
    """A member of a household: the enrollment and the client behind it."""

    enrollment: Enrollment
    client: Client


class Households:
    """The export's households, by enrollment and day."""

    def __init__(self, export: Export, enrollments: Iterable[Enrollment], clients: Mapping[str, Client]) -> None:
        """Index the usable `enrollments` and everything that hangs on them."""
        self._clients = clients
        self._exits = {each.enrollment_id: each.on for each in export.exits}
        self._members: dict[tuple[str, str], list[Enrollment]] = defaultdict(list)
        for enrollment in enrollments:
            self._members[enrollment.project_id, enrollment.household_id].append(enrollment)
        self._health: dict[str, list[HealthAndDv]] = defaultdict(list)
        for record in sorted(export.health, key=lambda record: (record.on, record.line)):
            self._health[record.enrollment_id].append(record)

    def present(self, enrollment: Enrollment, on: date) -> list[Person]:
        """List who was in the enrollment's household on a day, the enrolled person always.

        Somebody who has left, perhaps fled, must not be referred along.
        """
        household = self._members[enrollment.project_id, enrollment.household_id]
        return [
            Person(each, self._clients[each.client_id])
            for each in household
            if each is enrollment or (each.entry <= on and self._exits.get(each.id, date.max) >= on)
        ]

    def stays(self, enrollment: Enrollment, on: date) -> bool:
        """Tell whether a night lies within an enrollment: from its first day until before its last."""
        return enrollment.entry <= on < self._exits.get(enrollment.id, date.max)

    def has_moved_in(self, enrollment: Enrollment, on: date) -> bool:
        """Tell whether the household lives in the housing it was enrolled for (3.20, recorded of its head)."""
        household = self._members[enrollment.project_id, enrollment.household_id]
        heads = [each for each in household if each.relationship_to_hoh is HEAD]
        dates = [each.moved_in for each in (enrollment, *heads)]
        return any(moved_in is not None and moved_in <= on for moved_in in dates)

    def segments(self, person: Person, household: Sequence[Person], on: date) -> Segments:
        """Gather what the export says about a member: client, enrollment, and the latest of each kind until `on`."""
        gathered: Segments = {}
        health = [record.segments for record in self._health[person.enrollment.id] if record.on <= on]
        shape: Segments = {
            "household": {
                "household_type": household_type(household, on),
                "household_size": min(len(household), LARGEST_HOUSEHOLD),
            }
        }
        latest: Segments = {category: fields for record in health for category, fields in record.items()}
        for source in (person.client.segments, person.enrollment.segments, latest, shape):
            for category, fields in source.items():
                gathered[category] = gathered.get(category, {}) | fields
        return gathered


def household_type(household: Sequence[Person], on: date) -> HouseholdType:
    """Name the kind of household by the ages on a day; without a date of birth a child of the head is taken for one."""
    children = [_is_child(person, on) for person in household]
    if all(children):
        return "only_children"
    return "with_children" if any(children) else "without_children"


def _is_child(person: Person, on: date) -> bool:
    identity: Mapping[str, Any] = person.client.segments.get("identity", {})
    born = identity.get("dob")
    if born is None:
        return person.enrollment.relationship_to_hoh is RelationshipToHeadOfHousehold.CHILD
    birth = date.fromisoformat(born)
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day)) < ADULT_AGE
