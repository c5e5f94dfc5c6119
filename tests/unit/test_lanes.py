"""The lanes of the relay, simulated: whatever fails, nothing is lost and nothing overtakes."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.kit.lanes import Lanes
from services.kit.outbox import OutboxRow

LIMIT = 3


def row(number: int, aggregate: str = "a", partition: int | None = None) -> OutboxRow:
    return OutboxRow(number, aggregate, "topic", b"key", partition, b"body")


@dataclass
class World:
    """An outbox, a log, and the rows on their way between them."""

    outbox: list[OutboxRow]
    lanes: Lanes = field(default_factory=lambda: Lanes(LIMIT))
    log: list[OutboxRow] = field(default_factory=list)
    flying: list[OutboxRow] = field(default_factory=list)

    def step(self, data: st.DataObject, *, failing: bool) -> None:
        self.lanes.add(each for each in self.outbox if each.id not in self.lanes.known)
        self.flying += self.lanes.next_to_send()
        assert len(self.flying) == self.lanes.in_flight <= LIMIT
        landed = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        fate = data.draw(st.sampled_from(["taken", "lost", "taken and unknown"] if failing else ["taken"]))
        if fate != "lost":
            self.log.append(landed)
        if fate == "taken":
            self.lanes.acknowledged(landed)
            self.outbox.remove(landed)
            self.lanes.forget([landed.id])
        else:
            self.lanes.failed(landed)


rows = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0, 1])), max_size=25).map(
    lambda lanes: [row(number, *lane) for number, lane in enumerate(lanes)]
)


@given(outbox=rows, failures=st.integers(0, 30), data=st.data())
def test_each_lane_stands_on_the_log_whole_and_in_order(
    outbox: list[OutboxRow], failures: int, data: st.DataObject
) -> None:
    world = World(list(outbox))
    while world.outbox:
        world.step(data, failing=failures > 0)
        failures -= 1
    for lane in {(each.aggregate, each.partition) for each in outbox}:
        first_copies = dict.fromkeys(each.id for each in world.log if (each.aggregate, each.partition) == lane)
        assert list(first_copies) == [each.id for each in outbox if (each.aggregate, each.partition) == lane]
    assert not world.lanes.known


def test_a_parked_row_holds_back_its_aggregate_and_nobody_else() -> None:
    lanes = Lanes(LIMIT)
    lanes.add([row(1), row(2), row(3, partition=0), row(4, "b"), row(5, partition=0)])
    assert [each.id for each in lanes.next_to_send()] == [1, 3, 4]
    lanes.park(row(1))
    lanes.acknowledged(row(3, partition=0))
    lanes.acknowledged(row(4, "b"))
    assert lanes.next_to_send() == []
    lanes.forget([3, 4])
    assert lanes.known == set()


def test_a_fetch_that_overlapped_the_parking_brings_nothing_back() -> None:
    lanes = Lanes(LIMIT)
    lanes.add([row(1)])
    lanes.next_to_send()
    lanes.park(row(1))
    lanes.add([row(1), row(2)])
    assert lanes.next_to_send() == []
    lanes.park_is_durable("a")
    lanes.add([row(1)])
    assert [each.id for each in lanes.next_to_send()] == [1]
