"""Client codes: short enough for a card, with a last character that shows most mistakes in copying."""

import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O that look like digits, and no U."""
CHARACTERS: Final = 10
"""50 bits, guessed ten times in ten minutes at most (guesses)."""
GROUPS: Final = (4, 4, 3)
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_BITS: Final = 5
_POLYNOMIAL: Final = 0b100101  # x^5 + x^2 + 1, primitive: doubling runs through all 31 values


def new() -> str:
    """Make a code, with its check character, as it stands on a card."""
    said = "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))
    return grouped(said + check_character(said))


def heard(typed: str) -> str:
    """Return what was typed in the one spelling that codes are kept by."""
    return typed.upper().translate(_READ_AS)


def is_one(heard_code: str) -> bool:
    """Whether it is spelled like a code: what is not need not be looked up, nor counted as a guess."""
    if len(heard_code) != CHARACTERS + 1 or not set(heard_code) <= set(ALPHABET):
        return False
    return check_character(heard_code[:-1]) == heard_code[-1]


def check_character(said: str) -> str:
    """Return the character that makes the sum of all, each doubled once more than the next, zero.

    In the field of 32 elements: any one character mistaken for another shows, and any two that changed places.
    """
    total = 0
    for character in said:
        total = _doubled(total ^ ALPHABET.index(character))
    return ALPHABET[total]


def grouped(said: str) -> str:
    """Write a code in groups that are easy to read out."""
    ends = [sum(GROUPS[: number + 1]) for number in range(len(GROUPS))]
    return "-".join(said[end - size : end] for size, end in zip(GROUPS, ends, strict=True))


def _doubled(value: int) -> int:
    doubled = value << 1
    return doubled ^ _POLYNOMIAL if doubled >> _BITS else doubled
