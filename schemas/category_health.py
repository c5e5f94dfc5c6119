"""Data categories about health and safety, each in a box of its own because each has a law of its own."""

from typing import Annotated

from pydantic import Field

from schemas import client_codes as client
from schemas.codes import NoYes, NoYesReasons
from schemas.fields import DataCategoryModel, Day
from schemas.living_situations import LeavingHospital, LeavingPsychiatricFacility, LeavingSubstanceUseTreatment


class Disability(DataCategoryModel):
    """HUD 3.08 disabling condition, 4.05 physical, 4.06 developmental; the conditions 4.08 to 4.10 have own boxes."""

    disabling_condition: NoYesReasons | None = None
    physical_disability: NoYesReasons | None = None
    developmental_disability: NoYesReasons | None = None
    indefinite_and_impairs: NoYesReasons | None = None
    physical_disability_fam: NoYesReasons | None = None
    disabled_hoh: NoYesReasons | None = None


class Health(DataCategoryModel):
    """HUD 4.04 insurance, 4.07 chronic condition, R7 general and dental health, R8 pregnancy; stays in a hospital."""

    information_date: Day | None = None
    living_situation: LeavingHospital | None = None
    chronic_health_condition: NoYesReasons | None = None
    general_health_status: client.HealthStatus | None = None
    dental_health_status: client.HealthStatus | None = None
    pregnancy_status: NoYesReasons | None = None
    current_pregnant: NoYesReasons | None = None
    due_date: Day | None = None
    insurance_from_any_source: NoYesReasons | None = None


class MentalHealth(DataCategoryModel):
    """HUD 4.09 mental health disorder, R7 status, V10 consultation, P3 PATH (which serves serious mental illness)."""

    information_date: Day | None = None
    living_situation: LeavingPsychiatricFacility | None = None
    mental_health_disorder: NoYesReasons | None = None
    indefinite_and_impairs: NoYesReasons | None = None
    mental_health_status: client.HealthStatus | None = None
    mental_health_consultation: client.MentalHealthConsultation | None = None
    mental_health_disorder_fam: NoYesReasons | None = None
    date_of_path_status: Day | None = None
    client_enrolled_in_path: NoYes | None = None
    reason_not_enrolled: client.ReasonNotEnrolledInPath | None = None


class SubstanceUse(DataCategoryModel):
    """HUD 4.10 substance use disorder; stays in a treatment facility (42 CFR part 2)."""

    information_date: Day | None = None
    living_situation: LeavingSubstanceUseTreatment | None = None
    substance_use_disorder: client.SubstanceUseDisorder | None = None
    indefinite_and_impairs: NoYesReasons | None = None
    alcohol_drug_use_disorder_fam: NoYesReasons | None = None


class Hiv(DataCategoryModel):
    """HUD 4.08 HIV/AIDS, W3 medical assistance, W4 T-cell count and viral load."""

    information_date: Day | None = None
    hiv_aids: NoYesReasons | None = None
    indefinite_and_impairs: NoYesReasons | None = None
    adap: NoYesReasons | None = None
    ryan_white_med_dent: NoYesReasons | None = None
    t_cell_count_available: NoYesReasons | None = None
    t_cell_count: Annotated[int, Field(ge=0, le=1500)] | None = None
    viral_load_available: client.ViralLoadAvailable | None = None
    viral_load: Annotated[int, Field(ge=0, le=999_999)] | None = None
    anti_retroviral: NoYesReasons | None = None


class DomesticViolence(DataCategoryModel):
    """HUD 4.11: survivor of domestic violence, when it was last, whether now fleeing."""

    information_date: Day | None = None
    domestic_violence_survivor: NoYesReasons | None = None
    when_occurred: client.WhenOccurred | None = None
    currently_fleeing: NoYesReasons | None = None
