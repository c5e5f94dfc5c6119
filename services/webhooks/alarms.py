"""What a person has to look at: it is ours to mend, and no receiver can."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from services.kit import logs
from services.kit.broker import Record
from services.webhooks.custodian import Channel, CustodianRefusedError
from services.webhooks.model import Unmade
from services.webhooks.notices import Notice, UnreadableError, notices
from services.webhooks.render import UnrenderableError

UNMADE: Final = Counter(
    "threshold_messages_unmade",
    "Times that no message could be made of what was decided: alarm. Which ones stands on the topic deliveries.",
    ["channel", "reason"],
)
UNREADABLE: Final = Counter(
    "threshold_notice_records_unreadable",
    "Records of what is told without a decision that can't be read: alarm",
    ["topic"],
)


def unmade(channel: Channel, error: CustodianRefusedError | UnrenderableError) -> Unmade:
    """Count a message that could not be made, and return that outcome."""
    reason = "unrenderable" if isinstance(error, UnrenderableError) else "not-released"
    UNMADE.labels(channel, reason).inc()
    logs.get().error("no message can be made of a decision", channel=channel, reason=reason, **logs.describe(error))
    return Unmade(reason)


def readable_notices(records: Sequence[Record]) -> list[Notice]:
    """Return the notices in records; one that can't be read is passed over, since referrals must not wait for it."""
    try:
        return notices(records)
    except UnreadableError:
        return notices([record for record in records if _is_readable(record)])


def _is_readable(record: Record) -> bool:
    try:
        notices([record])
    except UnreadableError as error:
        UNREADABLE.labels(record.topic).inc()
        where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        logs.get().error("a notice can't be read", **where, **logs.describe(error))
        return False
    return True
