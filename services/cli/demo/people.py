"""The people of the demo's day, all invented, and what their organizations would say about them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Segments = dict[str, dict[str, Any]]

PURPOSE = "shelter-placement"
CATEGORIES = ("identity", "household", "health")
CALL_BACK = {"name": "Ana Reyes", "phone": "+1 555 0142", "languages": ["en", "es"]}

ROSA: Segments = {
    "identity": {"first_name": "Rosa", "last_name": "Delgado", "dob": "1988-04-17"},
    "household": {"relationship_to_hoh": 1, "household_type": "without_children", "household_size": 1},
    "health": {"general_health_status": 4, "chronic_health_condition": 1},
}
JUNE: Segments = {"identity": {"first_name": "June", "last_name": "Okafor"}}

NEED = {"household_type": "without_children", "household_size": 1, "beds": 1}
NEED_AS_TOLD = {"household_type": "without_children", "household_size": "1", "beds": 1, "service": "ES"}


def referral(client_id: str, segments: Segments, to: str, call_back: str) -> dict[str, Any]:
    """Return the body of a referral for emergency shelter."""
    return {
        "members": [{"client_id": client_id, "relationship_to_hoh": 1, "segments": segments}],
        "to": {"organization": to},
        "service": "ES",
        "purpose": PURPOSE,
        "need": NEED,
        "call_back": call_back,
    }


def permission(client_id: str, to: str, categories: Sequence[str], method: str, *, days: int) -> dict[str, Any]:
    """Return the body of a consent that the client signed today, valid for `days`."""
    now = datetime.now(UTC)
    signers = [{"role": "client", "on": now.date().isoformat()}]
    return {
        "client_id": client_id,
        "decision": "permit",
        "to": [to],
        "categories": list(categories),
        "purposes": [PURPOSE],
        "expires_at": (now + timedelta(days=days)).isoformat(timespec="seconds"),
        "form": {"method": method, "notice_version": "2026-1", "signers": signers},
    }


def words(segments: Segments) -> list[str]:
    """Return the texts by which anybody would know the person: the name and the date of birth."""
    return [value for value in segments["identity"].values() if isinstance(value, str)]
