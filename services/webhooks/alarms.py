"""What a person has to look at: it is ours to mend, and no receiver can."""

from typing import Final

from prometheus_client import Counter

from services.kit import logs
from services.webhooks.custodian import Channel, CustodianRefusedError
from services.webhooks.model import Unmade
from services.webhooks.render import UnrenderableError

UNMADE: Final = Counter(
    "threshold_messages_unmade",
    "Times that no message could be made of what was decided: alarm. Which ones stands on the topic deliveries.",
    ["channel", "reason"],
)


def unmade(channel: Channel, error: CustodianRefusedError | UnrenderableError) -> Unmade:
    """Count a message that could not be made, and return that outcome."""
    reason = "unrenderable" if isinstance(error, UnrenderableError) else "not-released"
    UNMADE.labels(channel, reason).inc()
    logs.get().error("no message can be made of a decision", channel=channel, reason=reason, **logs.describe(error))
    return Unmade(reason)
