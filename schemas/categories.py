"""The twenty data categories: closed schemas with HUD's FY2026 field names (in snake case) and codes.

A field stands in the category whose disclosure it would be, not in the file that HUD exports it in: a stay in a
psychiatric hospital is mental health, not housing history; AIDS drug assistance is HIV, not income.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_args

from pydantic import create_model

from schemas.category_health import (
    Disability,
    DomesticViolence,
    Health,
    Hiv,
    MentalHealth,
    SubstanceUse,
)
from schemas.category_person import (
    Assessment,
    Contact,
    Demographics,
    Documents,
    Education,
    Household,
    HousingHistory,
    Identity,
    Income,
    Justice,
    Location,
    Notes,
    Veteran,
)
from schemas.events import DataCategory, PurposeOfUse
from schemas.fields import Closed
from schemas.need import Need

Category: TypeAlias = DataCategory
Purpose: TypeAlias = PurposeOfUse
CATEGORIES: Final[tuple[Category, ...]] = get_args(DataCategory)
PURPOSES: Final[tuple[Purpose, ...]] = get_args(PurposeOfUse)

# HL7 v3 ActReason, PurposeOfUse: care management, coordination of care, eligibility determination.
FHIR_PURPOSE: Final[Mapping[Purpose, str]] = MappingProxyType(
    {
        "shelter-placement": "CAREMGT",
        "housing-placement": "CAREMGT",
        "care-coordination": "COC",
        "eligibility-determination": "ELIGDTRM",
    }
)

CATEGORY_MODELS: Final[Mapping[Category, type[Closed]]] = MappingProxyType(
    {
        "need": Need,
        "identity": Identity,
        "contact": Contact,
        "demographics": Demographics,
        "household": Household,
        "veteran": Veteran,
        "housing_history": HousingHistory,
        "assessment": Assessment,
        "disability": Disability,
        "income": Income,
        "documents": Documents,
        "health": Health,
        "mental_health": MentalHealth,
        "substance_use": SubstanceUse,
        "hiv": Hiv,
        "domestic_violence": DomesticViolence,
        "justice": Justice,
        "education": Education,
        "location": Location,
        "notes": Notes,
    }
)

_segment_fields: dict[str, Any] = {
    category: (model | None, None) for category, model in CATEGORY_MODELS.items() if category != "need"
}
Segments: type[Closed] = create_model(
    "Segments",
    __base__=Closed,
    __doc__="What a publisher says about one client, by data category; the need is not said per client.",
    **_segment_fields,
)


def segment(category: Category, data: Mapping[str, object]) -> dict[str, Any]:
    """Give the fields of one category as the JSON values to seal; pydantic.ValidationError names what is refused."""
    return CATEGORY_MODELS[category].model_validate(data).plain()
