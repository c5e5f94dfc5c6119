"""A HUD HMIS CSV export brought into a whole stack: who is there, what is history, what is new, and what crosses."""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli.hmis.variants import Variant, write_variant
from tests.support.governance import Caller
from tests.support.hmis import SAMPLE
from tests.support.importing import (
    Place,
    agree,
    arrivals,
    everything,
    excerpt,
    listening,
    person_of,
    run_import,
    traces,
    words,
)
from tests.support.stack import started_stack
from tests.support.waiting import wait_until_async

REFERRALS = 21  # of the sample's 9 openings, none of which names a location
EVENTS = 22  # one for each member of the households
DEIDENTIFIED = {"verdict", "publisher", "purpose", "reference", "shared", "call_back"}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with started_stack() as stack:
        yield Place(stack, Caller(stack, **stack.admin))


@pytest.mark.timeout(300)  # three imports, of which each may take a minute
async def test_history_stays_and_what_is_new_crosses_as_far_as_the_client_consents(place: Place) -> None:
    only = await asyncio.to_thread(place.takes, SAMPLE, "--only", "organizations")
    assert only.code == 0, only.errors
    assert [only.made(kind) for kind in ("organizations", "projects", "contacts", "credentials")] == [10] * 4
    assert only.made("registrations") == only.made("referrals") == 0
    members = place.members("1106")
    agree(place.admin, members)

    async with listening(place, members) as receiver:
        history = await asyncio.to_thread(place.takes, SAMPLE)
        assert (history.code, history.report["clients"]) == (0, 514), history.errors
        assert (history.made("registrations"), history.made("referrals")) == (516, REFERRALS)
        assert history.report["seconds"] < 60
        decisions = await decided(place)
        assert [each["reasons"] for each in decisions] == [["historical"]] * EVENTS
        assert arrivals(receiver) == []

        live = await asyncio.to_thread(place.takes, SAMPLE, "--live")
        assert (live.code, live.made("referrals"), live.present("registrations")) == (0, REFERRALS, 516), live.errors
        assert live.report["seconds"] < 60
        await wait_until_async(lambda: len(arrivals(receiver)) >= REFERRALS, what="a delivery of each referral")
        for arrived in arrivals(receiver):
            assert arrived["verdict"] == "deidentified"
            assert set(arrived) == DEIDENTIFIED | {"to"}
            assert set(arrived["shared"]) == {"need"}
        assert traces(SAMPLE) & everything(receiver) == set()

        person, told = consents(place, members)
        await wait_until_async(lambda: len(arrivals(receiver)) > REFERRALS, what="what was withheld to follow")
        (permit,) = [each for each in arrivals(receiver) if each["verdict"] != "deidentified"]
        assert (permit["verdict"], permit["to"]) == ("permit", told)
        identity = permit["shared"]["identity"]
        assert (identity["first_name"], identity["last_name"]) == (person["FirstName"], person["LastName"])
        assert set(identity.values()) & traces(SAMPLE) & everything(receiver)  # what was looked for can be found
        assert len(arrivals(receiver)) == REFERRALS + 1  # of history, which is older on the same log, nothing came


async def decided(place: Place) -> list[dict[str, Any]]:
    """The decisions on the events of all referrals, once all are there."""

    def decisions() -> list[dict[str, Any]] | None:
        answer = place.admin.get(place.url("audit", "/decisions"), limit="200")
        found: list[dict[str, Any]] = answer.json()["items"]
        return found if len(found) >= EVENTS else None

    return await wait_until_async(decisions, what="every event to be decided")


def consents(place: Place, members: dict[str, Caller]) -> tuple[dict[str, str], str]:
    """Let one of the clients consent at the organization that referred; who it is, and who may know it."""
    originator, referral = next(
        (caller, each) for caller in members.values() for each in place.referrals(caller) if not each["historical"]
    )
    recipient = referral["to"]["organization"]
    body = {
        "client_id": next(each["client_id"] for each in referral["members"] if each["head_of_household"]),
        "decision": "permit",
        "to": [recipient],
        "categories": ["identity"],
        "purposes": [referral["purpose"]],
        "form": {"method": "written", "notice_version": "1", "signers": [{"role": "client", "on": "2026-11-20"}]},
    }
    made = originator.post(place.url("consent", "/consents"), body)
    assert made.status_code == 201, made.text
    return person_of(SAMPLE, referral["external_id"]), recipient


def test_twice_doubles_nothing(place: Place) -> None:
    again = place.takes(SAMPLE, "--live")
    assert again.code == 0, again.errors
    assert {kind: counts["made"] for kind, counts in again.report["results"].items() if counts["made"]} == {}
    assert (again.present("referrals"), again.present("registrations")) == (REFERRALS, 516)
    members = place.members("1106")
    made = [each for caller in members.values() for each in place.referrals(caller)]
    assert len({each["id"] for each in made}) == len(made) == 2 * REFERRALS


async def test_locations_results_households_and_a_victim_service_provider(place: Place, tmp_path: Path) -> None:
    chosen = Variant(seed=3, locations=True, victim_service_provider=True, household_members=2, deleted=2)
    folder = tmp_path / "export"
    write_variant(excerpt(SAMPLE, tmp_path / "excerpt", "variant"), folder, chosen)
    history = await asyncio.to_thread(place.takes, folder)
    assert history.refusals == []
    assert history.code == 0, history.errors
    answered = history.made("transitions")
    assert answered == history.made("referrals") > 0  # each of the sample's openings was accepted
    members = place.members("variant")
    referred = [each for caller in members.values() for each in place.referrals(caller)]
    assert {each["status"] for each in referred} == {"accepted"}
    assert max(len(each["members"]) for each in referred) == 3
    protected = members[victim_service_provider(place, members)]
    assert place.referrals(protected)
    assert {category for each in place.referrals(protected) for category in sealed(each)} == {"need"}

    agree(place.admin, members)
    async with listening(place, members) as receiver:
        live = await asyncio.to_thread(place.takes, folder, "--live")
        assert (live.code, live.made("referrals"), live.made("transitions")) == (0, answered, answered), live.refusals
        await wait_until_async(lambda: len(arrivals(receiver)) >= 2 * answered, what="needs and answers")
        assert {each["verdict"] for each in arrivals(receiver)} == {"deidentified", "status"}
        assert traces(folder) & everything(receiver) == set()
    for options in ((), ("--live",)):
        again = await asyncio.to_thread(place.takes, folder, *options)
        assert (again.code, again.made("referrals"), again.made("transitions")) == (0, 0, 0)


def victim_service_provider(place: Place, members: dict[str, Caller]) -> str:
    shown = (place.admin.get(f"/organizations/{each}").json() for each in members)
    return next(str(each["id"]) for each in shown if each["victim_service_provider"])


def sealed(referral: dict[str, Any]) -> set[str]:
    """The categories sealed for anybody of a referral's household."""
    return {category for each in referral["members"] for category in each["categories"]}


def test_lost_and_revoked_credentials_are_replaced(place: Place, tmp_path: Path) -> None:
    folder = excerpt(SAMPLE, tmp_path / "export", "credentials")

    def made() -> int:
        ran = place.takes(folder, "--only", "organizations")
        assert ran.code == 0, ran.errors
        return ran.made("credentials")

    assert made() == 10
    file = place.stack.home / "imports" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    organization, credential = next(iter(json.loads(file.read_text()).items()))
    path = f"/organizations/{organization}/credentials/{credential['client_id']}"
    assert place.admin.http.delete(path).status_code == 204
    assert made() == 1
    file.write_text("{damaged")
    assert made() == 10
    assert made() == 0


def test_what_is_there_is_left_as_it_is_and_the_difference_is_told(place: Place, tmp_path: Path) -> None:
    folder = excerpt(SAMPLE, tmp_path / "export", "credentials")
    changed = place.admin.http.patch("/organizations/credentials-6", json={"name": "A name of its own"})
    assert changed.status_code == 200, changed.text
    ran = run_import(place.stack._environment, folder, "--only", "organizations")
    assert (ran.code, ran.errors) == (0, "")
    assert "organizations, credentials-6: is registered with another name; left as it is" in ran.printed
    assert place.admin.get("/organizations/credentials-6").json()["name"] == "A name of its own"
    assert traces(folder) & words(ran.printed) == set()


def test_a_stack_that_has_stopped_is_said_in_one_sentence(place: Place) -> None:
    described = (place.stack.home / "stack.json").read_text()
    assert place.stack.stop() == 0
    (place.stack.home / "stack.json").write_text(described)  # as a machine that lost power leaves it
    ran = place.takes(SAMPLE)
    assert (ran.code, ran.printed) == (1, "")
    sentence = "threshold: The governance service does not answer: is `threshold up` still running?"
    assert ran.errors == f"{sentence} Run this again once it is.\n"
