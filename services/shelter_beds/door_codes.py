"""Codes that a person can say at a door: a word and a number, like BLUE-42. Not a secret, but nobody else's there."""

import re
import secrets
from collections.abc import Container
from typing import Final

# Short, told apart by ear in English and in Spanish mouths, and no word that could hurt whoever has to say it.
# fmt: off
WORDS: Final = (
    "AMBER", "APPLE", "BEACH", "BERRY", "BIRCH", "BLUE", "BREAD", "BRIDGE", "CANDLE", "CEDAR", "CHERRY", "CLOUD",
    "COPPER", "CORAL", "CREEK", "DAISY", "DANCE", "EAGLE", "EMERALD", "FALCON", "FERN", "FOREST", "GARDEN", "GINGER",
    "GOLD", "GREEN", "HARBOR", "HONEY", "INDIGO", "ISLAND", "IVY", "JADE", "JASMINE", "KITE", "LAKE", "LEMON", "LILAC",
    "MAPLE", "MEADOW", "MELON", "MINT", "MOON", "MUSIC", "OCEAN", "OLIVE", "ORANGE", "PAPER", "PEACH", "PEARL", "PLUM",
    "POPPY", "RIVER", "ROSE", "RUBY", "SILVER", "SPARROW", "STAR", "SUMMER", "SUNNY", "TULIP", "VALLEY", "VIOLET",
    "WALNUT", "WILLOW",
)
# fmt: on
SMALLEST: Final = 10
LARGEST: Final = 99
SPOKEN: Final = re.compile(r"^\s*([A-Za-z]+)[\s-]*([0-9]{2})\s*$", re.ASCII)


def new(taken: Container[str]) -> str:
    """Make a code that is not among those `taken` at the door."""
    while True:
        code = f"{secrets.choice(WORDS)}-{SMALLEST + secrets.randbelow(LARGEST - SMALLEST + 1)}"
        if code not in taken:
            return code


def heard(text: str) -> str | None:
    """Return a code as it is written, whatever way it was typed after being said; None for what can't be one."""
    found = SPOKEN.match(text)
    return f"{found[1].upper()}-{found[2]}" if found else None
