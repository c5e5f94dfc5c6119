"""The day until noon: a referral without consent, a consent, an acceptance, a victim service provider's release."""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from services.cli.demo import people
from services.cli.demo.client import problem
from services.cli.demo.community import STAFF, Community
from services.cli.demo.people import JUNE, ROSA
from services.cli.demo.receiver import Arrival, System
from services.cli.demo.telling import Telling

ACCEPTED_WITHIN = 10  # seconds
SEEN_WITHIN = 10.0  # seconds
LOOK_EVERY = 0.25  # seconds
DEIDENTIFIED = {"verdict", "publisher", "purpose", "reference", "shared", "call_back"}
DO_NOT_ENTER = "do-not-enter-in-hmis"
NO_RELEASE = "422 vsp-no-release (members.0.segments.identity)"


@dataclass
class Day:
    """The day so far: who takes part, where they listen, what Rosa's referral is called."""

    telling: Telling
    town: Community
    shelter: System
    outreach: System
    rosa: str = ""
    referral: str = ""
    reference: str = ""

    async def next_at(self, system: System, what: str, type_: str, began: float) -> Arrival:
        """Return the next arrival at a system, and tell when it came and whether it is signed and of this type."""
        arrival = await system.arrival(what)
        after = (arrival.first_byte_at - began) * 1000
        signed = "signed" if arrival.signed else "with a signature that does not verify"
        self.telling.check(f"{what} after {after:.0f} ms", f"{arrival.message['type']}, {signed}", f"{type_}, signed")
        return arrival


async def refer_without_consent(day: Day) -> None:
    """(1) What crosses without a consent is the need and whom to call."""
    day.telling.step(
        1, "Outreach refers Rosa, who has consented to nothing", "the shelter learns the need and whom to call, not who"
    )
    day.rosa = (await day.town.outreach.post("consent", "/clients", {}))["client_id"]
    began = time.time()
    day.referral = await _refer(day)
    arrival = await day.next_at(day.shelter, "The shelter's system gets a message", "referral.requested", began)
    check_deidentified(day, arrival, [day.rosa, day.referral, *people.words(ROSA)])
    day.reference = str(arrival.data.get("reference"))


async def consent(day: Day) -> None:
    """(2) What was withheld follows by itself; what was not consented to stays behind."""
    day.telling.step(
        2, "Rosa consents to share identity and household", "they follow by themselves, and health stays behind"
    )
    began = time.time()
    body = people.permission(day.rosa, day.town.shelter.name, ("identity", "household"), "electronic", days=30)
    given = await day.town.outreach.post("consent", "/consents", body, wait=ACCEPTED_WITHIN)
    day.telling.saw(f"Outreach records Rosa's {_permitted(given)}. It is {given['state']}.")
    arrival = await day.next_at(day.shelter, "The shelter's system gets a message", "referral.updated", began)
    data = arrival.data
    day.telling.showed((category, _fields(data["shared"][category])) for category in sorted(data["shared"]))
    expected = {category: ROSA[category] for category in ("identity", "household")} | {"need": people.NEED_AS_TOLD}
    day.telling.check("It carries exactly these categories", set(data["shared"]), set(expected))
    day.telling.check("They say what outreach said", data["shared"] == expected)
    _check_names(day, data, str(given["id"]))
    crossing = await _crossing(day)
    day.telling.check("Outreach sees what crossed", set(crossing["categories"]), set(expected))
    day.telling.check("Outreach sees what stayed behind, and why", crossing["withheld"], {"health": "no-consent"})


def _check_names(day: Day, data: dict[str, Any], consent_id: str) -> None:
    names = (data.get("client_id"), data.get("reference"))
    day.telling.check("It names Rosa, and the reference known from step 1", names == (day.rosa, day.reference))
    consents = [one["id"] for one in data.get("consent", [])]
    day.telling.check("It says on which consent it rests", consents, [consent_id])


async def accept(day: Day) -> None:
    """(3) The originator hears what became of its referral."""
    day.telling.step(3, "The shelter accepts", "outreach hears the status, and nothing else")
    began = time.time()
    path = f"/referrals/{day.referral}/transitions"
    answer = await day.town.shelter.post("referrals", path, {"to": "accepted"}, status=HTTPStatus.OK)
    day.telling.saw(f"The shelter's worker accepts; the referral is {answer['status']}.")
    arrival = await day.next_at(day.outreach, "Outreach's system gets a message", "referral.accepted", began)
    said = {name: arrival.data.get(name) for name in ("verdict", "referral_id", "status", "shared")}
    expected = {"verdict": "status", "referral_id": day.referral, "status": "accepted", "shared": {}}
    day.telling.check("It says accepted, of this referral, and nothing about the person", said == expected)


async def release_from_haven(day: Day) -> None:
    """(4) A victim service provider seals nothing without a written, time-limited release (34 U.S.C. 12291(b)(2))."""
    day.telling.step(
        4,
        "Juniper House, which serves survivors, refers June",
        "not without her written, time-limited release; with it, the shelter may not enter it in an HMIS",
    )
    haven, telling = day.town.haven, day.telling
    june = (await haven.post("consent", "/clients", {}))["client_id"]
    body = people.referral(june, JUNE, day.town.shelter.name, STAFF)
    refused = problem(await haven.posted("referrals", "/referrals", body))
    telling.check("A referral with her name in it is refused", refused, NO_RELEASE)
    release = people.permission(june, day.town.shelter.name, ("identity",), "written", days=14)
    given = await haven.post("consent", "/consents", release, wait=ACCEPTED_WITHIN)
    telling.saw(f"Juniper House records June's {_permitted(given)}. It is {given['state']}.")
    began = time.time()
    made = await haven.post("referrals", "/referrals", body)
    telling.saw(f"Juniper House sends the same referral again; it is {made['status']}.")
    arrival = await day.next_at(day.shelter, "The shelter's system gets a message", "referral.requested", began)
    telling.check("It carries her name, as released", arrival.data["shared"].get("identity") == JUNE["identity"])
    telling.check("It obliges the shelter", arrival.data.get("obligations"), [DO_NOT_ENTER])
    telling.showed(("in words", notice) for notice in arrival.data.get("notices", []))


async def _refer(day: Day) -> str:
    """Let outreach refer Rosa, with everything it knows sealed; return the referral's id."""
    body = people.referral(day.rosa, ROSA, day.town.shelter.name, STAFF)
    made = await day.town.outreach.post("referrals", "/referrals", body)
    day.telling.saw(f"Outreach sends a referral with {', '.join(ROSA)} sealed in it; it is {made['status']}.")
    return str(made["id"])


async def _crossing(day: Day) -> dict[str, Any]:
    """Return what outreach sees of what crossed, once the delivery is in its view, or at last as it is then."""
    end = time.monotonic() + SEEN_WITHIN
    while True:
        view = await day.town.outreach.get("referrals", f"/referrals/{day.referral}")
        crossing: dict[str, Any] = view["crossing"][0]
        if (crossing["verdict"] == "permit" and crossing["delivered_at"]) or time.monotonic() > end:
            return crossing
        await asyncio.sleep(LOOK_EVERY)


async def refer_again(day: Day) -> tuple[str, Arrival]:
    """Let outreach refer Rosa once more; return the referral's id and what reached the shelter."""
    began = time.time()
    referral = await _refer(day)
    return referral, await day.next_at(day.shelter, "The shelter's system gets a message", "referral.requested", began)


def check_deidentified(day: Day, arrival: Arrival, telltale: list[str]) -> None:
    """Compare an arrival with the closed list of what a de-identified referral says; show what it says."""
    data, telling = arrival.data, day.telling
    need, call_back = data["shared"].get("need", {}), data.get("call_back", {})
    telling.showed([("need", _fields(need)), ("call back", _fields(call_back))])
    telling.check("It is", data["verdict"], "deidentified")
    telling.check("It has exactly these fields", set(data), DEIDENTIFIED)
    telling.check("It shares exactly", set(data["shared"]), {"need"})
    told = (need, call_back) == (people.NEED_AS_TOLD, people.CALL_BACK)
    telling.check("What is needed and whom to call are as outreach said", told)
    found = [one for one in telltale if one in arrival.body.decode()]
    telling.check("Of her ids, her name and her date of birth, it holds", found, [])


def _permitted(given: dict[str, Any]) -> str:
    method, categories = given["form"]["method"], ", ".join(given["categories"])
    return f"{method} consent: {categories}, for {', '.join(given['purposes'])}, until {given['expires_at'][:10]}"


def _fields(values: dict[str, Any]) -> str:
    return " · ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:  # noqa: ANN401 - any field of a category
    return ", ".join(value) if isinstance(value, list) else str(value)
