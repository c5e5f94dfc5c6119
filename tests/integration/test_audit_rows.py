"""Who may read what of a decision: the publisher everything, a recipient what was delivered, an auditor no names."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.audit.pseudonyms import Pseudonyms
from services.kit import keys
from services.kit.auth import Scope
from tests.conftest import Databases
from tests.support.audited import Audited, audited
from tests.support.disclosing import PURPOSE, Answer, Made

OUTREACH, SHELTER, CLINIC = "outreach", "shelter", "clinic"
BOXES: dict[Any, Any] = {"identity": {"first_name": "Rosa"}, "household": {"relationship_to_hoh": 1}}
EVERYTHING = Scope.AUDIT_READ_ALL


@pytest.fixture
async def audit(postgres: Databases) -> AsyncIterator[Audited]:
    async with audited(postgres.create_database("audit")) as found:
        for name in (OUTREACH, SHELTER, CLINIC):
            found.world.organization(name)
        yield found


@dataclass
class Referred:
    """A referral by outreach to the shelter, and what was decided of it."""

    made: Made
    decided: Answer

    @property
    def client_id(self) -> str:
        return self.made.client_id

    @property
    def names(self) -> set[str]:
        """Everything by which the client or the referral could be found."""
        return {self.made.client_id, self.made.id}

    @property
    def reference(self) -> str:
        return str(self.made.recipient.reference)


def refer(audit: Audited, *granted: Any, client_id: str | None = None, **more: Any) -> Referred:
    client = client_id or audit.world.client()
    if granted:
        audit.world.grant(client, OUTREACH, SHELTER, *granted)
    made = audit.world.refer(client, OUTREACH, SHELTER, BOXES, **more)
    return Referred(made, audit.world.answers[-1])


async def test_the_publisher_of_a_denied_event_sees_that_it_was_denied_and_why(audit: Audited) -> None:
    referred = refer(audit)
    await audit.catch_up()
    [row] = await audit.decisions(OUTREACH)
    assert row["verdict"] == "deny"
    assert row["reasons"] == ["no-agreement"]
    assert row["withheld"] == dict.fromkeys(("household", "identity", "need"), "no-agreement")
    assert (row["type"], row["publisher"], row["recipient"]) == ("referral.requested", OUTREACH, SHELTER)
    assert (row["client_id"], row["referral_id"]) == (referred.client_id, referred.made.id)
    assert (row["purpose"], row["categories"]) == (PURPOSE, [])
    assert row["id"] == f"0/{referred.decided.offset}/{SHELTER}"


async def test_a_recipient_never_learns_what_was_denied_to_it(audit: Audited) -> None:
    refer(audit)
    await audit.catch_up()
    assert await audit.decisions(SHELTER) == []
    assert await audit.decisions(SHELTER, verdict="deny") == []
    assert await audit.decisions(CLINIC) == []


async def test_a_recipient_has_a_row_once_something_was_delivered_and_of_that_alone(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit, "identity", "household")
    audit.becomes(referred.decided, SHELTER, "released", "permit", "identity", "need")
    await audit.catch_up()
    assert await audit.decisions(SHELTER) == []

    # The custodian let the household's box through no more.
    audit.becomes(referred.decided, SHELTER, "delivered", "permit", "identity", "need")
    await audit.catch_up()
    [row] = await audit.decisions(SHELTER)
    assert (row["verdict"], row["categories"]) == ("permit", ["identity", "need"])
    assert (row["client_id"], row["referral_id"]) == (referred.client_id, referred.made.id)
    assert [basis["categories"] for basis in row["basis"]] == [["identity"]]
    assert row.keys().isdisjoint({"withheld", "reasons", "agreements", "obligations", "policy_version"})
    assert "household" not in str(row)
    [mine] = await audit.decisions(OUTREACH)
    assert mine["categories"] == ["household", "identity", "need"]


async def test_a_recipient_that_knows_a_reference_learns_no_other_name(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit)
    audit.becomes(referred.decided, SHELTER, "delivered", "deidentified", "need")
    await audit.catch_up()
    [row] = await audit.decisions(SHELTER)
    assert row == {
        "at": row["at"],
        "type": "referral.requested",
        "publisher": OUTREACH,
        "recipient": SHELTER,
        "recipient_project": None,
        "purpose": PURPOSE,
        "reference": referred.reference,
        "verdict": "deidentified",
        "categories": ["need"],
    }
    [mine] = await audit.decisions(OUTREACH)
    assert mine["withheld"] == {"household": "no-consent", "identity": "no-consent"}


async def test_nobody_can_try_client_ids_against_a_reference(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    known = refer(audit, "identity")
    audit.becomes(known.decided, SHELTER, "delivered", "permit", "identity", "need")
    unknown = refer(audit)
    audit.becomes(unknown.decided, SHELTER, "delivered", "deidentified", "need")
    again = refer(audit, client_id=known.client_id)
    audit.becomes(again.decided, SHELTER, "delivered", "deidentified", "need")
    await audit.catch_up()
    assert await audit.decisions(SHELTER, client_id=unknown.client_id) == []
    # It knows this person from another referral, and not that this one is about the same person.
    assert [row["referral_id"] for row in await audit.decisions(SHELTER, client_id=known.client_id)] == [known.made.id]
    assert [row.get("referral_id") for row in await audit.decisions(SHELTER)] == [known.made.id, None, None]
    assert len(await audit.decisions(OUTREACH, client_id=known.client_id)) == 2


async def test_a_recipients_own_event_tells_it_no_more_than_it_knew(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit)
    audit.becomes(referred.decided, SHELTER, "delivered", "deidentified", "need")
    audit.world.say(referred.made, "accepted", publisher=SHELTER)
    await audit.catch_up()
    rows = await audit.decisions(SHELTER)
    assert [(row["type"], row["verdict"], row["reference"]) for row in rows] == [
        ("referral.requested", "deidentified", referred.reference),
        ("referral.accepted", "status", referred.reference),
    ]
    assert not any(name in str(rows) for name in referred.names)
    assert not any("id" in row or "event_id" in row for row in rows)
    # The originator hears of it once it was delivered, and knows its own referral.
    audit.becomes(audit.world.answers[-1], OUTREACH, "delivered", "status")
    await audit.catch_up()
    [accepted] = await audit.decisions(OUTREACH, verdict="status")
    assert (accepted["referral_id"], accepted["status"]) == (referred.made.id, "accepted")


async def test_after_a_permit_a_recipient_has_the_names_in_all_its_rows(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit)
    audit.becomes(referred.decided, SHELTER, "delivered", "deidentified", "need")
    audit.world.grant(referred.client_id, OUTREACH, SHELTER, "identity")
    updated = audit.world.say(referred.made, "updated", BOXES)
    audit.becomes(updated, SHELTER, "delivered", "permit", "identity")
    await audit.catch_up()
    assert [row["client_id"] for row in await audit.decisions(SHELTER)] == [referred.client_id] * 2


async def test_whoever_was_told_closed_reads_no_more_than_closed(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit, "identity")
    audit.becomes(referred.decided, SHELTER, "delivered", "permit", "identity", "need")
    cancelled = audit.world.say(referred.made, "cancelled")
    audit.becomes(cancelled, SHELTER, "delivered", "closed")
    await audit.catch_up()
    [row] = await audit.decisions(SHELTER, verdict="status")
    assert (row["type"], row["status"], row["categories"]) == ("referral.closed", "closed", [])
    assert "cancelled" not in str(row)
    [mine] = await audit.decisions(OUTREACH, verdict="status")
    assert (mine["type"], mine["status"]) == ("referral.cancelled", "cancelled")


async def test_a_permit_cut_to_the_need_is_de_identified_for_its_recipient(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit, "identity")
    audit.becomes(referred.decided, SHELTER, "delivered", "deidentified", "need")
    await audit.catch_up()
    [row] = await audit.decisions(SHELTER)
    assert (row["verdict"], row["categories"]) == ("deidentified", ["need"])
    assert row.keys().isdisjoint({"basis", "status"})
    assert not any(name in str(row) for name in referred.names)
    assert await audit.decisions(SHELTER, verdict="permit") == []


async def test_what_the_custodian_held_back_stays_hidden(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    referred = refer(audit, "identity")
    audit.becomes(referred.decided, SHELTER, "withheld", "withheld", reason="revoked")
    await audit.catch_up()
    assert await audit.decisions(SHELTER) == []
    answer = await audit.get(SHELTER, f"/clients/{referred.client_id}/disclosures")
    assert answer.status_code == 404
    [line] = await audit.accounting(OUTREACH, referred.client_id)
    assert (line["categories"], line["permitted"]) == ([], ["identity", "need"])
    assert [(each["state"], each["reason"]) for each in line["deliveries"]] == [("withheld", "revoked")]


async def test_whoever_may_read_all_reads_pseudonyms_and_no_names(audit: Audited) -> None:
    audit.world.agree(OUTREACH, SHELTER)
    first, second = refer(audit, "identity"), refer(audit)
    again = refer(audit, client_id=first.client_id)
    audit.becomes(first.decided, SHELTER, "delivered", "permit", "identity")
    await audit.catch_up()
    answer = await audit.get(None, "/decisions", EVERYTHING)
    rows = answer.json()["items"]
    pseudonyms = [row["pseudonym"] for row in rows]
    assert pseudonyms[0] == pseudonyms[2] != pseudonyms[1]
    found = {name for referred in (first, second, again) for name in referred.names if name in answer.text}
    found |= {each.reference for each in (first, second, again) if each.reference in answer.text}
    assert found == set()
    assert [row["verdict"] for row in rows] == ["permit", "deidentified", "permit"]
    assert rows[1]["withheld"] == {"household": "no-consent", "identity": "no-consent"}
    assert rows[0]["agreements"]
    filtered = await audit.decisions(None, EVERYTHING, client_id=first.client_id)
    assert {row["pseudonym"] for row in filtered} == {pseudonyms[0]}
    assert len(await audit.decisions(None, EVERYTHING, verdict="deidentified")) == 1
    # Also of its own rows: whoever has both scopes could else tell which pseudonym is whose.
    both = await audit.decisions(OUTREACH, Scope.AUDIT_READ, EVERYTHING)
    assert both == rows


def test_pseudonyms_hang_on_the_services_own_key() -> None:
    client_id = "0123456789abcdef0123456789abcdef"
    one, other = (Pseudonyms.of(keys.generate()) for _ in range(2))
    assert one(client_id) != other(client_id) != client_id
    assert repr(one) == "Pseudonyms()"


async def test_a_recipients_project_is_part_of_the_decisions_name(audit: Audited) -> None:
    refer(audit, to_project="nights", project="street")
    await audit.catch_up()
    [row] = await audit.decisions(OUTREACH)
    assert row["id"].endswith(f"/{SHELTER}:nights")
    assert (row["publisher_project"], row["recipient_project"]) == ("street", "nights")


async def test_rows_come_in_pages_and_in_order(audit: Audited) -> None:
    made = [refer(audit).made.id for _ in range(5)]
    await audit.catch_up()
    for asked in ((OUTREACH, Scope.AUDIT_READ), (None, EVERYTHING)):
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor:
            parameters = {"limit": 2} | ({"after": cursor} if cursor else {})
            page = (await audit.get(asked[0], "/decisions", asked[1], **parameters)).json()
            seen += [row["id"] for row in page["items"]]
            cursor, pages = page["next"], pages + 1
        assert (len(seen), len(set(seen)), pages) == (len(made), len(made), 3)
        assert seen == sorted(seen, key=lambda id_: int(id_.split("/")[1]))


UNMEANT: list[tuple[dict[str, Any], str]] = [
    ({"verdict": "perhaps"}, "verdict"),
    ({"recipient": "nobody"}, "recipient"),
    ({"recipient": ""}, "recipient"),
    ({"client_id": "x" * 65}, "client_id"),
    ({"limit": 0}, "limit"),
    ({"after": "elsewhere"}, "after"),
]


@pytest.mark.parametrize(("organization", "scope"), [(OUTREACH, Scope.AUDIT_READ), (None, EVERYTHING)])
async def test_a_filter_that_cannot_be_meant_is_refused_by_name(
    audit: Audited, organization: str | None, scope: Scope
) -> None:
    await audit.catch_up()
    for parameters, field in UNMEANT:
        answer = await audit.get(organization, "/decisions", scope, **parameters)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await audit.get(organization, "/decisions", scope, recipient=CLINIC)).json() == {"items": [], "next": None}


async def test_the_scope_decides_who_may_ask(audit: Audited) -> None:
    for path in ("/decisions", "/clients/0123456789abcdef/disclosures"):
        assert (await audit.http.get(path)).status_code == 401
        assert (await audit.get(OUTREACH, path, Scope.CONSENTS_READ)).status_code == 403
        assert (await audit.get(None, path, Scope.AUDIT_READ)).json()["type"] == "/problems/organization-needed"
        allowed = (await audit.get(None, path, EVERYTHING)).status_code
        assert allowed == (200 if path == "/decisions" else 403)
