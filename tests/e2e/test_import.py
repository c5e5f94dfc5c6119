"""An export with faults brought into a whole stack: what can be read is taken, and the rest is told."""

from pathlib import Path

import pytest

from services.cli.hmis.malformations import malform
from tests.support.governance import Caller
from tests.support.hmis import SAMPLE
from tests.support.importing import Place, Ran, excerpt, traces, words
from tests.support.stack import StackProcess

DAMAGES = (
    "byte-order-mark",
    "date-bad",
    "event-date-bad",
    "provider-flag-bad",
    "column-missing",
    "row-short",
    "quote-open",
)


@pytest.fixture(scope="module")
def place(running_stack: StackProcess) -> Place:
    return Place(running_stack, Caller(running_stack, **running_stack.admin))


def test_a_damaged_export_is_taken_as_far_as_it_can_be_read(place: Place, tmp_path: Path) -> None:
    folder = damaged(tmp_path)
    ran = place.takes(folder)
    assert (ran.code, ran.refusals, ran.errors) == (0, [], "")
    assert {"bad-date", "bad-code", "missing-column", "bad-row", "bad-csv"} <= whats(ran)
    assert ran.made("organizations") == 10
    assert ran.made("referrals") > 0
    (folder / "Export.csv").unlink()
    nameless = place.takes(folder)
    assert (nameless.code, nameless.report["source"], nameless.made("organizations")) == (1, None, 0)
    assert "missing-file" in whats(nameless)


def damaged(folder: Path) -> Path:
    export = excerpt(SAMPLE, folder / "export", "damaged")
    for damage in DAMAGES:
        malform(export, damage)
    return export


def whats(ran: Ran) -> set[str]:
    return {each["what"] for each in ran.report["findings"]}


def test_what_is_refused_is_told_and_the_rest_goes_on(place: Place, tmp_path: Path) -> None:
    folder = excerpt(SAMPLE, tmp_path / "export", "refused")
    replace(folder / "Organization.csv", "The United Planet", "x" * 300)
    replace(folder / "Event.csv", "2021-10-07", "2099-10-07")
    ran = place.takes(folder)
    assert (ran.code, ran.errors) == (1, "")
    assert ran.made("organizations") == 9
    told = {(each["kind"], each["about"]): each["why"] for each in ran.refusals}
    assert told["organizations", "refused-6"].startswith("invalid-body: name")
    assert told["referrals", "event 5325734 to refused-6"].startswith("unknown-organization")
    future = [why for (_, about), why in told.items() if about.startswith("event 5049368 to ")]
    assert "invalid-body: must not be in the future (occurred_at)" in future
    assert ran.made("referrals") > 0
    assert traces(folder) & words(ran.printed) == set()


def replace(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
