"""Shows from `bed-holds` alone that no bed ever had two holders."""

from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Final

import msgspec

from schemas.beds import HoldEvents

_EVENT: Final = msgspec.json.Decoder(HoldEvents)
BEGIN: Final = "hold.placed"
END: Final = frozenset({"hold.released", "hold.expired", "hold.checked_in"})
OF_A_REQUEST: Final = frozenset({"hold.requested", "hold.released", "hold.expired"})


def double_holders(values: Iterable[bytes]) -> list[str]:
    """Return a sentence for each place where the records of a bed do not follow from one holder at a time.

    `values` are all records of the topic, each partition's in order. Each bed's count from 1 without a hole; a bed that
    is free is placed, one that is held goes on with the same hold until that ends. A copy of an earlier record, as a
    relay may send again, says nothing new. A request holds nothing: it has no bed, and a hold that ended as one never
    has.
    """
    records: dict[str, list[HoldEvents]] = defaultdict(list)
    without: list[HoldEvents] = []
    for value in values:
        event = _EVENT.decode(value)
        bed_id, order = event.data.bed_id, event.data.order or 0
        if bed_id is None:
            without.append(event)
        elif not (0 < order <= len(records[bed_id]) and records[bed_id][order - 1] == event):
            records[bed_id].append(event)
    of_beds = [fault for bed_id, events in records.items() for fault in _faults(bed_id, events)]
    had_beds = {event.data.hold_id for events in records.values() for event in events}
    return [*of_beds, *(fault for event in without for fault in _faults_without_a_bed(event, had_beds))]


def _faults_without_a_bed(event: HoldEvents, had_beds: Container[str]) -> Iterable[str]:
    kind, hold_id = str(event.__struct_config__.tag), event.data.hold_id
    if kind not in OF_A_REQUEST or event.data.order is not None or event.data.bed_ids:
        yield f"{hold_id}: {kind} without a bed"
    if kind in END and hold_id in had_beds:
        yield f"{hold_id}: {kind} as a request, and it had beds"


def _faults(bed_id: str, events: Iterable[HoldEvents]) -> Iterable[str]:
    hold = None
    for number, event in enumerate(events, 1):
        kind, data = str(event.__struct_config__.tag), event.data
        if data.order != number:
            yield f"{bed_id}: record {number} has the order {data.order}"
        if hold is None and kind != BEGIN:
            yield f"{bed_id}: {kind} at {number} of a bed that nobody holds"
        if hold is not None and data.hold_id != hold:
            yield f"{bed_id}: {kind} at {number} for another than its holder"
        if hold is not None and kind == BEGIN:
            yield f"{bed_id}: {kind} at {number} of a bed that is held"
        hold = None if kind in END else data.hold_id
