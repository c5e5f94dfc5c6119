"""A filter wants a unit if every value that it names is the unit's, or fits it."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.shelter_beds.feed.filters import EVERYTHING, Filter, Wish
from tests.support.said_units import said_unit

UNIT: dict[str, Any] = {
    "project_type": 0,
    "area": "Harbor",
    "pets": True,
    "minimum_age": 18,
    "maximum_age": 24,
    "gender_policy": "women",
}
FITS: list[dict[str, Any]] = [
    {"household_type": "without_children"},
    {"project_type": "0"},
    {"organization": "harbor-shelter"},
    {"area": "Harbor"},
    {"accessible": "false"},
    {"pets": "true"},
    {"low_barrier": "false"},
    {"couples": "false"},
    {"veterans_only": "false"},
    {"open": "true"},
    {"unit_id": "a"},
    {"age": "18"},
    {"age": "24"},
    {"gender": "women"},
    {"pets": "true", "age": "20", "area": "Harbor"},
]
DOES_NOT: list[dict[str, Any]] = [
    {"household_type": "with_children"},
    {"project_type": "1"},
    {"organization": "another"},
    {"area": "harbor"},
    {"accessible": "true"},
    {"pets": "false"},
    {"low_barrier": "true"},
    {"couples": "true"},
    {"veterans_only": "true"},
    {"open": "false"},
    {"unit_id": "b"},
    {"age": "17"},
    {"age": "25"},
    {"gender": "men"},
    {"gender": "everyone"},
    {"pets": "true", "age": "30"},
]


@pytest.mark.parametrize("named", FITS, ids=str)
def test_what_fits_is_wanted(named: dict[str, Any]) -> None:
    assert Filter.model_validate(named).matches(said_unit("a", **UNIT))


@pytest.mark.parametrize("named", DOES_NOT, ids=str)
def test_what_does_not_is_not(named: dict[str, Any]) -> None:
    assert not Filter.model_validate(named).matches(said_unit("a", **UNIT))


def test_a_unit_for_everyone_and_one_that_asks_fit_whatever_is_asked() -> None:
    for policy in ("everyone", "as_asked"):
        for gender in ("women", "men", "women_and_children", "everyone"):
            assert Filter.model_validate({"gender": gender}).matches(said_unit("a", gender_policy=policy))


def test_what_a_unit_does_not_show_fits_no_filter() -> None:
    silent = said_unit("a", open=None, shown="call", confidential=True)
    for named in ({"open": True}, {"open": False}, {"area": "Harbor"}, {"project_type": 0}):
        assert not Filter.model_validate(named).matches(silent)
    assert EVERYTHING.matches(silent)
    assert not EVERYTHING.matches(None)


def test_a_tests_unit_and_a_real_one_are_never_wanted_together() -> None:
    for pets in (None, True):
        for is_test in (False, True):
            wanted = Filter(test=is_test, pets=pets)
            found = [wanted.matches(said_unit("a", **UNIT, test=each)) for each in (is_test, not is_test)]
            assert found == [True, False]


def test_nobody_wishes_for_the_other_kind() -> None:
    with pytest.raises(ValidationError):
        Wish.model_validate({"test": "true"})


def test_equal_filters_share_their_frames() -> None:
    assert Filter.model_validate({"age": "30"}) == Filter(age=30)
    assert hash(Filter.model_validate({"age": "30"})) == hash(Filter(age=30))


@pytest.mark.parametrize(
    "named", [{"project_type": "x"}, {"project_type": "99"}, {"age": "121"}, {"gender": "x"}], ids=str
)
def test_an_unknown_value_is_refused(named: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Filter.model_validate(named)
