"""Reason codes: stable, each in one table, all on one page."""

import re

from policy import reasons
from tests.policy.mutants import FOLDER
from tests.policy.reason_codes_page import PAGE, page

TABLES = (reasons.RESULTS, reasons.DENIALS, reasons.WITHHELD, reasons.OBLIGATIONS)
# Words of the policy that look like a code and are something else.
OTHER_WORDS = {"care-coordination", "shelter-placement"}


def test_the_page_is_made_from_the_tables() -> None:
    """To write it anew: `python -m tests.policy.reason_codes_page`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_each_code_stands_in_one_table() -> None:
    assert len(set().union(*TABLES)) == sum(map(len, TABLES))
    assert all(re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", code) for table in TABLES for code in table)


def test_the_policy_gives_every_code_and_no_other() -> None:
    """The control: what the tables hold and what the code says are found in each other."""
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if path.name != "reasons.py")
    said = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9.]+)+)"', source)) - OTHER_WORDS
    codes = {code for table in TABLES for code in table}
    assert said <= codes
    assert {code for code in codes if f'"{code}"' not in source} == set()
