"""HUD's code lists (HMIS Data Dictionary, FY2026) as enums: the name of a member is the meaning of its code.

8, 9 and 99 are HUD's three reasons for missing data; they are answers, not gaps.
"""

from enum import IntEnum
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class HudCode(IntEnum):
    """A code of one list: exactly an integer of it, never a string, a float or a boolean that would compare equal."""

    @classmethod
    def meanings(cls) -> str:
        """Every code with its meaning, as one line for people who read the generated API documents."""
        return "; ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        # The integer comes first: to a literal alone True and 1.0 are 1.
        exactly: list[CoreSchema] = [
            core_schema.int_schema(strict=True),
            core_schema.literal_schema([code.value for code in cls]),
        ]
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.chain_schema(exactly),
            serialization=core_schema.plain_serializer_function_ser_schema(int, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "integer",
            "enum": [code.value for code in cls],
            "title": cls.__name__,
            "description": cls.meanings(),
        }


class NoYes(HudCode):
    """1.10."""

    NO = 0
    YES = 1


class NoYesMissing(HudCode):
    """1.7, and with points V7.1."""

    NO = 0
    YES = 1
    DATA_NOT_COLLECTED = 99


class NoYesReasons(HudCode):
    """1.8."""

    NO = 0
    YES = 1
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class ReasonMissing(HudCode):
    """1.6: why no race or ethnicity is given."""

    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class ProjectType(HudCode):
    """2.02.6."""

    EMERGENCY_SHELTER_ENTRY_EXIT = 0
    EMERGENCY_SHELTER_NIGHT_BY_NIGHT = 1
    TRANSITIONAL_HOUSING = 2
    PERMANENT_SUPPORTIVE_HOUSING = 3
    STREET_OUTREACH = 4
    SERVICES_ONLY = 6
    OTHER = 7
    SAFE_HAVEN = 8
    PERMANENT_HOUSING_ONLY = 9
    PERMANENT_HOUSING_WITH_SERVICES = 10
    DAY_SHELTER = 11
    HOMELESSNESS_PREVENTION = 12
    RAPID_REHOUSING = 13
    COORDINATED_ENTRY = 14


class HmisParticipationType(HudCode):
    """2.08.1; a comparable database is what a victim service provider keeps instead of the HMIS."""

    NOT_PARTICIPATING = 0
    HMIS_PARTICIPATING = 1
    COMPARABLE_DATABASE_PARTICIPATING = 2


class InventoryHouseholdType(HudCode):
    """2.07.4."""

    WITHOUT_CHILDREN = 1
    WITH_AT_LEAST_ONE_ADULT_AND_ONE_CHILD = 3
    WITH_ONLY_CHILDREN = 4


class InventoryAvailability(HudCode):
    """2.07.5."""

    YEAR_ROUND = 1
    SEASONAL = 2
    OVERFLOW = 3


class EmergencyShelterBedType(HudCode):
    """2.07.6."""

    FACILITY_BASED = 1
    OTHER = 2
    VOUCHER = 3


class DataQuality(HudCode):
    """3.01.5, 3.02.2, 3.03.2: how complete a name, a Social Security number or a date of birth is."""

    FULL_REPORTED = 1
    PARTIAL_REPORTED = 2
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class RelationshipToHeadOfHousehold(HudCode):
    """3.15.1."""

    SELF = 1
    CHILD = 2
    SPOUSE_OR_PARTNER = 3
    OTHER_RELATIVE = 4
    UNRELATED_MEMBER = 5
    DATA_NOT_COLLECTED = 99


class LivingSituation(HudCode):
    """3.12.1 as of 3.917 (prior living situation) and 4.12 (current; 17 and 37 occur only there)."""

    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    OTHER = 17
    WORKER_UNABLE_TO_DETERMINE = 37
    DATA_NOT_COLLECTED = 99
    EMERGENCY_SHELTER = 101
    PLACE_NOT_MEANT_FOR_HABITATION = 116
    SAFE_HAVEN = 118
    PSYCHIATRIC_FACILITY = 204
    SUBSTANCE_USE_TREATMENT_FACILITY = 205
    HOSPITAL = 206
    JAIL_OR_PRISON = 207
    FOSTER_CARE = 215
    LONG_TERM_CARE = 225
    TRANSITIONAL_HOUSING = 302
    HOTEL_WITHOUT_VOUCHER = 314
    HALFWAY_HOUSE = 329
    HOST_HOME = 332
    WITH_FAMILY = 335
    WITH_FRIENDS = 336
    RENTAL_WITHOUT_SUBSIDY = 410
    OWNED_WITHOUT_SUBSIDY = 411
    OWNED_WITH_SUBSIDY = 421
    RENTAL_WITH_SUBSIDY = 435


class RentalSubsidyType(HudCode):
    """3.12.A."""

    VASH = 419
    OTHER_ONGOING_SUBSIDY = 420
    GRANT_PER_DIEM_TRANSITION_IN_PLACE = 428
    RAPID_REHOUSING = 431
    HOUSING_CHOICE_VOUCHER = 433
    PUBLIC_HOUSING_UNIT = 434
    HOUSING_STABILITY_VOUCHER = 436
    FAMILY_UNIFICATION_VOUCHER = 437
    FOSTER_YOUTH_TO_INDEPENDENCE = 438
    PERMANENT_SUPPORTIVE_HOUSING = 439
    OTHER_PERMANENT_HOUSING = 440


class LengthOfStay(HudCode):
    """3.917.2."""

    ONE_WEEK_TO_ONE_MONTH = 2
    ONE_MONTH_TO_90_DAYS = 3
    DAYS_90_TO_ONE_YEAR = 4
    ONE_YEAR_OR_LONGER = 5
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    ONE_NIGHT_OR_LESS = 10
    TWO_TO_SIX_NIGHTS = 11
    DATA_NOT_COLLECTED = 99


class TimesHomeless(HudCode):
    """3.917.4."""

    ONE_TIME = 1
    TWO_TIMES = 2
    THREE_TIMES = 3
    FOUR_OR_MORE_TIMES = 4
    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99


class MonthsHomeless(HudCode):
    """3.917.5."""

    CLIENT_DOES_NOT_KNOW = 8
    CLIENT_PREFERS_NOT_TO_ANSWER = 9
    DATA_NOT_COLLECTED = 99
    ONE = 101
    TWO = 102
    THREE = 103
    FOUR = 104
    FIVE = 105
    SIX = 106
    SEVEN = 107
    EIGHT = 108
    NINE = 109
    TEN = 110
    ELEVEN = 111
    TWELVE = 112
    MORE_THAN_TWELVE = 113


class CoordinatedEntryEvent(HudCode):
    """4.20.2; 10 to 15, 17 and 18 are referrals to an opening."""

    PREVENTION_ASSISTANCE = 1
    PROBLEM_SOLVING = 2
    CRISIS_NEEDS_ASSESSMENT = 3
    HOUSING_NEEDS_ASSESSMENT = 4
    POST_PLACEMENT_CASE_MANAGEMENT = 5
    STREET_OUTREACH = 6
    HOUSING_NAVIGATION = 7
    NON_CONTINUUM_INELIGIBLE = 8
    NON_CONTINUUM_NO_AVAILABILITY = 9
    EMERGENCY_SHELTER_OPENING = 10
    TRANSITIONAL_HOUSING_OPENING = 11
    JOINT_TH_RRH_OPENING = 12
    RAPID_REHOUSING_OPENING = 13
    PERMANENT_SUPPORTIVE_HOUSING_OPENING = 14
    OTHER_PERMANENT_HOUSING_OPENING = 15
    EMERGENCY_ASSISTANCE = 16
    EMERGENCY_HOUSING_VOUCHER = 17
    HOUSING_STABILITY_VOUCHER = 18


class ReferralResult(HudCode):
    """4.20.D."""

    CLIENT_ACCEPTED = 1
    CLIENT_REJECTED = 2
    PROVIDER_REJECTED = 3


class AssessmentType(HudCode):
    """4.19.3."""

    PHONE = 1
    VIRTUAL = 2
    IN_PERSON = 3


class AssessmentLevel(HudCode):
    """4.19.4."""

    CRISIS_NEEDS_ASSESSMENT = 1
    HOUSING_NEEDS_ASSESSMENT = 2


class PrioritizationStatus(HudCode):
    """4.19.7."""

    PLACED_ON_PRIORITIZATION_LIST = 1
    NOT_PLACED_ON_PRIORITIZATION_LIST = 2
