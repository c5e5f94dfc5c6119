"""Follows the control records of every partition: who the organizations are, what is agreed, which keys count.

For its readers a narrowing counts from the first partition that carries it, a widening once all of them do: whoever
decides asks under each of `controls()` and takes what all permit.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from policy.allowed import Allowed, allowed_now
from policy.consents import NONE
from policy.control import Control
from schemas.control import GenesisData, Organization
from schemas.events import ClientConsents, Party, PurposeOfUse
from services.kit.broker import quiet_clients
from services.kit.connecting import Kafka, for_client
from services.kit.doubts import Doubts
from services.kit.ending import die

TOPIC = "client-events"
CONFIRM_EVERY = 0.25  # seconds
GATHERED_BYTES = 1 << 20  # a backlog is not waited for


class ControlView:
    """The control state of each partition, as far as it was read; with `of_clients` also which clients are in doubt.

    `confirmed_at` is a reading of the monotonic clock: everything that stood on the log by then has been read.
    """

    def __init__(self, root_fingerprint: str, partitions: int, *, of_clients: bool = False) -> None:
        self._partitions = [
            Doubts(partition, root_fingerprint, of_clients=of_clients) for partition in range(partitions)
        ]
        self._distinct: list[Control] = [Control()]
        self.positions = [0] * partitions
        self.confirmed_at = float("-inf")
        self._began = asyncio.Event()
        self._moved = asyncio.Event()

    async def began(self) -> GenesisData:
        """Wait until every partition has its genesis and all that stood on the log has been read."""
        await self._began.wait()
        genesis = self._distinct[0].genesis
        if genesis is None:
            raise RuntimeError("began without a genesis")
        return genesis

    def controls(self) -> Sequence[Control]:
        """The distinct control states of the partitions: one, except while a record spreads over them."""
        return self._distinct

    def by_partition(self) -> list[Control]:
        """The control state of each partition, in their order."""
        return [each.control for each in self._partitions]

    def clients_in_doubt(self) -> dict[str, ClientConsents]:
        """Each client in doubt, with what counted of its consents on the log; of its grants the renewed alone."""
        return {client_id: said for each in self._partitions for client_id, said in each.clients.items()}

    def said_of_clients(self) -> Iterator[tuple[str, ClientConsents]]:
        """Each client of whom a signed record counted on the log, with what was said; of the grants the renewed."""
        return chain.from_iterable(each.said_of_clients() for each in self._partitions)

    def said_of(self, client_id: str) -> ClientConsents:
        """What was said of a client, of the grants the renewed alone; NONE if nothing that counted was."""
        for each in self._partitions:
            if (said := each.said_of(client_id)) is not NONE:
                return said
        return NONE

    def forget(self, client_id: str) -> None:
        """Let go of a client in doubt of whom nobody will ever say anything."""
        for each in self._partitions:
            each.forget(client_id)

    def confirmed_within(self, seconds: float) -> bool:
        """Whether everything on the log `seconds` ago has been read."""
        return time.monotonic() - self.confirmed_at <= seconds

    def organization(self, organization_id: str) -> Organization | None:
        """The organization's attributes, once every partition has them."""
        found = [control.organizations.get(organization_id) for control in self._distinct]
        return found[0] if all(found) else None

    def allowed(
        self, consents: ClientConsents, publisher: Party, recipient: Party, purpose: PurposeOfUse, at: int
    ) -> list[Allowed]:
        """`policy.allowed.allowed_now` under each distinct control state: only what all of them permit may cross."""
        return [allowed_now(consents, control, publisher, recipient, purpose, at) for control in self._distinct]

    def read(self, partition: int, records: Sequence[Any]) -> None:
        """Fold what is of control, or may be, among aiokafka's `records` of one partition."""
        doubts, changed = self._partitions[partition], False
        for record in records:
            changed |= doubts.read(record.timestamp, record.key, record.headers, record.value)
        self.positions[partition] = records[-1].offset + 1
        self._moved.set()
        if changed:
            self._distinct = _distinct(self.by_partition())

    async def reached(self, ends: Mapping[int, int]) -> None:
        """Wait until every partition has been read to its end offset."""
        while any(self.positions[partition] < end for partition, end in ends.items()):
            self._moved.clear()
            await self._moved.wait()

    def confirm(self, asked_at: float) -> None:
        """Note that the log's ends as of `asked_at` (monotonic clock) have been reached."""
        self.confirmed_at = asked_at
        if all(control.genesis is not None for control in self._distinct):
            self._began.set()


def _distinct(controls: list[Control]) -> list[Control]:
    """Equal ones once; the partition of a genesis is the one thing in which they always differ."""
    found: list[Control] = []
    for control in controls:
        if not any(_same(control, one) for one in found):
            found.append(control)
    return found


def _same(one: Control, other: Control) -> bool:
    if one.genesis is None or other.genesis is None:
        return one.genesis is other.genesis
    return _content(one) == _content(other) and one.genesis.log_id == other.genesis.log_id


def _content(control: Control) -> tuple[object, ...]:
    """What tells two states apart: records of one order are one record, so their marks stand for what they said.

    What narrowed, late or not, shows in what is left of it. What ended and is restated by nobody is the same to all:
    otherwise the partition that missed its end would differ for ever.
    """
    agreements = control.agreements.values()
    left = {(one.id, party) for one in agreements for party in one.parties if (one.id, party) in control.left}
    in_force = set(control.agreements), left, set(control.keys)
    return control.marks, control.in_doubt, control.floor, control.policy_version, *in_force


@asynccontextmanager
async def followed(kafka: Kafka, view: ControlView, *, patience: float = 0.0) -> AsyncIterator[ControlView]:
    """Keep `view` at the end of the log while the block runs; what it can't read ends the process.

    With `patience` the broker gathers records for so many seconds, since hardly any is one of control. Not for who
    gives a verdict that stands for good: an agreement that was just activated must count with the next referral.
    """
    quiet_clients()
    consumer = AIOKafkaConsumer(
        **for_client(kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        **({"fetch_min_bytes": GATHERED_BYTES, "fetch_max_wait_ms": int(patience * 1000)} if patience else {}),
    )
    async with consumer:
        partitions = [TopicPartition(TOPIC, partition) for partition in range(len(view.positions))]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        tasks = [asyncio.create_task(_watched(part(consumer, view))) for part in (_reading, _confirming)]
        try:
            yield view
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _watched(part: Any) -> None:  # noqa: ANN401 - a coroutine of either part
    try:
        await part
    except Exception as error:  # noqa: BLE001 - a view that silently stands still would still be asked
        die("The control records can't be followed:", error)


async def _reading(consumer: Any, view: ControlView) -> None:  # noqa: ANN401 - aiokafka is untyped
    while True:
        fetched = await consumer.getmany(timeout_ms=1000)
        for partition, records in fetched.items():
            view.read(partition.partition, records)


async def _confirming(consumer: Any, view: ControlView) -> None:  # noqa: ANN401 - aiokafka is untyped
    """While the broker is away nothing is confirmed, and who needs it fresh says no."""
    partitions = list(consumer.assignment())
    while True:
        asked_at = time.monotonic()
        ends = await _ends(consumer, partitions)
        if ends is not None:
            await view.reached(ends)
            view.confirm(asked_at)
        await asyncio.sleep(CONFIRM_EVERY)


async def _ends(consumer: Any, partitions: list[Any]) -> dict[int, int] | None:  # noqa: ANN401 - aiokafka is untyped
    try:
        async with asyncio.timeout(1.0):
            ends = await consumer.end_offsets(partitions)
            return {partition.partition: end for partition, end in ends.items()}
    except (TimeoutError, OSError):
        return None
    except Exception as error:
        if type(error).__module__.startswith(("aiokafka", "kafka")):
            return None
        raise
