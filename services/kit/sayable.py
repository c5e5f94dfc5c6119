"""Which reasons an organization may hear of what it published."""

from typing import Final

# What the originator's own consents, agreements and attributes explain. Anything else, such as an exclusion said at
# another organization's desk, would tell it that others know the client.
SAYABLE: Final = frozenset(
    {
        "entered-in-error",
        "expired",
        "historical",
        "needs-time-limit",
        "needs-written-consent",
        "needs-written-release",
        "never-a-recipient",
        "no-agreement",
        "no-consent",
        "no-term",
        "not-yet-valid",
        "only-with-the-request",
        "refused",
        "revoked",
        "same-organization",
        "unknown-organization",
        "unknown-project",
    }
)
UNSAID: Final = "not-permitted"


def sayable(reason: str) -> str:
    """The reason itself if the publisher may hear it; all others become one word."""
    return reason if reason in SAYABLE else UNSAID
