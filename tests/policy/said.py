"""Turns what a step says, in the words of its table, into the parts that events are made of."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from schemas import control as control_data
from schemas import events
from tests.policy.case_files import world
from tests.support.log import CONSENT_TYPES, GOVERNANCE_TYPES, public, signer

PURPOSE = "shelter-placement"
VALID = "2026-01-01", "2027-01-01"
Says = Mapping[str, Any]


def instant(text: str) -> datetime:
    """Read an instant; without an offset it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def names(said: str | list[str]) -> tuple[Any, ...]:
    """One name, or several."""
    return (said,) if isinstance(said, str) else tuple(said)


def consent(says: Says, default_id: str) -> events.Consent:
    """A grant, refusal or exclusion."""
    until = says.get("until", VALID[1])
    days = [date.fromisoformat(day) for day in says.get("signed_on", ())]
    return events.Consent(
        id=says.get("id", default_id),
        version=says.get("version", 1),
        to=names(says.get("to", "shelter")),
        valid_from=instant(says.get("from", VALID[0])),
        expires_at=None if until == "never" else instant(until),
        method=says.get("how", "written"),
        notice_version="2026-1",
        signers=tuple(events.Signer(role="client", on=day) for day in days),
        categories=tuple(says.get("categories", ())),
        purposes=names(says.get("purposes", PURPOSE)),
    )


def revocation(says: Says, default_id: str) -> events.Revocation:
    """A revocation."""
    return events.Revocation(
        id=default_id,
        scope=says.get("scope", "all"),
        requested_by="client",
        consent_id=says.get("consent"),
        recipient=says.get("recipient"),
        category=says.get("category"),
    )


def held(says: Says) -> events.HeldConsent:
    """A consent in a restatement."""
    return events.HeldConsent(
        order=says["order"],
        recorder=says.get("by", "outreach"),
        consent=consent(says, f"of-order-{says['order']}"),
        attested=says.get("attested", False),
    )


def listed(said: Any) -> list[Any]:
    """One thing, or several."""
    return said if isinstance(said, list) else [said]


def recipient(said: str | Says) -> events.Recipient:
    """A recipient by its name, or with its project and its reference."""
    if isinstance(said, str):
        return events.Recipient(organization=said, reference=f"{said}-reference")
    reference = said.get("reference", f"{said['organization']}-reference")
    return events.Recipient(organization=said["organization"], project=said.get("project"), reference=reference)


def envelopes(said: Any) -> list[events.Envelope]:
    """Boxes by their categories, in one envelope; or a list of envelopes, each as `{seq: categories}`."""
    by_seq = said if isinstance(said, list) and said and isinstance(said[0], dict) else [{1: said}]
    return [
        events.Envelope(
            seq=seq,
            suite="x25519",
            key_id="key-of-the-client",
            wrapped="wrapped",
            boxes={category: f"{category}-of-{seq}" for category in categories},
        )
        for each in by_seq
        for seq, categories in each.items()
        if categories or by_seq is said
    ]


def organization(says: Says) -> control_data.Organization:
    """An organization of the world, changed by what the step says of it."""
    known = {**world()["organizations"].get(says["id"], {}), **says}
    projects = tuple(
        control_data.Project(
            id=name,
            name=name,
            project_type=1,
            part2_program=one.get("part2", False),
            hmis_participation=one.get("hmis", "none"),
        )
        for name, one in known.get("projects", {}).items()
    )
    return control_data.Organization(
        id=says["id"],
        name=says["id"].title(),
        kind=known.get("kind", "provider"),
        victim_service_provider=known.get("victim_service_provider", False),
        hipaa_covered=False,
        test=known.get("test", False),
        projects=projects,
        contacts=(
            control_data.Contact(id="night", name="Night desk"),
            control_data.Contact(id="desk", name=f"Desk of {says['id']}", phone="555-0100", languages=("en",)),
        ),
    )


def agreement(says: Says) -> control_data.Agreement:
    """An agreement of the world, changed by what the step says of it; `like` names the one that it begins from."""
    known = {**world()["agreements"].get(says.get("like", says["id"]), {}), **says}
    terms = tuple(
        control_data.Term(
            from_=tuple(term["from"]),
            to=tuple(term["to"]),
            purposes=tuple(term["purposes"]),
            categories=tuple(term.get("categories", ())),
            deidentified=term.get("deidentified", False),
            reliance=term.get("reliance", "own"),
        )
        for term in known["terms"]
    )
    return control_data.Agreement(id=says["id"], version=1, parties=tuple(known["parties"]), terms=terms)


def key(says: Says) -> control_data.SigningKey:
    """A service's signing key."""
    named = {"governance": GOVERNANCE_TYPES, "consent": CONSENT_TYPES}
    types = tuple(says.get("types", named.get(says["id"], CONSENT_TYPES)))
    return control_data.SigningKey(
        id=says["id"], public_key=public(signer(says["id"]).private_key), owner=says["id"], types=types
    )
