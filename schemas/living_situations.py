"""Which data category a living situation belongs to: a stay in an institution tells what one was there for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from schemas.codes import LivingSituation
from schemas.events import DataCategory

# HUD asks where the person came from with one list. In one box it would show treatment for mental illness or substance
# use (42 CFR 2.11 "identifying a patient") and imprisonment to whoever may know the housing history.
INSTITUTION_CATEGORY: Final[Mapping[LivingSituation, DataCategory]] = MappingProxyType(
    {
        LivingSituation.PSYCHIATRIC_FACILITY: "mental_health",
        LivingSituation.SUBSTANCE_USE_TREATMENT_FACILITY: "substance_use",
        LivingSituation.HOSPITAL: "health",
        LivingSituation.LONG_TERM_CARE: "health",
        LivingSituation.JAIL_OR_PRISON: "justice",
    }
)
_ONLY_CURRENT = (LivingSituation.OTHER, LivingSituation.WORKER_UNABLE_TO_DETERMINE)


def living_situation_category(situation: LivingSituation) -> DataCategory:
    """Name the category whose box may hold this prior living situation."""
    return INSTITUTION_CATEGORY.get(situation, "housing_history")


def _only_for(category: DataCategory) -> Callable[[LivingSituation], LivingSituation]:
    def check(situation: LivingSituation) -> LivingSituation:
        belongs = living_situation_category(situation)
        if belongs != category:
            raise ValueError(f"this living situation belongs to the category {belongs}")
        return situation

    return check


def _no_institution(situation: LivingSituation) -> LivingSituation:
    if situation in INSTITUTION_CATEGORY:
        raise ValueError(f"this living situation would disclose the category {INSTITUTION_CATEGORY[situation]}")
    return situation


def _prior(situation: LivingSituation) -> LivingSituation:
    if situation in _ONLY_CURRENT:
        raise ValueError("this code exists only for a current living situation")
    return situation


def _said(*allowed: LivingSituation) -> Any:  # noqa: ANN401 - pydantic's own type for it
    """Let the JSON Schema list the codes that the validators take, and no others."""
    return Field(json_schema_extra={"enum": [situation.value for situation in allowed]})


def _of(category: DataCategory) -> tuple[LivingSituation, ...]:
    return tuple(each for each in LivingSituation if living_situation_category(each) == category)


PriorHousing = Annotated[
    LivingSituation,
    AfterValidator(_only_for("housing_history")),
    AfterValidator(_prior),
    _said(*(each for each in _of("housing_history") if each not in _ONLY_CURRENT)),
]
CurrentHousing = Annotated[LivingSituation, AfterValidator(_no_institution), _said(*_of("housing_history"))]
LeavingHospital = Annotated[LivingSituation, AfterValidator(_only_for("health")), _said(*_of("health"))]
LeavingPsychiatricFacility = Annotated[
    LivingSituation, AfterValidator(_only_for("mental_health")), _said(*_of("mental_health"))
]
LeavingSubstanceUseTreatment = Annotated[
    LivingSituation, AfterValidator(_only_for("substance_use")), _said(*_of("substance_use"))
]
LeavingJail = Annotated[LivingSituation, AfterValidator(_only_for("justice")), _said(*_of("justice"))]
