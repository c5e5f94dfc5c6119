"""Shows from `bed-holds` alone that no bed ever had two holders."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.beds import HoldEvents

_EVENT: Final = msgspec.json.Decoder(HoldEvents)
BEGIN: Final = frozenset({"hold.requested", "hold.placed"})
END: Final = frozenset({"hold.released", "hold.expired", "hold.checked_in"})


def double_holders(values: Iterable[bytes]) -> list[str]:
    """Return a sentence for each place where the records of a bed do not follow from one holder at a time.

    `values` are all records of the topic, each partition's in order. Each bed's count from 1 without a hole; a bed that
    is free is asked for or placed, one that is held goes on with the same hold until that ends. A copy of an
    earlier record, as a relay may send again, says nothing new.
    """
    records: dict[str, list[HoldEvents]] = defaultdict(list)
    for value in values:
        event = _EVENT.decode(value)
        known = records[event.data.bed_id]
        if not (0 < event.data.order <= len(known) and known[event.data.order - 1] == event):
            known.append(event)
    return [fault for bed_id, events in records.items() for fault in _faults(bed_id, events)]


def _faults(bed_id: str, events: Iterable[HoldEvents]) -> Iterable[str]:
    hold, step = None, ""
    for number, event in enumerate(events, 1):
        kind, data = str(event.__struct_config__.tag), event.data
        if data.order != number:
            yield f"{bed_id}: record {number} has the order {data.order}"
        if hold is None and kind not in BEGIN:
            yield f"{bed_id}: {kind} at {number} of a bed that nobody holds"
        if hold is not None and data.hold_id != hold:
            yield f"{bed_id}: {kind} at {number} for another than its holder"
        if hold is not None and kind in BEGIN and (step, kind) != ("hold.requested", "hold.placed"):
            yield f"{bed_id}: {kind} at {number} of a bed that is held"
        hold, step = (None, "") if kind in END else (data.hold_id, kind)
