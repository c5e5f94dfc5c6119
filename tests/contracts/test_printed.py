"""The list to print: every unit once, in words of either language, escaped, with nothing that runs."""

import html
import re
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.beds import Unit
from services.shelter_beds.interop.printed import LANGUAGES, POLICY, Language, age, preferred, sheet, words
from tests.contracts.interop_units import EVERY_KIND, NOW, by_phone, confidential, full, small

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


def cells(unit: Unit, language: Language = "en") -> dict[str, str]:
    """The text of a unit's cells, by column; parts of one are separated by a bar."""
    written = dict(re.findall(r'<td class="(\w+)">(.*?)</td>', sheet([unit], NOW, language)))
    return {
        name: html.unescape(re.sub(r"<[^>]+>", "", cell.replace("<small", "|<small"))) for name, cell in written.items()
    }


def test_both_languages_say_the_same_things() -> None:
    english, spanish = (words(language) for language in LANGUAGES)
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        fields = [{name for _, name, _, _ in Formatter().parse(each) if name} for each in (text, spanish[key])]
        assert fields[0] == fields[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_unit_has_a_row_and_the_page_its_time(language: Language) -> None:
    page = sheet(EVERY_KIND, NOW, language)
    assert page.count("<tr><td") == len(EVERY_KIND)
    assert "2026-11-25 20:00 CST" in page
    assert f'<html lang="{language}">' in page


def test_nothing_known_is_said() -> None:
    assert "No units are known." in sheet([], NOW, "en")


def test_what_a_navigator_must_know_is_there() -> None:
    assert cells(full(gender_policy="women", minimum_age=18)) == {
        "free": "3|of 12",
        "unit": "Harbor Family Rooms|Harbor Shelter · Riverside",
        "who": "Adults with children|women, from 18 years, couples, accessible, pets, low barrier",
        "intake": "16:00 to 21:00|last in 23:00",
        "phone": "+1 555 0100",
        "reported": "40 min ago",
    }


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        (full(available=0, occupied=9, open=False, status="no-capacity"), "0|of 12"),
        (full(open=False, status="waitlist"), "No|Waiting list"),
        (full(open=False, status="no-capacity"), "No|Full"),
        (full(status="additional-assessment-required"), "3|Assessment first"),
        (full(opens_on="2026-12-01", open=False), "No|Out of season"),
        (small(), "Yes"),
        (small(open=False, status="no-capacity"), "No"),
        (by_phone(), "Call"),
    ],
)
def test_how_many_are_free(unit: Unit, shown: str) -> None:
    assert cells(unit)["free"] == shown


def test_a_confidential_unit_has_a_phone_and_no_place() -> None:
    shown = cells(confidential())
    assert (shown["unit"], shown["intake"], shown["phone"]) == ("Safe House|confidential place", "", "+1 555 0100")


def test_those_with_room_come_first_and_then_those_to_be_called() -> None:
    page = sheet([full(open=False, name="A"), by_phone(name="B"), small(name="C")], NOW, "en")
    assert re.findall("<b>([ABC])</b>", page) == ["C", "B", "A"]


@pytest.mark.parametrize(
    ("passed", "english", "spanish"),
    [
        (timedelta(seconds=-3), "just now", "ahora mismo"),
        (timedelta(minutes=119), "119 min ago", "hace 119 min"),
        (timedelta(hours=2), "2 h ago", "hace 2 h"),
        (timedelta(days=2), "2 days ago", "hace 2 días"),
    ],
)
def test_ages_are_said_in_words(passed: timedelta, english: str, spanish: str) -> None:
    assert [age(NOW - passed, NOW, words(language)) for language in LANGUAGES] == [english, spanish]


def test_a_report_that_is_overdue_is_said_to_be() -> None:
    assert cells(full(report_due_by="2026-11-26T01:59:00.000000Z"))["reported"] == "40 min ago|overdue"
    assert cells(full(reported_at=None, report_due_by=None))["reported"] == "never"


@pytest.mark.parametrize(
    ("asked", "header", "language"),
    [
        (None, "", "en"),
        (None, "es-MX,es;q=0.9,en;q=0.8", "es"),
        (None, "fr, es", "es"),
        (None, "fr", "en"),
        ("en", "es", "en"),
    ],
)
def test_the_language_is_that_asked_for_or_the_browsers(asked: str | None, header: str, language: str) -> None:
    assert preferred(asked, header) == language


@given(TEXT)
def test_no_text_of_a_shelter_becomes_markup(text: str) -> None:
    unit = full(name=text, area=f"<script>{text}", phone=f'" onload="{text}', organization_name=f"</td>{text}")
    page = sheet([unit], NOW, "en")
    tags = re.findall(r"<[^>]*>", page)
    assert tags == re.findall(r"<[^>]*>", sheet([full()], NOW, "en"))
    assert html.unescape(page).count(f"<script>{text}") == 1


def test_only_its_own_style_may_be_used() -> None:
    (style,) = re.findall("<style>(.*?)</style>", sheet(EVERY_KIND, NOW, "en"), re.DOTALL)
    assert f"default-src 'none'; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" == POLICY
