"""Which reasons an organization may hear of what it published, and the sentence that says each to a person."""

from types import MappingProxyType
from typing import Final

# What the originator's own consents, agreements and attributes explain, and what it may rely on; no sentence says whose
# consent it was, or at which desk a client said a word. Anything else, such as an exclusion said at another
# organization's desk, would tell it that others know the client.
SAYABLE: Final = MappingProxyType(
    {
        "entered-in-error": "The consent for this, or the referral itself, was made in error.",
        "expired": "The consent for this has expired.",
        "historical": "The referral is history: it is recorded, and sent to nobody.",
        "needs-time-limit": "A victim service provider's release needs an end, and this one has none.",
        "needs-written-consent": "A Part 2 program's data needs the client's written or electronic consent.",
        "needs-written-release": "A victim service provider's data needs the client's own written release.",
        "never-a-recipient": "Funders, auditors and community organizations never receive anything about clients.",
        "no-agreement": "No agreement in force lets this organization receive anything from yours for this purpose.",
        "no-consent": "No consent of the client covers this for this recipient and purpose.",
        "no-term": "No term of an agreement in force covers this for this recipient and purpose.",
        "not-yet-valid": "The consent for this is not valid yet.",
        "only-with-the-request": "The need alone is sent with the request only, and not after anything more was.",
        "refused": "The client said no to this.",
        "revoked": "The client took the consent for this back.",
        "same-organization": "This is your own organization.",
        "unknown-organization": "One of the two organizations is not registered.",
        "unknown-project": "The project named is not registered.",
    }
)
UNSAID: Final = "not-permitted"
_UNSAID_EXPLAINED: Final = "This may not be sent to this recipient now."


def sayable(reason: str) -> str:
    """The reason itself if the publisher may hear it; all others become one word."""
    return reason if reason in SAYABLE else UNSAID


def explained(reason: str) -> str:
    """Say a reason to the publisher in a sentence; one that it may not hear as any other of these."""
    return SAYABLE.get(reason, _UNSAID_EXPLAINED)
