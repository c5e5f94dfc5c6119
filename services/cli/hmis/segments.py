"""Which columns of an export become which sealed data category."""

import re
from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

from pydantic import ValidationError

from schemas.categories import CATEGORY_MODELS, Category, segment
from schemas.codes import LivingSituation
from schemas.living_situations import living_situation_category
from services.cli.hmis.report import What
from services.cli.hmis.tables import Cells

Columns: TypeAlias = Mapping[Category, tuple[str, ...]]
Segments: TypeAlias = dict[Category, dict[str, Any]]

CLIENT_COLUMNS: Final[Columns] = MappingProxyType(
    {
        "identity": (
            "FirstName", "MiddleName", "LastName", "NameSuffix", "NameDataQuality", "SSN", "SSNDataQuality", "DOB",
            "DOBDataQuality",
        ),
        "demographics": (
            "Sex", "AmIndAKNative", "Asian", "BlackAfAmerican", "HispanicLatinao", "MidEastNAfrican", "NativeHIPacific",
            "White", "RaceNone", "AdditionalRaceEthnicity",
        ),
        "veteran": (
            "VeteranStatus", "YearEnteredService", "YearSeparated", "WorldWarII", "KoreanWar", "VietnamWar",
            "DesertStorm", "AfghanistanOEF", "IraqOIF", "IraqOND", "OtherTheater", "MilitaryBranch", "DischargeStatus",
        ),
    }
)  # fmt: skip
# LivingSituation goes where `living_situation_category` says. Not taken: ReferralSource and the counts of outreach
# contacts (administrative), EligibleForRHY and ReasonNoServices (about funding), and dates of those.
ENROLLMENT_COLUMNS: Final[Columns] = MappingProxyType(
    {
        "household": ("RelationshipToHoH", "SingleParent", "DependentUnder6", "HH5Plus"),
        "veteran": ("VAMCStation",),
        "housing_history": (
            "RentalSubsidyType", "LengthOfStay", "LOSUnderThreshold", "PreviousStreetESSH", "DateToStreetESSH",
            "TimesHomelessPastThreeYears", "MonthsHomelessPastThreeYears", "DateOfEngagement", "MoveInDate",
            "RunawayYouth", "FormerWardChildWelfare", "ChildWelfareYears", "ChildWelfareMonths", "TimeToHousingLoss",
            "LiteralHomelessHistory", "ClientLeaseholder", "HOHLeaseholder", "SubsidyAtRisk", "EvictionHistory",
        ),
        "assessment": ("TargetScreenReqd", "CoCPrioritized", "HPScreeningScore", "ThresholdScore"),
        "disability": ("DisablingCondition", "PhysicalDisabilityFam", "DisabledHoH"),
        "income": ("PercentAMI", "AnnualPercentAMI", "UnemploymentFam", "InsufficientIncome"),
        "health": ("CurrentPregnant",),
        "mental_health": (
            "MentalHealthConsultation", "MentalHealthDisorderFam", "DateOfPATHStatus", "ClientEnrolledInPATH",
            "ReasonNotEnrolled",
        ),
        "substance_use": ("AlcoholDrugUseDisorderFam",),
        "justice": (
            "FormerWardJuvenileJustice", "JuvenileJusticeYears", "JuvenileJusticeMonths", "IncarceratedParent",
            "CriminalRecord", "IncarceratedAdult", "PrisonDischarge", "SexOffender",
        ),
        "location": ("EnrollmentCoC",),
    }
)  # fmt: skip
HEALTH_AND_DV_COLUMNS: Final[Columns] = MappingProxyType(
    {
        "domestic_violence": ("DomesticViolenceSurvivor", "WhenOccurred", "CurrentlyFleeing"),
        "health": ("GeneralHealthStatus", "DentalHealthStatus", "PregnancyStatus", "DueDate"),
        "mental_health": ("MentalHealthStatus",),
    }
)  # fmt: skip

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INTEGER: Final = re.compile(r"-?\d{1,9}", re.ASCII)


@cache
def field_name(column: str) -> str:
    """Give the snake case of a HUD column name: `SSNDataQuality` is `ssn_data_quality`."""
    return _WORD_START.sub("_", column.replace("CoC", "Coc").replace("HoH", "Hoh")).lower()


def columns_of(columns: Columns) -> Collection[str]:
    """List every column that a file's categories are read from."""
    return [column for names in columns.values() for column in names]


def segments_of(cells: Cells, columns: Columns) -> Segments:
    """Read the categories a row says something about; a malformed cell is reported and left out."""
    found = {category: _segment(cells, category, names) for category, names in columns.items()}
    return {category: fields for category, fields in found.items() if fields}


def add_living_situation(cells: Cells, segments: Segments) -> None:
    """Add the prior living situation to the one category that may hold it."""
    situation = cells.code("LivingSituation", LivingSituation)
    if situation is not None:
        segments.setdefault(living_situation_category(situation), {})["living_situation"] = int(situation)


def _segment(cells: Cells, category: Category, columns: tuple[str, ...]) -> dict[str, Any]:
    values = {field_name(column): cells.text(column) for column in columns}
    fields = {name: _typed(category, name, value) for name, value in values.items() if value is not None}
    if not fields:
        return {}
    try:
        return segment(category, fields)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors(include_input=False, include_url=False)}
    for column in columns:
        if field_name(column) in wrong:
            cells.report.note(cells.file, cells.line, *_complaint(category, column))
    rest = {name: value for name, value in fields.items() if name not in wrong}
    return segment(category, rest) if rest else {}


def _complaint(category: Category, column: str) -> tuple[What, str]:
    if "Date" in column or column == "DOB":
        return "bad-date", f"{column} is not YYYY-MM-DD; the cell is left out"
    if _is_integer(category, field_name(column)):
        return "bad-code", f"{column}: it is not a code of HUD's list for this column (FY2026); the cell is left out"
    return "bad-value", f"{column} is not as the category {category} takes it; the cell is left out"


def _typed(category: Category, name: str, value: str) -> str | int:
    return int(value) if _is_integer(category, name) and _INTEGER.fullmatch(value) else value


def _is_integer(category: Category, name: str) -> bool:
    return (category, name) in _INTEGERS


def _holds_integer(annotation: object) -> bool:
    if get_origin(annotation) is Annotated:
        return _holds_integer(get_args(annotation)[0])
    if isinstance(annotation, type):
        return issubclass(annotation, int)
    return any(_holds_integer(each) for each in get_args(annotation))


_INTEGERS: Final = frozenset(
    (category, name)
    for category, model in CATEGORY_MODELS.items()
    for name, field in model.model_fields.items()
    if _holds_integer(field.annotation)
)
