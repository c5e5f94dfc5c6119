"""Mapping an export: who becomes what, which events become referrals to whom, and what is sealed with them."""

import re
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from schemas.categories import PURPOSES, segment
from schemas.codes import CoordinatedEntryEvent, HmisParticipationType, ProjectType, ReferralResult
from schemas.codes import RelationshipToHeadOfHousehold as Relationship
from services.cli.hmis.mapping import plan_import
from services.cli.hmis.openings import OPENINGS
from services.cli.hmis.plan import Plan, PlannedReferral, Transition, safe_id
from services.cli.hmis.reading import read_export
from services.cli.hmis.report import Report
from services.cli.hmis.rows import (
    Client,
    Enrollment,
    Event,
    Exit,
    Export,
    HealthAndDv,
    Participation,
    Project,
)
from services.cli.hmis.variants import Variant
from tests.support.hmis import SAMPLE, TODAY, planned, variant
from tests.support.small_export import DAY, EVENT, EXPORT


def _plan(export: Export) -> tuple[Plan, Report]:
    report = Report()
    return plan_import(export, report, TODAY), report


def _only(plan: Plan) -> PlannedReferral:
    assert len(plan.referrals) == 1
    return plan.referrals[0]


def _whats(report: Report) -> list[str]:
    return [finding.what for finding in report.findings]


def test_the_sample_becomes_514_clients_and_9_openings() -> None:
    plan, report = planned(SAMPLE)
    assert (len(plan.organizations), len(plan.projects), len(plan.clients)) == (10, 10, 514)
    assert Counter(len(client.registrations) for client in plan.clients) == {1: 512, 2: 2}
    openings = {referral.external_id: referral.service for referral in plan.referrals}
    assert Counter(openings.values()) == {"RRH": 8, "ES": 1}
    assert len(plan.referrals) == 21  # the export names no location: each other organization with such a project
    assert len({referral.key for referral in plan.referrals}) == 21
    assert (report.taken("Event.csv"), report.taken("Enrollment.csv")) == (9, 574)
    assert _whats(report).count("not-a-referral") == 10
    assert _whats(report).count("no-location") == _whats(report).count("result-not-sent") == 9
    assert plan.identifier_system is not None
    assert len(plan.identifier_system.organization_ids) == 10


def test_the_same_export_is_the_same_plan() -> None:
    assert planned(SAMPLE) == planned(SAMPLE)


def test_everything_sealed_is_valid_and_every_household_has_one_head(tmp_path: Path) -> None:
    folder = variant(tmp_path / "export", Variant(locations=True, household_members=3))
    plan, _ = planned(folder)
    assert plan.referrals
    for referral in plan.referrals:
        segment("need", referral.need | {"service": referral.service})
        assert referral.purpose in PURPOSES
        assert [member.relationship_to_hoh for member in referral.members].count(1) == 1
        for member in referral.members:
            for category, fields in member.segments.items():
                assert segment(category, fields) == fields


def test_without_a_location_each_other_organization_is_asked_and_no_result_is_applied() -> None:
    plan, report = _plan(replace(EXPORT, events=[replace(EVENT, result=ReferralResult.CLIENT_ACCEPTED)]))
    asked = {referral.to_organization_id: referral.to_project_id for referral in plan.referrals}
    assert asked == {"hmis1-she": safe_id("hmis1", "p-she"), "hmis1-two": None}
    assert {referral.transition for referral in plan.referrals} == {None}
    assert {"no-location", "result-not-sent"} <= set(_whats(report))


@pytest.mark.parametrize(
    ("result", "transition"),
    [
        (None, None),
        (ReferralResult.CLIENT_ACCEPTED, Transition("accepted")),
        (ReferralResult.CLIENT_REJECTED, Transition("declined", declined_by="client")),
        (ReferralResult.PROVIDER_REJECTED, Transition("declined", declined_by="provider")),
    ],
)
def test_a_located_opening_goes_there_and_its_result_becomes_a_transition(
    result: ReferralResult | None, transition: Transition | None
) -> None:
    plan, _ = _plan(replace(EXPORT, events=[replace(EVENT, located="p-two-b", result=result)]))
    referral = _only(plan)
    assert (referral.to_organization_id, referral.to_project_id) == ("hmis1-two", safe_id("hmis1", "p-two-b"))
    assert referral.transition == transition


@pytest.mark.parametrize("code", CoordinatedEntryEvent, ids=lambda code: code.name)
def test_which_events_are_referrals_and_for_what(code: CoordinatedEntryEvent) -> None:
    opening = OPENINGS.get(code)
    assert (opening is not None) == (int(code) in {10, 11, 12, 13, 14, 15, 17, 18})
    if opening is not None:
        shelter = int(code) in {10, 11}
        assert opening.purpose == ("shelter-placement" if shelter else "housing-placement")
    else:
        plan, report = _plan(replace(EXPORT, events=[replace(EVENT, code=code)]))
        assert plan.referrals == ()
        assert _whats(report) == ["not-a-referral"]


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (replace(EVENT, enrollment_id="e9"), "unknown-reference"),
        (replace(EVENT, client_id="c2"), "contradiction"),
        (replace(EVENT, located="p-9"), "unknown-reference"),
        (replace(EVENT, located="p-out"), "within-organization"),
        (replace(EVENT, code=CoordinatedEntryEvent.PERMANENT_SUPPORTIVE_HOUSING_OPENING), "no-recipient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_that_cannot_be_a_referral_says_why(event: Event, what: str) -> None:
    plan, report = _plan(replace(EXPORT, events=[event]))
    assert plan.referrals == ()
    assert _whats(report) == [what]
    assert report.skipped["Event.csv"] == 1


def test_the_household_goes_together_and_its_shape_is_the_need() -> None:
    plan, _ = _plan(replace(EXPORT, events=[replace(EVENT, located="p-she")]))
    referral = _only(plan)
    assert referral.need == {"household_type": "with_children", "household_size": 2, "beds": 2}
    assert [member.relationship_to_hoh for member in referral.members] == [1, 2]
    assert referral.members[0].segments["household"] == {"household_type": "with_children", "household_size": 2}


@pytest.mark.parametrize(
    ("enrollment", "exits"),
    [
        (Enrollment(3, "e2", "c2", "p-out", "h1", Relationship.CHILD, date(2026, 4, 1), {}), []),
        (Enrollment(3, "e2", "c2", "p-out", "h1", Relationship.CHILD, date(2026, 1, 1), {}), [date(2026, 2, 28)]),
        (Enrollment(3, "e2", "c2", "p-out", "h2", Relationship.CHILD, date(2026, 1, 1), {}), []),
    ],
    ids=["joined later", "left before", "another household"],
)
def test_who_was_not_there_is_not_referred_along(enrollment: Enrollment, exits: list[date]) -> None:
    plan, _ = _plan(
        replace(
            EXPORT,
            enrollments=[EXPORT.enrollments[0], enrollment],
            exits=[Exit(2, "e2", on) for on in exits],
            events=[replace(EVENT, located="p-she")],
        )
    )
    referral = _only(plan)
    assert len(referral.members) == 1
    assert referral.need["household_type"] == "without_children"


def test_a_household_without_exactly_one_head_is_not_referred() -> None:
    headless = [replace(each, relationship_to_hoh=Relationship.SELF) for each in EXPORT.enrollments]
    plan, report = _plan(replace(EXPORT, enrollments=headless))
    assert plan.referrals == ()
    assert _whats(report) == ["household-without-head"]


def test_the_latest_record_of_each_kind_until_the_event_is_sealed() -> None:
    fair, good, poor = ({"general_health_status": status} for status in (4, 3, 5))
    health = [
        HealthAndDv(2, "e1", date(2026, 2, 1), {"health": fair}),
        HealthAndDv(3, "e1", date(2026, 1, 1), {"health": good, "domestic_violence": {"currently_fleeing": 1}}),
        HealthAndDv(4, "e1", date(2026, 3, 2), {"health": poor}),
    ]
    plan, _ = _plan(replace(EXPORT, health=health, events=[replace(EVENT, located="p-she")]))
    segments = _only(plan).members[0].segments
    assert segments["health"] == fair
    assert segments["domestic_violence"] == {"currently_fleeing": 1}


def test_a_victim_service_provider_sends_the_need_alone_with_a_fresh_client_each_time() -> None:
    plan, report = _plan(
        replace(
            EXPORT,
            enrollments=[replace(each, project_id="p-vsp") for each in EXPORT.enrollments],
            events=[EVENT, replace(EVENT, line=3, id="v2", on=date(2026, 3, 5))],
        )
    )
    assert len(plan.referrals) == 4
    registrations = [member.registration for referral in plan.referrals for member in referral.members]
    assert {registration.system for registration in registrations} == {"local"}
    assert len(set(registrations)) == len(registrations) == 8
    assert all(member.segments == {} for referral in plan.referrals for member in referral.members)
    assert _whats(report).count("need-alone") == 4
    assert plan.identifier_system is not None
    assert "hmis1-vsp" not in plan.identifier_system.organization_ids
    assert {each.system for client in plan.clients for each in client.registrations} == {"local"}


def test_a_comparable_database_is_kept_out_of_the_hmis_s_client_index() -> None:
    apart = Participation(9, "p-she", HmisParticipationType.COMPARABLE_DATABASE_PARTICIPATING, date(2020, 1, 1), None)
    plan, _ = _plan(replace(EXPORT, participations=[apart]))
    assert plan.identifier_system is not None
    assert "hmis1-she" not in plan.identifier_system.organization_ids


@pytest.mark.parametrize(
    ("periods", "participation"),
    [
        ([], "none"),
        ([(0, date(2020, 1, 1), None)], "none"),
        ([(1, date(2020, 1, 1), None)], "hmis"),
        ([(1, date(2020, 1, 1), TODAY), (2, TODAY, None)], "comparable_database"),
        ([(1, date(2020, 1, 1), date(2026, 11, 24)), (2, TODAY, None)], "hmis"),
        ([(2, date(2026, 11, 24), None)], "none"),
    ],
)
def test_hmis_participation_is_that_of_the_day_the_stricter_if_two(
    periods: list[tuple[int, date, date | None]], participation: str
) -> None:
    rows = [
        Participation(line, "p-she", HmisParticipationType(type_), start, end)
        for line, (type_, start, end) in enumerate(periods, 2)
    ]
    plan, _ = _plan(replace(EXPORT, participations=rows))
    assert {project.id: project.hmis_participation for project in plan.projects}[
        safe_id("hmis1", "p-she")
    ] == participation


def test_a_victim_service_provider_in_an_hmis_is_reported() -> None:
    wrong = Participation(9, "p-vsp", HmisParticipationType.HMIS_PARTICIPATING, date(2020, 1, 1), None)
    _, report = _plan(replace(EXPORT, participations=[wrong]))
    assert "contradiction" in _whats(report)


def test_rows_that_hang_on_nothing_are_skipped() -> None:
    plan, report = _plan(
        replace(
            EXPORT,
            projects=[*EXPORT.projects, Project(9, "p-9", "nobody", "?", ProjectType.OTHER)],
            clients=[*EXPORT.clients, Client(9, "c9", {})],
            enrollments=[
                *EXPORT.enrollments,
                Enrollment(8, "e8", "c8", "p-out", "h8", Relationship.SELF, DAY, {}),
                Enrollment(9, "e9", "c1", "p-8", "h9", Relationship.SELF, DAY, {}),
            ],
            participations=[Participation(9, "p-8", HmisParticipationType.NOT_PARTICIPATING, DAY, None)],
        )
    )
    assert (len(plan.projects), len(plan.clients)) == (5, 2)
    assert report.skipped == {"Project.csv": 1, "Enrollment.csv": 2, "Client.csv": 1, "HMISParticipation.csv": 1}


def test_without_a_source_nothing_is_taken() -> None:
    assert _plan(replace(EXPORT, source=None))[0] == Plan()


@pytest.mark.parametrize(
    ("parts", "form"),
    [
        (("1106", "93"), r"1106-93"),
        (("XX-500, XX-501", "93"), r"h[0-9a-f]{16}-93"),
        (("1106", "{A-B}"), r"1106-h[0-9a-f]{16}"),
        (("1" * 350, "2" * 64), r"h[0-9a-f]{16}-h[0-9a-f]{16}"),
    ],
)
def test_ids_are_the_source_s_and_the_hmis_s(parts: tuple[str, ...], form: str) -> None:
    assert re.fullmatch(form, safe_id(*parts))


def test_two_ids_never_become_one() -> None:
    assert safe_id("a-b", "c") != safe_id("a", "b-c")


def test_history_and_what_is_new_share_no_key_and_no_protected_client(tmp_path: Path) -> None:
    export = read_export(variant(tmp_path / "export", Variant(victim_service_provider=True)), Report())
    history, live = (plan_import(export, Report(), TODAY, mode) for mode in ("history", "live"))
    assert not {each.key for each in history.referrals} & {each.key for each in live.referrals}
    before, now = ({m.registration for r in plan.referrals for m in r.members} for plan in (history, live))
    assert {each.system for each in before & now} == {"1106-hmis"}
