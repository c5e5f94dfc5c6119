"""Places at the feed: one API client may take so many, and nobody all the filters; who leaves gives the place back."""

from contextlib import ExitStack

import pytest

from services.kit.problems import Problem
from services.shelter_beds.feed.filters import EVERYTHING, EVERYTHING_OF, Filter
from services.shelter_beds.feed.places import RETRY_AFTER_SECONDS, Places


def wanting(age: int) -> Filter:
    return Filter(age=age)


def refusal(places: Places, client_id: str, wanted: Filter = EVERYTHING) -> str:
    with pytest.raises(Problem) as raised, places.taken(client_id, wanted):
        pass
    assert raised.value.headers == {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return raised.value.name


def test_one_client_has_so_many_connections_and_another_its_own() -> None:
    places = Places(2, 10)
    with places.taken("a", EVERYTHING):
        with places.taken("a", wanting(1)):
            assert refusal(places, "a") == "too-many-feeds"
            with places.taken("b", EVERYTHING), places.taken("b", EVERYTHING):
                assert refusal(places, "b") == "too-many-feeds"
        with places.taken("a", EVERYTHING):
            pass


def test_one_client_may_use_a_fifth_of_the_filters() -> None:
    places = Places(100, 10)
    with places.taken("a", wanting(1)), places.taken("a", wanting(2)), places.taken("a", EVERYTHING):
        assert refusal(places, "a", wanting(3)) == "too-many-feeds"
        with places.taken("a", wanting(2)), places.taken("b", wanting(3)):
            pass
    with places.taken("a", wanting(3)), places.taken("a", wanting(4)):
        pass


def test_all_together_use_so_many_filters_and_those_in_use_are_open_to_everybody() -> None:
    places = Places(100, 3)
    with ExitStack() as running:
        for number in range(3):
            running.enter_context(places.taken(f"client-{number}", wanting(number)))
        assert refusal(places, "late", wanting(9)) == "too-many-filters"
        with places.taken("late", wanting(1)), places.taken("late", EVERYTHING):
            pass
    with places.taken("late", wanting(9)):
        pass


def test_everything_is_made_anyway_for_tests_too() -> None:
    places = Places(100, 1)
    with places.taken("a", wanting(1)), places.taken("b", EVERYTHING), places.taken("b", EVERYTHING_OF[True]):
        assert refusal(places, "b", Filter(age=1, test=True)) == "too-many-filters"


def test_nothing_is_kept_of_who_has_left() -> None:
    places = Places(100, 3)
    for number in range(1000):
        with pytest.raises(ZeroDivisionError), places.taken(f"client-{number}", wanting(number % 120)):
            raise ZeroDivisionError
    assert (len(places._connections), len(places._wanted), len(places._filters)) == (0, 0, 0)
