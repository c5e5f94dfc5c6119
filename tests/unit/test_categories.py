"""Data categories: twenty, closed, each with a valid example, and none that says more than its name."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import categories as data_categories
from schemas.categories import (
    CATEGORIES,
    CATEGORY_MODELS,
    FHIR_PURPOSE,
    PURPOSES,
    Category,
    Segments,
    segment,
)
from schemas.codes import HudCode, LivingSituation
from schemas.living_situations import INSTITUTION_CATEGORY
from schemas.need import household_band

EXAMPLES = Path(data_categories.__file__).parent / "examples" / "categories"
NEED = {"service": "ES", "household_type": "without_children", "household_size": 1, "beds": 1}


def _example(category: str) -> dict[str, object]:
    example: dict[str, object] = json.loads((EXAMPLES / f"{category}.json").read_text())
    return example


def test_there_are_twenty_categories_each_with_a_model_and_an_example_and_no_orphans() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 20
    assert set(CATEGORY_MODELS) == set(CATEGORIES)
    assert {path.stem for path in EXAMPLES.iterdir()} == set(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_example_is_valid_from_json_and_from_python_and_comes_out_as_it_went_in(category: Category) -> None:
    example = _example(category)
    assert segment(category, example) == example
    assert CATEGORY_MODELS[category].model_validate_json(json.dumps(example)).plain() == example


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_refuses_a_field_it_does_not_know(category: Category) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        segment(category, _example(category) | {"favourite_colour": "green"})


@pytest.mark.parametrize("category", [category for category in CATEGORIES if category != "need"])
@pytest.mark.parametrize("nothing", [{}, {"information_date": None}])
def test_a_category_that_holds_nothing_is_refused(category: Category, nothing: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        segment(category, nothing)


CODED = [
    (category, name, code_list)
    for category, model in CATEGORY_MODELS.items()
    for name, field in model.model_fields.items()
    for code_list in HudCode.__subclasses__()
    if code_list.__name__ in repr(field.annotation) + repr(field.metadata)
]


def test_the_coded_fields_were_found() -> None:
    assert len(CODED) > 100


@pytest.mark.parametrize(("category", "name", "code_list"), CODED, ids=str)
def test_a_coded_field_takes_its_codes_and_nothing_that_looks_like_one(
    category: Category, name: str, code_list: type[HudCode]
) -> None:
    code = next(code for code in code_list if _takes(category, name, code.value))
    strangers = [7777, -1, str(code.value), float(code.value), True, [code.value], code.name]
    assert [stranger for stranger in strangers if _takes(category, name, stranger)] == []


def _takes(category: Category, name: str, value: object) -> bool:
    try:
        return bool(segment(category, {name: value})[name] == value)
    except ValidationError:
        return False


@pytest.mark.parametrize(
    ("category", "field", "value"),
    [
        ("identity", "first_name", ""),
        ("identity", "first_name", "   "),
        ("identity", "first_name", "a\x00b"),
        ("identity", "first_name", "a\nb"),
        ("identity", "first_name", r"a\u0000b"),
        ("identity", "first_name", "a\u2028b"),
        ("identity", "first_name", "\x9b31m"),
        ("identity", "first_name", "\ud800"),
        ("identity", "first_name", "x" * 101),
        ("identity", "first_name", 7),
        ("identity", "ssn", "123-45-6789"),
        ("identity", "ssn", "12345678"),
        ("identity", "dob", "02-07-2023"),
        ("identity", "dob", "2023-02-30"),
        ("identity", "dob", "20230207"),
        ("identity", "dob", "2023-02-07T00:00:00Z"),
        ("identity", "dob", 19000),
        ("income", "total_monthly_income", 1204.5),
        ("income", "total_monthly_income", "1,204"),
        ("location", "enrollment_coc", "IL"),
        ("contact", "email", "rosa at example"),
        ("documents", "photo_id", 1),
        ("notes", "text", "x" * 4001),
        ("notes", "text", "bell \x07"),
        ("veteran", "year_separated", 206),
    ],
)
def test_malformed_values_are_refused_by_name_and_not_repeated(category: Category, field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        segment(category, {field: value})
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]
    assert str(value) not in str(refusal.value) or len(str(value).strip()) < 4


def test_notes_may_have_lines_and_names_any_script() -> None:
    assert segment("notes", {"text": "first\n\tsecond"})
    assert segment("identity", {"first_name": "Zoë", "last_name": "李"})


def test_dates_may_come_as_dates() -> None:
    assert segment("identity", {"dob": date(1988, 4, 17)}) == {"dob": "1988-04-17"}


@pytest.mark.parametrize(
    ("size", "band"), [(1, "1"), (2, "2"), (3, "3-4"), (4, "3-4"), (5, "5-7"), (7, "5-7"), (8, "8+"), (99, "8+")]
)
def test_a_household_size_is_kept_only_as_its_band(size: int, band: str) -> None:
    assert segment("need", NEED | {"household_size": size})["household_size"] == band
    assert segment("need", NEED | {"household_size": band})["household_size"] == band


@given(st.integers(1, 98))
def test_a_larger_household_is_never_in_a_smaller_band(size: int) -> None:
    bands = ["1", "2", "3-4", "5-7", "8+"]
    smaller, larger = household_band(size), household_band(size + 1)
    assert isinstance(smaller, str)
    assert isinstance(larger, str)
    assert bands.index(smaller) <= bands.index(larger)


@pytest.mark.parametrize("size", [0, -1, 100, True, 2.0, "2-3", "many", None])
def test_a_household_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        segment("need", NEED | {"household_size": size})


@pytest.mark.parametrize("missing", NEED)
def test_a_need_says_service_household_and_beds(missing: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        segment("need", {name: value for name, value in NEED.items() if name != missing})


@pytest.mark.parametrize(("situation", "category"), INSTITUTION_CATEGORY.items(), ids=str)
def test_a_stay_in_an_institution_is_not_housing_history(situation: LivingSituation, category: Category) -> None:
    assert segment(category, {"living_situation": situation.value})
    for other in ("housing_history", "health", "mental_health", "substance_use", "justice"):
        if other != category:
            assert not _takes(other, "living_situation", situation.value)
    assert not _takes("location", "current_living_situation", situation.value)


def test_segments_are_every_category_but_the_need_and_nothing_else() -> None:
    assert set(Segments.model_fields) == set(CATEGORIES) - {"need"}
    some: dict[str, object] = {"identity": _example("identity"), "notes": _example("notes")}
    assert Segments.model_validate(some).plain() == some
    with pytest.raises(ValidationError):
        Segments.model_validate({"need": _example("need")})
    with pytest.raises(ValidationError):
        Segments.model_validate({"identity": {"first_name": "Rosa", "shoe_size": 38}})


def test_every_purpose_has_its_fhir_code() -> None:
    assert set(FHIR_PURPOSE) == set(PURPOSES)
    assert len(PURPOSES) == 4


def test_the_generated_schema_says_what_a_code_means() -> None:
    schema = CATEGORY_MODELS["domestic_violence"].model_json_schema()
    assert "1 within three months" in json.dumps(schema)
