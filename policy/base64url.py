"""Base64url without padding (RFC 4648 section 5): one spelling for each value."""

import base64
import binascii


def encode(raw: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Read what `encode` writes and nothing else; ValueError for any other spelling of the same bytes.

    Python's own decoder skips foreign characters and ignores the unused bits of the last one, so one value would
    have many spellings; a token could then be altered and still verify.
    """
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
    if encode(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
