"""A client's card: plain words in two languages, and nothing that comes from elsewhere or names anybody."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from services.consent.cards import Language, card

CODE = "7KQ2-M8XR-4TG"
ENDS = datetime(2027, 3, 1, 23, tzinfo=UTC)
LANGUAGES: tuple[Language, ...] = ("en", "es")


class Outline(HTMLParser):
    """The names of a page's elements and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_loads_and_runs_nothing(language: Language) -> None:
    answer = card(CODE, ENDS, language, None)
    page = bytes(answer.body).decode()
    outline = Outline(page)
    assert not {"script", "link", "img", "iframe", "form", "a", "object"} & set(outline.elements)
    assert not {name for name in outline.attributes if name.startswith("on") or name in {"src", "href", "style"}}
    assert not re.search(r"url\(|@import|https?:", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("language", "day"), [("en", "March 1, 2027"), ("es", "1 de marzo de 2027")])
def test_a_card_says_the_code_and_its_end_in_the_clients_language(language: Language, day: str) -> None:
    page = bytes(card(CODE, ENDS, language, None).body).decode()
    assert f'<html lang="{language}">' in page
    assert page.count(CODE) == 1
    assert day in page
    assert not re.search(r"violen|shelter|refugio|treatment|tratamiento|survivor|homeless", page, re.IGNORECASE)


def test_both_languages_say_the_same_things() -> None:
    english, spanish = (Outline(bytes(card(CODE, ENDS, each, "1-800").body).decode()) for each in LANGUAGES)
    assert english.elements == spanish.elements


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_help_line_stands_on_it_if_there_is_one(language: Language) -> None:
    with_line, without = (bytes(card(CODE, ENDS, language, one).body).decode() for one in ("1-800-555-0142", None))
    assert "1-800-555-0142" in with_line
    assert "<strong>" not in without
