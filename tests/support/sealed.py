"""What referrals seals and webhooks asks the custodian about, and what then opens."""

from dataclasses import dataclass
from typing import Any

from policy import base64url
from services.kit.keys import random_id
from services.kit.sealing import BoxKey, SealContext, open_box

RECIPIENT = "shelter"
CONTENT: dict[str, dict[str, Any]] = {
    "need": {"service": "ES", "household_type": "without_children", "household_size": 1, "beds": 1},
    "identity": {"first_name": "Magdalena"},
    "household": {"household_size": 1},
    "health": {"chronic_health_condition": 1},
}


@dataclass(frozen=True)
class Sealed:
    """An envelope and the circumstances it was sealed for."""

    context: SealContext
    envelope: Any

    def asked(self, **changes: Any) -> dict[str, Any]:
        """The body with which webhooks asks for a permit of it."""
        originator = self.context.originator.organization
        categories = sorted(self.envelope.boxes)
        wrapped = {name: getattr(self.envelope, name) for name in ("seq", "suite", "key_id", "wrapped")}
        return {
            "decision_id": f"0/{random_id()}/{RECIPIENT}",
            "attempt": 1,
            "channel": "webhook",
            "event_type": "referral.requested",
            "client_id": self.context.client_id,
            "referral_id": self.context.referral_id,
            "originator": {"organization": originator},
            "publisher": {"organization": originator},
            "purpose": self.context.purpose,
            "recipients": [{"organization": one.organization} for one in self.context.recipients],
            "recipient": {"organization": RECIPIENT},
            "told": {"organization": RECIPIENT},
            "verdict": "permit",
            "known_as": "referral",
            "status": "requested",
            "categories": categories,
            "envelopes": [{**wrapped, "categories": categories}],
        } | changes

    def status(self, status: str, **changes: Any) -> dict[str, Any]:
        """The body with which webhooks asks to tell a lifecycle event."""
        return (
            self.asked(event_type=f"referral.{status}", verdict="status", status=status, categories=[], envelopes=[])
            | changes
        )

    def opened(self, released: dict[str, Any]) -> dict[str, Any]:
        """Open the boxes whose keys were given out."""
        place: dict[str, Any] = {"client_id": self.context.client_id, "referral_id": self.context.referral_id}
        return {
            key["category"]: open_box(
                self.envelope.boxes[key["category"]],
                BoxKey(base64url.decode(key["key"])),
                seq=key["seq"],
                category=key["category"],
                **place,
            )
            for key in released["keys"]
        }


def form(method: str) -> dict[str, Any]:
    """How it was said; what is written has a signature."""
    signers = [] if method == "verbal" else [{"role": "client", "on": "2026-11-20"}]
    return {"method": method, "notice_version": "notice-3", "signers": signers}
