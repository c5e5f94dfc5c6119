"""One sequence of bytes for one value: canonical JSON, written and read.

Sorted keys, no white space, UTF-8, absent instead of null or default, no NUL, no lone surrogate.
"""

from typing import TypeVar

import msgspec

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder(order="sorted")
_NUL = b"\\u0000"


class NotCanonical(ValueError):
    """The value has no canonical form, or the bytes are not it."""


def encode(value: object) -> bytes:
    """The canonical bytes of a struct, or of plain dicts, lists, strings, integers and booleans."""
    try:
        encoded = _ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise NotCanonical("a lone surrogate") from error
    _refuse_nul(encoded)
    return encoded


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The one value that `raw` is the canonical form of.

    Encoding again and comparing finds duplicate keys, explicit nulls, white space and every other second spelling.
    Raises NotCanonical for those, msgspec.MsgspecError for what is not the decoder's type.
    """
    try:
        value = decoder.decode(raw)
        if _ENCODER.encode(value) != raw:
            raise NotCanonical("another spelling of the same value")
    except (UnicodeError, RecursionError) as error:
        raise NotCanonical("not UTF-8 JSON") from error
    _refuse_nul(raw)
    return value


def _refuse_nul(encoded: bytes) -> None:
    if b"\\" in encoded and _NUL in encoded:  # also a backslash before "u0000" in a text: nobody needs one
        raise NotCanonical("a NUL character")
