"""Variants of an export: seeded, of the size that was asked for, and readable by the same reader."""

import csv
import filecmp
from collections import Counter
from pathlib import Path

import pytest

from services.cli.hmis.variants import Variant
from tests.support.hmis import SAMPLE, planned, variant

EVERYTHING = Variant(seed=7, locations=True, victim_service_provider=True, household_members=2, deleted=5, clients=700)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, two = (variant(tmp_path / name, EVERYTHING) for name in ("one", "two"))
    names = [path.name for path in one.iterdir()]
    assert filecmp.cmpfiles(one, two, names, shallow=False) == (names, [], [])
    other = variant(tmp_path / "other", Variant(seed=8, clients=700))
    assert not filecmp.cmp(one / "Client.csv", other / "Client.csv", shallow=False)


def test_no_change_is_the_sample(tmp_path: Path) -> None:
    assert planned(variant(tmp_path / "same", Variant())) == planned(SAMPLE)


@pytest.mark.parametrize("clients", [1, 514, 515, 2000])
def test_exactly_as_many_clients_as_asked_for(clients: int, tmp_path: Path) -> None:
    plan, report = planned(variant(tmp_path / "export", Variant(clients=clients)))
    assert report.rows["Client.csv"] == len(plan.clients) == clients
    assert report.skipped["Client.csv"] == 0


def test_copies_have_names_and_numbers_of_their_own(tmp_path: Path) -> None:
    folder = variant(tmp_path / "export", Variant(clients=1028))
    with (folder / "Client.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["PersonalID"] for row in rows}) == 1028
    copies = rows[514:]
    assert all(row["SSN"].startswith("9") and len(row["SSN"]) == 9 for row in copies)
    assert len({(row["FirstName"], row["LastName"]) for row in copies}) == 514


def test_twice_the_clients_are_twice_the_openings(tmp_path: Path) -> None:
    plan, _ = planned(variant(tmp_path / "export", Variant(clients=1028)))
    assert len(plan.referrals) == 42


def test_locations_make_each_opening_one_referral_with_its_result(tmp_path: Path) -> None:
    plan, report = planned(variant(tmp_path / "export", Variant(locations=True)))
    assert len(plan.referrals) == 9
    assert Counter(referral.transition.to for referral in plan.referrals if referral.transition) == {"accepted": 9}
    assert "no-location" not in {finding.what for finding in report.findings}


def test_household_members_are_referred_along(tmp_path: Path) -> None:
    plan, _ = planned(variant(tmp_path / "export", Variant(locations=True, household_members=2)))
    sizes = sorted(len(referral.members) for referral in plan.referrals)
    assert sizes == [3] * 8 + [4]
    assert {referral.need["household_type"] for referral in plan.referrals} == {"with_children"}


def test_a_victim_service_provider_is_outside_the_hmis(tmp_path: Path) -> None:
    plan, report = planned(variant(tmp_path / "export", Variant(victim_service_provider=True)))
    providers = [each.id for each in plan.organizations if each.victim_service_provider]
    assert len(providers) == 1
    assert plan.identifier_system is not None
    assert len(plan.identifier_system.organization_ids) == 9
    assert {project.hmis_participation for project in plan.projects if project.organization_id in providers} == {
        "comparable_database"
    }
    assert "need-alone" in {finding.what for finding in report.findings}


def test_deleted_rows_are_skipped_with_all_that_hangs_on_them(tmp_path: Path) -> None:
    _, report = planned(variant(tmp_path / "export", Variant(deleted=5)))
    deleted = Counter(finding.file for finding in report.findings if finding.what == "deleted")
    assert deleted == {"Client.csv": 5, "Enrollment.csv": 5, "Event.csv": 5}
    assert "unknown-reference" in {finding.what for finding in report.findings}


def test_all_at_once_is_still_an_export(tmp_path: Path) -> None:
    plan, report = planned(variant(tmp_path / "export", EVERYTHING))
    assert plan.referrals
    assert {"bad-csv", "bad-row", "bad-code", "missing-column"}.isdisjoint(finding.what for finding in report.findings)
