"""Looks for canaries, texts that only one place may hold, in whatever spelling, in bytes from anywhere."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

_ALIGNMENTS: Final = 3


class Found(NamedTuple):
    """A canary, where it was found."""

    canary: str
    place: str


class Canaries:
    """Texts to look for, in all their spellings at once. Of many, `stems` are what some of them all have in them."""

    def __init__(self, texts: Iterable[str], stems: Iterable[str] = ()) -> None:
        self._of: dict[bytes, str] = {form: text for text in texts for form in forms(text)}
        sought = {form for stem in stems for form in forms(stem)} or self._of
        self._any = re.compile(b"|".join(map(re.escape, sought)))

    def found(self, content: bytes) -> set[str]:
        """The texts that bytes hold."""
        lower = content.lower()
        if not self._any.search(lower):
            return set()
        return {text for form, text in self._of.items() if form in lower}

    def search(self, places: Iterable[tuple[str, bytes]]) -> Iterator[Found]:
        """The texts that any of these places holds."""
        for place, content in places:
            for text in self.found(content):
                yield Found(text, place)


def forms(text: str) -> set[bytes]:
    """How a text may be spelled, in lower case: plain, JSON, HTML, URL, hex, base64 at each alignment, UTF-16."""
    found: set[bytes] = set()
    for one in {text, text.lower(), text.upper(), text.casefold()}:
        raw = one.encode()
        found |= {raw, html.escape(one).encode(), quote_plus(one).encode()}
        found |= {quote(one).encode(), quote(one, safe="").encode()}
        found |= {json.dumps(one)[1:-1].encode(), json.dumps(one, ensure_ascii=False)[1:-1].encode()}
        found |= {json.dumps(json.dumps(one)[1:-1])[1:-1].encode()}
        found |= {"".join(f"\\u{unit:04x}" for unit in _units(one)).encode(), raw.hex().encode()}
        for encoded in (raw, one.encode("utf-16-le"), one.encode("utf-16-be")):
            found |= {encoded, *_base64(encoded)}
    return {form.lower() for form in found}


def _units(text: str) -> Iterator[int]:
    raw = text.encode("utf-16-be")
    return (int.from_bytes(raw[place : place + 2]) for place in range(0, len(raw), 2))


def _base64(raw: bytes) -> Iterator[bytes]:
    """As it stands in the base64 of a longer text: only the characters that nothing beside it has a part in."""
    for before in range(_ALIGNMENTS):
        start, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + raw)[start:end]


def spellings(content: bytes) -> Iterator[bytes]:
    """The bytes themselves, and every text in them if they are JSON, whatever its escapes and nesting."""
    yield content
    try:
        decoded = json.loads(content)
    except ValueError:
        return
    yield "\n".join(_texts(decoded)).encode(errors="surrogatepass")


def _texts(decoded: object) -> Iterator[str]:
    if isinstance(decoded, str):
        yield decoded
    elif isinstance(decoded, Mapping):
        for name, value in decoded.items():
            yield from (name, *_texts(value))
    elif isinstance(decoded, Sequence):
        for value in decoded:
            yield from _texts(value)
