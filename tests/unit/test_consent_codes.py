"""Client codes as they are made, written and typed."""

from hypothesis import given
from hypothesis import strategies as st

from services.consent.codes import ALPHABET, CHARACTERS, check_character, grouped, heard, is_one, new

SAID = st.text(ALPHABET, min_size=CHARACTERS, max_size=CHARACTERS)


def whole(said: str) -> str:
    return said + check_character(said)


@given(SAID, st.data())
def test_one_character_mistaken_for_another_shows(said: str, data: st.DataObject) -> None:
    code = whole(said)
    place = data.draw(st.integers(0, CHARACTERS))
    other = data.draw(st.sampled_from([each for each in ALPHABET if each != code[place]]))
    assert not is_one(code[:place] + other + code[place + 1 :])


@given(SAID, st.integers(0, CHARACTERS), st.integers(0, CHARACTERS))
def test_two_characters_that_changed_places_show(said: str, one: int, other: int) -> None:
    swapped = list(whole(said))
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert is_one("".join(swapped)) == ("".join(swapped) == whole(said))


@given(SAID)
def test_a_code_is_heard_however_it_is_typed(said: str) -> None:
    code = whole(said)
    assert is_one(code)
    typed = grouped(code).lower().replace("0", "o").replace("1", "l")
    assert heard(typed) == heard(f" {grouped(code)} ".replace("1", "I")) == code


def test_new_codes_differ_and_look_like_what_they_are() -> None:
    made = {new() for _ in range(200)}
    assert len(made) == 200
    for code in made:
        assert [len(group) for group in code.split("-")] == [4, 4, 3]
        assert is_one(heard(code))
        assert set(heard(code)) <= set(ALPHABET)


def test_what_is_no_code_is_none_whatever_it_is_made_of() -> None:
    code = whole("0" * CHARACTERS)
    assert [is_one(each) for each in (code, code[1:], code + "0", "", "\u00d1" * len(code), "u" * len(code))] == [
        True,
        *[False] * 5,
    ]
