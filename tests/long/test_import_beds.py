"""An export's beds in a whole stack: units and occupancy as its files say, and again without doubling anything."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.cli.hmis.variants import Variant, write_variant
from tests.support.governance import Caller
from tests.support.hmis import SAMPLE
from tests.support.importing import Place, traces, words
from tests.support.recorded_beds import expected
from tests.support.stack import started_stack

NIGHT = "2022-09-30"
SCOPES = ["beds:read", "beds:write"]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with started_stack() as stack:
        yield Place(stack, Caller(stack, **stack.admin))


@pytest.fixture(scope="module")
def imported(place: Place) -> dict[str, Any]:
    """The sample's beds, imported once; the report."""
    ran = place.takes(SAMPLE, "--only", "beds", "--time-zone", "America/Chicago")
    assert (ran.code, ran.refusals) == (0, []), ran.errors
    assert ran.report["seconds"] < 60
    return ran.report


def units(place: Place, source: str = "1106") -> dict[str, dict[str, Any]]:
    """The units of an import by external id, as the administrator sees them."""
    listed = place.admin.get(place.url("shelter_beds", "/units"), limit="200").json()["items"]
    found = {each["profile"]["external_id"]: each for each in listed}
    return {name: each for name, each in found.items() if name.startswith(f"{source}-")}


def availability(place: Place) -> dict[str, dict[str, Any]]:
    """What anybody who may look sees, by unit id."""
    desk = shelter(place, "1106-93")
    listed = desk.get(place.url("shelter_beds", "/availability"), limit="200").json()["items"]
    return {each["unit_id"]: each for each in listed}


def shelter(place: Place, organization: str) -> Caller:
    """An imported organization's own system."""
    made = place.admin.post(f"/organizations/{organization}/credentials", {"name": "beds", "scopes": SCOPES})
    return Caller(place.stack, made.json()["client_id"], made.json()["client_secret"])


def test_units_and_occupancy_are_as_the_files_say(place: Place, imported: dict[str, Any]) -> None:
    say = expected(SAMPLE, "1106", NIGHT)
    assert sum(taken for _, taken in say.values()) > 60  # what is to be compared is there
    found = units(place)
    assert {name: (each["maximum"], each["occupied"]) for name, each in found.items()} == say
    results = imported["results"]
    assert (results["units"]["made"], results["censuses"]["made"], results["censuses"]["present"]) == (8, 7, 1)
    assert imported["files"]["Inventory.csv"] == {"rows": 49, "taken": 8, "skipped": 41}
    assert results["registrations"]["made"] == results["referrals"]["made"] == 0
    public = availability(place)
    for each in found.values():
        seen = public[each["id"]]
        assert (seen["available"], seen["occupied"]) == (each["maximum"] - each["occupied"], each["occupied"])
        # As old as it is: nobody may take it for tonight's.
        assert seen["reported_at"] == "2022-10-01T05:00:00.000000Z"
    overflow = found["1106-4303"]
    assert (overflow["profile"]["season"], overflow["profile"]["opens_on"]) == ("overflow", "2021-01-27")
    assert [name for name, each in found.items() if each["profile"]["resets_at"]] == ["1106-3508"]
    assert {each["organization"] for each in found.values()} == {
        "1106-1361",
        "1106-93",
        "1106-773",
        "1106-75",
        "1106-106",
    }


def test_twice_doubles_nothing_and_takes_nothing_back(place: Place, imported: dict[str, Any]) -> None:
    assert imported["results"]["units"]["refused"] == 0
    before = units(place)
    unit, desk = before["1106-3549"], shelter(place, "1106-1361")
    path = place.url("shelter_beds", f"/units/{unit['id']}/census")
    said = desk.http.put(path, json={"available": 5, "as_of": datetime.now(UTC).isoformat()})
    assert said.status_code == 200, said.text
    again = place.takes(SAMPLE, "--only", "beds", "--time-zone", "America/Chicago")
    assert (again.code, again.made("units"), again.present("units")) == (0, 0, 8)
    after = units(place)
    assert {name: each["id"] for name, each in after.items()} == {name: each["id"] for name, each in before.items()}
    assert after.pop("1106-3549")["available"] == 5  # what the shelter has said since is newer
    assert {name: each["occupied"] for name, each in after.items()} == {
        name: each["occupied"] for name, each in before.items() if name in after
    }


@pytest.mark.usefixtures("imported")
def test_a_replay_says_each_recorded_night_with_the_shelters_own_words(place: Place) -> None:
    nights = ["2022-01-10", "2022-01-11", "2022-01-12", "2022-01-13"]
    options = ("--speed", "8640000", "--from", nights[0], "--until", nights[-1])
    told = run(place, "demo", "beds", "--replay", str(SAMPLE), *options)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    found, public = units(place), availability(place)
    say = {night: expected(SAMPLE, "1106", night) for night in nights}
    assert say[nights[0]] != say[nights[1]] != say[nights[2]]  # there was something to say
    for name, (beds, taken) in say[nights[-1]].items():
        seen = public[found[name]["id"]]
        assert seen["available"] == beds - taken
        assert datetime.now(UTC) - datetime.fromisoformat(seen["reported_at"]) < timedelta(minutes=2)
    for name, unit in found.items():
        desk = shelter(place, unit["organization"])
        changes = desk.get(place.url("shelter_beds", f"/units/{unit['id']}/changes"), limit="200").json()["items"]
        counted = [each["details"]["occupied"] for each in changes if "occupied" in each["details"]]
        taken_by_night = [say[night][name][1] for night in nights]
        new = [number for at, number in enumerate(taken_by_night) if not at or number != taken_by_night[at - 1]]
        assert counted[-len(new) :] == new
        assert {each["organization"] for each in changes} == {unit["organization"]}
    free = sum(beds - taken for beds, taken in say["2022-01-13"].values())
    assert re.search(rf"Thu 2022-01-13 +{free} free", told.stdout), told.stdout
    assert f"{place.stack.services['shelter_beds']}/board" in told.stdout
    assert traces(SAMPLE) & words(told.stdout) == set()


def test_what_an_export_takes_back_is_withdrawn_and_the_rest_reported(place: Place, tmp_path: Path) -> None:
    source = renamed(tmp_path / "first", "taken")
    assert place.takes(source, "--only", "beds").made("units") == 8
    faults = ("deleted", "ended", "voucher", "zero-beds", "household-type-bad", "end-bad", "overlap")
    write_variant(source, tmp_path / "second", Variant(seed=2, inventory=faults))
    ran = place.takes(tmp_path / "second", "--only", "beds")
    assert (ran.code, ran.errors) == (0, "")
    assert (ran.made("withdrawals"), ran.made("units"), ran.present("units")) == (5, 1, 1)
    # A row that cannot be read says nothing: what it once said stands.
    assert len(units(place, "taken")) == 4
    assert {"deleted", "not-in-force", "voucher", "bed-number", "bad-code", "bad-date", "superseded"} <= {
        each["what"] for each in ran.report["findings"] if each["file"] == "Inventory.csv"
    }
    assert "Traceback" not in ran.printed + ran.errors
    assert traces(SAMPLE) & words(ran.printed.replace("Organization.csv", "")) == set()


def test_a_time_zone_that_is_none_is_said_in_one_sentence(place: Place) -> None:
    ran = place.takes(SAMPLE, "--only", "beds", "--time-zone", "Nowhere/Land")
    assert (ran.code, ran.printed) == (1, "")
    assert ran.errors == "threshold: Nowhere/Land is no time zone; one is America/Chicago.\n"


def run(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "services.cli", *arguments)
    return subprocess.run(
        command, env=place.stack._environment, capture_output=True, text=True, timeout=100, check=False
    )


def renamed(target: Path, source_id: str) -> Path:
    """Write the sample as if it came from another HMIS."""
    return edited(target, "Export.csv", lambda rows: [row | {"SourceID": source_id} for row in rows])


def edited(target: Path, name: str, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Path:
    write_variant(SAMPLE, target, Variant())
    with (target / name).open(newline="") as file:
        rows = change(list(csv.DictReader(file)))
    with (target / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return target
