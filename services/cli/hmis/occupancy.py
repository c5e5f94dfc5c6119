"""Counts who slept where on a night: people by project and household type, and nothing else of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, TypeAlias

from schemas.beds import HouseholdType
from schemas.codes import ProjectType
from services.cli.hmis.households import Households, household_type
from services.cli.hmis.openings import Community
from services.cli.hmis.rows import BedNight, Enrollment

Sleepers: TypeAlias = Counter[tuple[str, HouseholdType]]
"""How many people, by the export's id of the project and the type of their household."""

SHELTERS: Final = frozenset(
    {
        ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT,
        ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT,
        ProjectType.SAFE_HAVEN,
    }
)
PERMANENT: Final = frozenset(
    {
        ProjectType.PERMANENT_SUPPORTIVE_HOUSING,
        ProjectType.PERMANENT_HOUSING_ONLY,
        ProjectType.PERMANENT_HOUSING_WITH_SERVICES,
        ProjectType.RAPID_REHOUSING,
    }
)
LODGING: Final = SHELTERS | PERMANENT | {ProjectType.TRANSITIONAL_HOUSING}


class Occupancy:
    """The export's nights.

    A bed night counts as it was recorded; elsewhere an enrollment counts from its first night until before its exit,
    in permanent housing from the day that the household moved in. `enrollment_ids` are those in projects with beds,
    `recorded` is how many bed nights each night has.
    """

    def __init__(
        self,
        community: Community,
        enrollments: Mapping[str, Enrollment],
        households: Households,
        bed_nights: Iterable[BedNight],
    ) -> None:
        self._households = households
        self._lodgers: list[tuple[Enrollment, ProjectType]] = []
        for enrollment in enrollments.values():
            project_type = ProjectType(community.projects[enrollment.project_id][0].project_type)
            if project_type in LODGING:
                self._lodgers.append((enrollment, project_type))
        self.enrollment_ids = frozenset(enrollment.id for enrollment, _ in self._lodgers)
        self._nights: dict[date, set[str]] = {}
        for each in bed_nights:
            self._nights.setdefault(each.on, set()).add(each.enrollment_id)
        self.recorded: Mapping[date, int] = MappingProxyType({on: len(some) for on, some in self._nights.items()})

    def knows(self, project_type: ProjectType) -> bool:
        """Tell whether the export says at all who sleeps in projects of this type."""
        return bool(self._nights if project_type is ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT else self._lodgers)

    def on(self, night: date) -> Sleepers:
        """Count who slept where on a night; somebody enrolled twice in a project sleeps there once."""
        there: dict[tuple[str, str], HouseholdType] = {}
        for enrollment, project_type in self._lodgers:
            if self._sleeps(enrollment, project_type, night):
                household = self._households.present(enrollment, night)
                there[enrollment.project_id, enrollment.client_id] = household_type(household, night)
        return Counter((project_id, type_) for (project_id, _), type_ in there.items())

    def _sleeps(self, enrollment: Enrollment, project_type: ProjectType, night: date) -> bool:
        if project_type is ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT:
            return enrollment.id in self._nights.get(night, ())
        if project_type in PERMANENT and not self._households.has_moved_in(enrollment, night):
            return False
        return self._households.stays(enrollment, night)
