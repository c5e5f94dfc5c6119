"""The words of the pages: one catalogue per language, chosen by the address, a cookie or the browser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from fastapi import Request

LANGUAGES: Final = ("en", "es")
COOKIE: Final = "lang"
LASTS_SECONDS: Final = 365 * 24 * 3600
_PREFERRED: Final = re.compile(r"\s*([A-Za-z]{1,8})[A-Za-z0-9-]*\s*(?:;\s*q=([01](?:\.[0-9]{1,3})?))?\s*")


@dataclass(frozen=True)
class Catalogue:
    """All that pages say in one language, by key; a key with a number has the forms `.one` and `.other`."""

    language: str
    messages: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """Say a message; KeyError for one that no catalogue has. `count` chooses the form of the number."""
        if key not in self.messages:
            key = f"{key}.{'one' if values.get('count') == 1 else 'other'}"
        return self.messages[key].format(**values)

    def __contains__(self, key: str) -> bool:
        return key in self.messages or f"{key}.other" in self.messages

    def first(self, *keys: str, **values: object) -> str:
        """Say the first of these messages that there is."""
        return self(next(key for key in keys if key in self), **values)

    def part(self, *prefixes: str) -> dict[str, str]:
        """Return the messages whose keys begin so: what a script of a page says."""
        return {key: text for key, text in self.messages.items() if key.startswith(prefixes)}


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of one of LANGUAGES."""
    path = Path(__file__).parent / "messages" / f"{language}.yaml"
    return Catalogue(language, yaml.safe_load(path.read_text(encoding="utf-8")))


def chosen(request: Request) -> str:
    """Return a request's language: what its address asks for, else its cookie, else its browser."""
    for asked in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if asked in LANGUAGES:
            return str(asked)
    return preferred(request.headers.get("accept-language", ""))


def preferred(header: str) -> str:
    """Return the language that an Accept-Language header likes best of those there are; else English."""
    best, weight = LANGUAGES[0], 0.0
    for part in header[:500].split(","):
        found = _PREFERRED.fullmatch(part)
        if found is None:
            continue
        language, liked = found[1].lower(), float(found[2] or 1)
        if language in LANGUAGES and liked > weight:
            best, weight = language, liked
    return best
