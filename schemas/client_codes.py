"""HUD's code lists (FY2026) about the person: sex, service, health, violence, education, income."""

from schemas.codes import HudCode


class Sex(HudCode):
    """4.21."""

    FEMALE = 0
    MALE = 1
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class MilitaryBranch(HudCode):
    """V1.11."""

    ARMY = 1
    AIR_FORCE = 2
    NAVY = 3
    MARINES = 4
    COAST_GUARD = 6
    SPACE_FORCE = 7
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class DischargeStatus(HudCode):
    """V1.12."""

    HONORABLE = 1
    GENERAL_UNDER_HONORABLE_CONDITIONS = 2
    BAD_CONDUCT = 4
    DISHONORABLE = 5
    OTHER_THAN_HONORABLE = 6
    UNCHARACTERIZED = 7
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class HealthStatus(HudCode):
    """R7.1."""

    EXCELLENT = 1
    VERY_GOOD = 2
    GOOD = 3
    FAIR = 4
    POOR = 5
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class MentalHealthConsultation(HudCode):
    """V10."""

    COMPLETED = 1
    ARRANGED_WITH_VA_PROVIDER = 2
    ARRANGED_WITH_OTHER_PROVIDER = 3
    OFFER_DECLINED = 4


class ReasonNotEnrolledInPath(HudCode):
    """P3.A."""

    INELIGIBLE = 1
    OTHER_REASON = 2
    UNABLE_TO_LOCATE_CLIENT = 3


class SubstanceUseDisorder(HudCode):
    """4.10.2."""

    NO = 0
    ALCOHOL_USE_DISORDER = 1
    DRUG_USE_DISORDER = 2
    BOTH = 3
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class WhenOccurred(HudCode):
    """4.11.A: when the violence was last."""

    WITHIN_THREE_MONTHS = 1
    THREE_TO_SIX_MONTHS_AGO = 2
    SIX_MONTHS_TO_ONE_YEAR_AGO = 3
    ONE_YEAR_AGO_OR_MORE = 4
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class CareYears(HudCode):
    """R11.A: years as a ward of child welfare or juvenile justice."""

    LESS_THAN_ONE = 1
    ONE_TO_TWO = 2
    THREE_OR_MORE = 3
    DATA_NOT_COLLECTED = 99


class IncarceratedAdult(HudCode):
    """V7.I."""

    NOT_INCARCERATED = 0
    ONCE = 1
    TWO_OR_MORE_TIMES = 2
    DATA_NOT_COLLECTED = 99


class EvictionHistory(HudCode):
    """V7.G."""

    NONE = 0
    ONE = 1
    TWO_OR_MORE = 2
    DATA_NOT_COLLECTED = 99


class TimeToHousingLoss(HudCode):
    """V7.A."""

    DAYS_1_TO_6 = 0
    DAYS_7_TO_13 = 1
    DAYS_14_TO_21 = 2
    MORE_THAN_21_DAYS = 3
    DATA_NOT_COLLECTED = 99


class LiteralHomelessHistory(HudCode):
    """V7.C."""

    WITHIN_THE_LAST_YEAR = 0
    MORE_THAN_ONE_YEAR_AGO = 1
    NONE = 2
    DATA_NOT_COLLECTED = 99


class DependentUnder6(HudCode):
    """V7.O."""

    NO = 0
    YOUNGEST_UNDER_ONE_YEAR = 1
    YOUNGEST_ONE_TO_SIX_OR_SIGNIFICANT_CARE = 2
    DATA_NOT_COLLECTED = 99


class PercentAmi(HudCode):
    """V4.1: income as a share of the area's median."""

    UP_TO_30_PERCENT = 1
    PERCENT_31_TO_50 = 2
    PERCENT_51_TO_80 = 3
    ABOVE_80_PERCENT = 4
    DATA_NOT_COLLECTED = 99


class AnnualPercentAmi(HudCode):
    """V7.B."""

    NO_INCOME = 0
    PERCENT_1_TO_14 = 1
    PERCENT_15_TO_30 = 2
    ABOVE_30_PERCENT = 3
    DATA_NOT_COLLECTED = 99


class LastGradeCompleted(HudCode):
    """R4.1."""

    LESS_THAN_GRADE_5 = 1
    GRADES_5_TO_6 = 2
    GRADES_7_TO_8 = 3
    GRADES_9_TO_11 = 4
    GRADE_12 = 5
    NO_GRADE_LEVELS = 6
    GED = 7
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    SOME_COLLEGE = 10
    ASSOCIATE_DEGREE = 11
    BACHELOR_DEGREE = 12
    GRADUATE_DEGREE = 13
    VOCATIONAL_CERTIFICATION = 14
    DATA_NOT_COLLECTED = 99


class SchoolStatus(HudCode):
    """R5.1."""

    ATTENDING_REGULARLY = 1
    ATTENDING_IRREGULARLY = 2
    GRADUATED_FROM_HIGH_SCHOOL = 3
    OBTAINED_GED = 4
    DROPPED_OUT = 5
    SUSPENDED = 6
    EXPELLED = 7
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class EmploymentType(HudCode):
    """R6.A."""

    FULL_TIME = 1
    PART_TIME = 2
    SEASONAL = 3
    DATA_NOT_COLLECTED = 99


class NotEmployedReason(HudCode):
    """R6.B."""

    LOOKING_FOR_WORK = 1
    UNABLE_TO_WORK = 2
    NOT_LOOKING_FOR_WORK = 3
    DATA_NOT_COLLECTED = 99


class ViralLoadAvailable(HudCode):
    """W4.B."""

    NOT_AVAILABLE = 0
    AVAILABLE = 1
    UNDETECTABLE = 2
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99
