"""Referrals that are refused, each with the field that the refusal names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.chronicle import FUNDER, OUTREACH, SHELTER
from tests.support.town import Town

Body = dict[str, Any]
CANARY = "Canary-Magdalena"


@dataclass(frozen=True)
class Refusal:
    """A body that is refused, how, and which field is named."""

    change: Callable[[Town, Body], Body]
    field: str
    status: int = 422
    problem: str = "invalid-body"


def changed(**fields: object) -> Callable[[Town, Body], Body]:
    return lambda _, body: body | fields


def needing(**fields: object) -> Callable[[Town, Body], Body]:
    return lambda _, body: body | {"need": body["need"] | fields}


def saying(**segments: Any) -> Callable[[Town, Body], Body]:
    return lambda town, body: body | {"members": [town.member(body["members"][0]["client_id"], **segments)]}


def household(*relationships: int) -> Callable[[Town, Body], Body]:
    return lambda town, body: (
        body | {"members": [town.member(town.keys.client(OUTREACH), each) for each in relationships]}
    )


def twice(town: Town, body: Body) -> Body:
    (member,) = body["members"]
    return body | {"members": [member, town.member(member["client_id"], 2)]}


REFUSALS = {
    "a client of nobody": Refusal(
        lambda town, body: body | {"members": [town.member("nobody-has-this-client")]},
        "members.0.client_id",
        404,
        "client-not-registered",
    ),
    "a client of another organization": Refusal(
        lambda town, body: body | {"members": [*body["members"], town.member(town.keys.client(SHELTER), 2)]},
        "members.1.client_id",
        404,
        "client-not-registered",
    ),
    "an address instead of a client": Refusal(
        lambda town, body: body | {"members": [town.member("../../control-position")]}, "members.0.client_id"
    ),
    "nobody": Refusal(changed(members=[]), "members"),
    "no head": Refusal(household(2, 3), "members"),
    "two heads": Refusal(household(1, 1), "members"),
    "a member twice": Refusal(twice, "members.1.client_id"),
    "a relationship that is none": Refusal(household(7), "members.0.relationship_to_hoh"),
    "two relationships": Refusal(
        saying(household={"relationship_to_hoh": 2}), "members.0.segments.household.relationship_to_hoh"
    ),
    "an unknown category": Refusal(saying(shoe_size={"size": 44}), "members.0.segments.shoe_size"),
    "an unknown field": Refusal(saying(identity={"nickname": CANARY}), "members.0.segments.identity.nickname"),
    "a code that HUD does not have": Refusal(
        saying(veteran={"veteran_status": 7}), "members.0.segments.veteran.veteran_status"
    ),
    "the need among the segments": Refusal(saying(need={"beds": 1}), "members.0.segments.need"),
    "an unknown organization": Refusal(
        changed(to={"organization": "nobody"}), "to.organization", problem="unknown-organization"
    ),
    "oneself": Refusal(changed(to={"organization": OUTREACH}), "to.organization"),
    "a funder": Refusal(changed(to={"organization": FUNDER}), "to.organization"),
    "no organization": Refusal(changed(to={}), "to.organization"),
    "an unknown project": Refusal(
        changed(to={"organization": SHELTER, "project": "nowhere"}), "to.project", problem="unknown-project"
    ),
    "another's project": Refusal(
        changed(publisher_project=f"project-{SHELTER}"), "publisher_project", problem="unknown-project"
    ),
    "another's contact": Refusal(changed(call_back=f"desk-{SHELTER}"), "call_back", problem="unknown-contact"),
    "an unknown purpose": Refusal(changed(purpose="curiosity"), "purpose"),
    "an unknown service": Refusal(changed(service="HOTEL"), "service"),
    "no beds": Refusal(needing(beds=0), "need.beds"),
    "a household of nobody": Refusal(needing(household_size=0), "need.household_size"),
    "text in the need": Refusal(needing(comment=CANARY), "need.comment"),
    "an answer by yesterday": Refusal(changed(respond_by="2020-01-01T00:00:00Z"), "respond_by"),
    "a time without an offset": Refusal(changed(respond_by="2100-01-01T00:00:00"), "respond_by"),
    "a day that does not exist": Refusal(changed(occurred_at="2026-02-30T00:00:00Z"), "occurred_at"),
    "what will have happened": Refusal(changed(occurred_at="2100-01-01T00:00:00Z"), "occurred_at"),
    "history without the scope": Refusal(changed(historical=True), "historical", 403, "insufficient-scope"),
    "an unknown word": Refusal(changed(urgency="high"), "urgency"),
}
