"""Data categories about who the person is, where they have lived and what they have."""

from typing import Literal

from schemas import client_codes as client
from schemas import codes
from schemas.codes import DataQuality, NoYes, NoYesMissing, NoYesReasons, ReasonMissing
from schemas.fields import (
    CocCode,
    DataCategoryModel,
    Day,
    Dollars,
    Email,
    FreeText,
    LanguageTag,
    Months,
    People,
    Phone,
    Score,
    ShortText,
    SocialSecurityNumber,
    State,
    StationNumber,
    Year,
    ZipCode,
)
from schemas.living_situations import CurrentHousing, LeavingJail, PriorHousing
from schemas.need import HouseholdType


class Identity(DataCategoryModel):
    """HUD 3.01 name, 3.02 Social Security number, 3.03 date of birth."""

    first_name: ShortText | None = None
    middle_name: ShortText | None = None
    last_name: ShortText | None = None
    name_suffix: ShortText | None = None
    name_data_quality: DataQuality | None = None
    ssn: SocialSecurityNumber | None = None
    ssn_data_quality: DataQuality | None = None
    dob: Day | None = None
    dob_data_quality: DataQuality | None = None


class Contact(DataCategoryModel):
    """How to reach the person, and in which language (BCP 47)."""

    phone: Phone | None = None
    email: Email | None = None
    address1: ShortText | None = None
    address2: ShortText | None = None
    city: ShortText | None = None
    state: State | None = None
    zip: ZipCode | None = None
    preferred_language: LanguageTag | None = None
    translation_needed: NoYesReasons | None = None


class Demographics(DataCategoryModel):
    """HUD 3.04 race and ethnicity, 4.21 sex."""

    sex: client.Sex | None = None
    am_ind_ak_native: NoYes | None = None
    asian: NoYes | None = None
    black_af_american: NoYes | None = None
    hispanic_latinao: NoYes | None = None
    mid_east_n_african: NoYes | None = None
    native_hi_pacific: NoYes | None = None
    white: NoYes | None = None
    race_none: ReasonMissing | None = None
    additional_race_ethnicity: ShortText | None = None


class Household(DataCategoryModel):
    """HUD 3.15 relationship to the head of household, and the household's shape (V7)."""

    relationship_to_hoh: codes.RelationshipToHeadOfHousehold | None = None
    household_type: HouseholdType | None = None
    household_size: People | None = None
    single_parent: NoYesMissing | None = None
    dependent_under6: client.DependentUnder6 | None = None
    hh5_plus: NoYesMissing | None = None


class Veteran(DataCategoryModel):
    """HUD 3.07 veteran status, V1 service, V6 VA medical centre."""

    veteran_status: NoYesReasons | None = None
    year_entered_service: Year | None = None
    year_separated: Year | None = None
    world_war_ii: NoYesReasons | None = None
    korean_war: NoYesReasons | None = None
    vietnam_war: NoYesReasons | None = None
    desert_storm: NoYesReasons | None = None
    afghanistan_oef: NoYesReasons | None = None
    iraq_oif: NoYesReasons | None = None
    iraq_ond: NoYesReasons | None = None
    other_theater: NoYesReasons | None = None
    military_branch: client.MilitaryBranch | None = None
    discharge_status: client.DischargeStatus | None = None
    vamc_station: StationNumber | None = None


class HousingHistory(DataCategoryModel):
    """HUD 3.917 prior living situation, 3.20 move-in, R1 and R11 care as a child, V7 risk of losing housing."""

    living_situation: PriorHousing | None = None
    rental_subsidy_type: codes.RentalSubsidyType | None = None
    length_of_stay: codes.LengthOfStay | None = None
    los_under_threshold: NoYes | None = None
    previous_street_essh: NoYes | None = None
    date_to_street_essh: Day | None = None
    times_homeless_past_three_years: codes.TimesHomeless | None = None
    months_homeless_past_three_years: codes.MonthsHomeless | None = None
    date_of_engagement: Day | None = None
    move_in_date: Day | None = None
    runaway_youth: NoYesReasons | None = None
    former_ward_child_welfare: NoYesReasons | None = None
    child_welfare_years: client.CareYears | None = None
    child_welfare_months: Months | None = None
    time_to_housing_loss: client.TimeToHousingLoss | None = None
    literal_homeless_history: client.LiteralHomelessHistory | None = None
    client_leaseholder: NoYesMissing | None = None
    hoh_leaseholder: NoYesMissing | None = None
    subsidy_at_risk: NoYesMissing | None = None
    eviction_history: client.EvictionHistory | None = None


class Assessment(DataCategoryModel):
    """HUD 4.19 coordinated entry assessment, V7 prevention targeting."""

    assessment_date: Day | None = None
    assessment_type: codes.AssessmentType | None = None
    assessment_level: codes.AssessmentLevel | None = None
    prioritization_status: codes.PrioritizationStatus | None = None
    target_screen_reqd: NoYes | None = None
    coc_prioritized: NoYesMissing | None = None
    hp_screening_score: Score | None = None
    threshold_score: Score | None = None


class Income(DataCategoryModel):
    """HUD 4.02 income and sources, 4.03 non-cash benefits, V4 and V7 share of the area's median income, R6 and R13."""

    information_date: Day | None = None
    income_from_any_source: NoYesReasons | None = None
    total_monthly_income: Dollars | None = None
    earned: NoYesMissing | None = None
    earned_amount: Dollars | None = None
    unemployment: NoYesMissing | None = None
    unemployment_amount: Dollars | None = None
    tanf: NoYesMissing | None = None
    tanf_amount: Dollars | None = None
    ga: NoYesMissing | None = None
    ga_amount: Dollars | None = None
    soc_sec_retirement: NoYesMissing | None = None
    soc_sec_retirement_amount: Dollars | None = None
    pension: NoYesMissing | None = None
    pension_amount: Dollars | None = None
    child_support: NoYesMissing | None = None
    child_support_amount: Dollars | None = None
    alimony: NoYesMissing | None = None
    alimony_amount: Dollars | None = None
    other_income_amount: Dollars | None = None
    benefits_from_any_source: NoYesReasons | None = None
    snap: NoYesMissing | None = None
    wic: NoYesMissing | None = None
    employed: NoYesReasons | None = None
    employment_type: client.EmploymentType | None = None
    not_employed_reason: client.NotEmployedReason | None = None
    percent_ami: client.PercentAmi | None = None
    annual_percent_ami: client.AnnualPercentAmi | None = None
    unemployment_fam: NoYesReasons | None = None
    insufficient_income: NoYesReasons | None = None


class Documents(DataCategoryModel):
    """Which papers the person holds that housing usually asks for; no numbers and no copies."""

    photo_id: bool | None = None
    birth_certificate: bool | None = None
    social_security_card: bool | None = None
    proof_of_income: bool | None = None
    proof_of_homelessness: bool | None = None
    immigration_document: bool | None = None


class Justice(DataCategoryModel):
    """HUD V7 and R11 to R13: juvenile justice, records, imprisonment; 3.917 where it is a jail or prison."""

    living_situation: LeavingJail | None = None
    former_ward_juvenile_justice: NoYesReasons | None = None
    juvenile_justice_years: client.CareYears | None = None
    juvenile_justice_months: Months | None = None
    incarcerated_parent: NoYesReasons | None = None
    criminal_record: NoYesMissing | None = None
    incarcerated_adult: client.IncarceratedAdult | None = None
    prison_discharge: NoYesMissing | None = None
    sex_offender: NoYesMissing | None = None


class Education(DataCategoryModel):
    """HUD R4 last grade completed, R5 school status."""

    last_grade_completed: client.LastGradeCompleted | None = None
    school_status: client.SchoolStatus | None = None


class Location(DataCategoryModel):
    """Where the person can be found: HUD 3.16 enrolment CoC, 4.12 current living situation."""

    information_date: Day | None = None
    enrollment_coc: CocCode | None = None
    current_living_situation: CurrentHousing | None = None
    address1: ShortText | None = None
    address2: ShortText | None = None
    city: ShortText | None = None
    state: State | None = None
    zip: ZipCode | None = None


class Notes(DataCategoryModel):
    """The only free text there is."""

    text: FreeText | None = None
    language: LanguageTag | None = None
    about: Literal["arrival", "safety", "care", "other"] | None = None
