"""A community small enough to reason about: a street outreach, two shelters, a victim service provider."""

from datetime import date

from schemas.codes import CoordinatedEntryEvent, HmisParticipationType, ProjectType
from schemas.codes import RelationshipToHeadOfHousehold as Relationship
from services.cli.hmis.rows import (
    Client,
    Enrollment,
    Event,
    Export,
    Organization,
    Participation,
    Project,
    Source,
)

DAY = date(2026, 3, 1)
EVENT = Event(2, "v1", "e1", "c1", DAY, CoordinatedEntryEvent.EMERGENCY_SHELTER_OPENING, None, None)
# One parent with one child in outreach, referred to an emergency shelter.
EXPORT = Export(
    source=Source("hmis1", "Example HMIS"),
    organizations=[
        Organization(2, "out", "Outreach", victim_service_provider=False),
        Organization(3, "she", "Shelter", victim_service_provider=False),
        Organization(4, "two", "Two Shelters", victim_service_provider=False),
        Organization(5, "vsp", "Survivors", victim_service_provider=True),
    ],
    projects=[
        Project(2, "p-out", "out", "Street", ProjectType.STREET_OUTREACH),
        Project(3, "p-she", "she", "Nights", ProjectType.EMERGENCY_SHELTER_NIGHT_BY_NIGHT),
        Project(4, "p-two-a", "two", "North", ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT),
        Project(5, "p-two-b", "two", "South", ProjectType.EMERGENCY_SHELTER_ENTRY_EXIT),
        Project(6, "p-vsp", "vsp", "House", ProjectType.TRANSITIONAL_HOUSING),
    ],
    participations=[
        Participation(2, "p-out", HmisParticipationType.HMIS_PARTICIPATING, date(2020, 1, 1), None),
        Participation(3, "p-vsp", HmisParticipationType.COMPARABLE_DATABASE_PARTICIPATING, date(2020, 1, 1), None),
    ],
    clients=[
        Client(2, "c1", {"identity": {"first_name": "Rosa", "dob": "1990-05-05"}}),
        Client(3, "c2", {"identity": {"first_name": "Luz", "dob": "2015-05-05"}}),
    ],
    enrollments=[
        Enrollment(2, "e1", "c1", "p-out", "h1", Relationship.SELF, date(2026, 1, 1), {}),
        Enrollment(3, "e2", "c2", "p-out", "h1", Relationship.CHILD, date(2026, 1, 1), {}),
    ],
    exits=[],
    health=[],
    events=[EVENT],
)
