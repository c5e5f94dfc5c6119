"""The page on interoperability: its examples are what the code answers, and it says where every field goes."""

import re

from schemas.beds import Unit
from services.webhooks.notices import AVAILABILITY_TYPE, HOLD_TYPES
from tests.contracts.interop_page import PAGE, page

TEXT = PAGE.read_text(encoding="utf-8")


def test_its_examples_are_what_the_code_answers() -> None:
    """To write them anew: `python -m tests.contracts.interop_page`."""
    assert page() == TEXT


def test_it_says_of_each_field_where_it_goes() -> None:
    table = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    named = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(Unit.__struct_fields__)


def test_it_names_every_type_of_webhook_about_beds() -> None:
    assert {kind for kind in (*HOLD_TYPES, AVAILABILITY_TYPE) if f"`{kind}`" not in TEXT} == set()
