"""The scanner finds a text in whatever spelling, at whatever place of longer bytes; and no text that is not there."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from tests.support.canary import Canaries, spellings

NAMES = ["Mágdalena O'Nïmb 0017", 'José "Pepe" <b>Ñandú</b>; DROP\nTABLE', "🦩 flamingo-7781", "مريم الطائر 4421"]
SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "upper": lambda text: text.upper().encode(),
    "folded": lambda text: text.casefold().encode(),
    "json": lambda text: json.dumps({"a": text}).encode(),
    "json in json": lambda text: json.dumps(json.dumps(text)).encode(),
    "json, all escaped": lambda text: b"\\u" + text.encode("utf-16-be").hex(" ", 2).replace(" ", "\\u").encode(),
    "html": lambda text: html.escape(text).encode(),
    "url": lambda text: quote(text).encode(),
    "form": lambda text: quote_plus(text).encode(),
    "hex": lambda text: text.encode().hex().upper().encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 at an odd place": lambda text: b"x" + text.encode("utf-16-be"),
    "base64 at its start": lambda text: base64.b64encode(text.encode()),
    "base64 after one": lambda text: base64.b64encode(b"{" + text.encode() + b"}"),
    "base64 after two": lambda text: base64.b64encode(b"[{" + text.encode() + b"}]"),
    "base64 after many": lambda text: base64.b64encode(b"[{ " * 99 + text.encode() + b"}]"),
    "base64, url": lambda text: base64.urlsafe_b64encode(b"?" + text.encode() + b"?"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_found_in_every_spelling(name: str, spelling: str) -> None:
    content = b"before " + SPELLINGS[spelling](name) + b" after"
    written = spellings(SPELLINGS[spelling](name)) if spelling.startswith("json") else [content]
    assert {found for one in written for found in Canaries(NAMES).found(one)} == {name}


def test_what_is_not_there_is_not_found() -> None:
    assert Canaries(NAMES).found(" ".join(name[:-1] for name in NAMES).encode() + bytes(range(256)) * 9) == set()
