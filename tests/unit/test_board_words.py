"""The board's words: all languages say the same, pages and scripts have no words of their own, times are right."""

import re
from datetime import UTC, datetime, time
from string import Formatter
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from schemas.beds import Unit
from schemas.codes import ProjectType
from schemas.events import DataCategory, ReferralStatus
from services.kit.problem_types import PROBLEM_TYPES
from services.shelter_beds.board import cards, language, pages, times
from services.shelter_beds.board.filters import Wanted
from services.shelter_beds.board.language import LANGUAGES, catalogue, preferred
from services.shelter_beds.board.referring import SERVICES
from tests.support.tree import ROOT

BOARD = ROOT / "services" / "shelter_beds" / "board"
EN, ES = catalogue("en"), catalogue("es")
TEMPLATES = sorted((BOARD / "templates").glob("*.html"))
SCRIPTS = sorted((BOARD / "static").glob("*.js"))
CHICAGO = ZoneInfo("America/Chicago")
NOW = datetime(2026, 11, 26, 8, 5, tzinfo=UTC)  # 02:05 there


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def spaced(text: str) -> str:
    """A text with spaces where lines may not break."""
    return text.replace("\u00a0", " ")


def test_all_languages_say_the_same_things() -> None:
    assert set(LANGUAGES) == {path.stem for path in (BOARD / "messages").iterdir()}
    assert sorted(EN.messages) == sorted(ES.messages)
    different = [key for key in EN.messages if placeholders(EN.messages[key]) != placeholders(ES.messages[key])]
    assert different == []


def test_each_number_has_both_its_forms() -> None:
    keys = set(EN.messages)
    alone = [key for key in keys if key.endswith(".one") and f"{key[:-4]}.other" not in keys]
    assert alone == []
    assert spaced(EN("duration.days", count=1)) == "1 day"
    assert ES("summary.free", count=2) == "2 camas libres"


def test_every_message_that_a_page_says_is_there_and_every_one_there_is_said() -> None:
    text = "\n".join(path.read_text() for path in (*TEMPLATES, *SCRIPTS, *BOARD.glob("*.py")))
    said = set(re.findall(r"(?:\bt|\bsay|\bwords)\(\s*\"([a-z_.]+)\"\s*[,)]", text))
    prefixes = set(re.findall(r"\"([a-z_.]+\.)\" ~", text)) | set(re.findall(r"f\"([a-z_.]+\.)\{", text))
    assert sorted(key for key in said if key not in EN) == []
    chosen = set(re.findall(r"\"((?:live|intake|hold|report)\.[a-z_]+)\"", text)) | {"household_type", "problem.other"}
    # live.js says `live.` and a state.
    used = said | chosen | {f"live.{each}" for each in ("as_of", "live", "reconnecting", "lost", "signed_out")}
    unused = [
        key
        for key in EN.messages
        if key.removesuffix(".one").removesuffix(".other") not in used
        and not key.startswith((*prefixes, "household_type."))
    ]
    assert unused == []


def test_pages_have_no_words_of_their_own() -> None:
    for path in TEMPLATES:
        written = re.sub(r"\{% block (?:data|kind) %\}.*?\{% endblock %\}", "", path.read_text())
        bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", written, flags=re.DOTALL)
        for attribute in re.findall(r"(?:aria-label|alt|title|placeholder|content)=\"([^\"]*)\"", bare):
            assert (
                not re.search(r"[A-Za-z]{3,}", attribute)
                or "width=device-width" in attribute
                or attribute == "light dark"
            )
        words = re.sub(r"<[^>]*>", " ", re.sub(r"<!doctype html>", "", bare))
        assert re.findall(r"[A-Za-z]{2,}", words) == [], path.name


def test_scripts_have_no_words_of_their_own() -> None:
    for path in SCRIPTS:
        code = re.sub(r"//.*|/\*.*?\*/", "", path.read_text())
        for literal in re.findall(r"\"([^\"]*)\"|`([^`]*)`", code):
            text = re.sub(r"\$\{.*?\}", "", "".join(literal))
            assert not re.search(r"[A-Za-z]{2,} [a-zA-Z]{2,}", text), (path.name, text)


def test_whatever_can_be_shown_has_its_words() -> None:
    for words in (EN, ES):
        for category in get_args(DataCategory):
            assert f"category.{category}" in words
        for status in (*get_args(ReferralStatus), "closed"):
            assert f"status.{status}" in words
    shown = {key.split(".")[1] for key in EN.messages if key.startswith("problem.")} - {"title", "other"}
    assert shown <= set(PROBLEM_TYPES)
    assert set(SERVICES) <= set(ProjectType)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", "en"), ("es", "es"), ("es-MX,es;q=0.9,en;q=0.8", "es"), ("en-US,en;q=0.9,es;q=0.8", "en"),
     ("fr;q=1.0, es;q=0.4", "es"), ("de", "en"), (";;;q=", "en"), ("es;q=0", "en")],
)  # fmt: skip
def test_the_browser_s_favourite_language_is_taken(header: str, expected: str) -> None:
    assert preferred(header) == expected


@pytest.mark.parametrize(
    ("ago", "until_due", "expected"),
    [
        (20, 600, "reported just now"),
        (59 * 60, 60, "reported 59 min ago"),
        (3 * 3600, 1, "reported 3 h ago"),
        (12 * 3600 + 2400, -2400, "reported 12 h ago, next report due"),
        (2 * 3600 + 2400, -2400, "reported 2 h ago, next report due"),
        (3600 + 2400, -2400, "reported 1 h ago, overdue by 40 min"),
        (50 * 3600, -38 * 3600, "reported 2 days ago, overdue by 38 h"),
    ],
)
def test_how_old_a_report_is(ago: float, until_due: float, expected: str) -> None:
    now = NOW.timestamp()
    assert spaced(times.report(EN, now - ago, now + until_due, now)) == expected


@pytest.mark.parametrize(
    ("opens", "closes", "state", "at"),
    [
        (None, None, None, None),
        (time(17), time(2, 45), "open", "02:45"),  # past midnight
        (time(17), time(21), "closed", "17:00"),
        (None, time(22), "open", "22:00"),
        (None, time(1), "closed", None),
        (time(1), None, "open", None),
        (time(17), None, "closed", "17:00"),
    ],
)
def test_whether_a_door_is_open_at_five_past_two(
    opens: time | None, closes: time | None, state: str | None, at: str | None
) -> None:
    found = times.intake(NOW, CHICAGO, opens, closes)
    assert (found.state if found else None) == state
    assert (times.clock(found.changes_at, CHICAGO) if found and found.changes_at else None) == at


def test_a_door_closes_when_the_clock_of_its_own_place_says() -> None:
    before_the_clocks_change = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # 00:30 in Chicago, of a day with 25 hours
    found = times.intake(before_the_clocks_change, CHICAGO, time(17), time(3))
    assert found is not None
    assert found.changes_at == datetime(2026, 11, 1, 9, tzinfo=UTC)
    said = times.door(EN, "open", found.changes_at.timestamp(), before_the_clocks_change.timestamp())
    assert spaced(said) == "closes in 3 h"


def test_open_and_fresh_units_come_first() -> None:
    units = [
        unit("full", open=False, available=0),
        unit("stale", open=True, available=9, reported_at="2026-11-25T00:00:00Z", report_due_by="2026-11-25T12:00:00Z"),
        unit("few", open=True, available=1),
        unit("many", open=True, available=7),
        unit("shut", open=True, available=9, intake_from="17:00", intake_until="21:00"),
        unit("list", open=False, available=3, status="waitlist"),
        unit("ask", open=None, available=None, shown="call"),
    ]
    found = cards.cards(units, NOW.timestamp())
    assert [each.unit.name for each in found] == ["many", "few", "stale", "shut", "ask", "list", "full"]


def test_what_is_looked_for_is_read_from_an_address() -> None:
    wanted = Wanted.of(
        {"open": "true", "pets": "maybe", "age": "", "gender": "women", "beds": "2", "x": "1", "lang": "es"}
    )
    assert wanted.asked == {"open": "true", "gender": "women", "beds": "2"}
    assert wanted.address(open=None, pets="true") == "?gender=women&beds=2&pets=true"
    assert wanted.feed == "open=true&gender=women"
    fitting = unit("a", open=True, available=2, gender_policy="women_and_children")
    small, mens = unit("b", open=True, available=1), unit("c", open=True, available=2, gender_policy="men")
    assert wanted.of_units([fitting, small, mens]) == [fitting]


def test_only_our_own_files_are_served() -> None:
    for name in ("../session.py", "board.css/../../app.py", "", "nothing.js"):
        with pytest.raises(KeyError):
            pages.static_file(name)
    assert {path.name for path in (BOARD / "static").iterdir()} == set(pages.STATIC)


def test_the_language_of_a_catalogue_is_known() -> None:
    assert [catalogue(each).language for each in language.LANGUAGES] == ["en", "es"]


def unit(name: str, **said: object) -> Unit:
    fields = {
        "unit_id": name, "organization": "harbor", "organization_name": "Harbor", "name": name,
        "household_type": "without_children", "season": "year_round", "status": "capacity", "shown": "counts",
        "hold_policy": "instant", "version": 1, "updated_at": "2026-11-26T08:00:00Z", "time_zone": "America/Chicago",
        "reported_at": "2026-11-26T08:00:00Z", "report_due_by": "2026-11-26T20:00:00Z",
    }  # fmt: skip
    return Unit(**(fields | said))  # type: ignore[arg-type]
