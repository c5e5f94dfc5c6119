"""The boundary's Faust worker: one record in, one record out, decided from exactly the records before."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from policy.step import Fold
from services.boundary.recovery import OUTPUT, SOURCE, LogMismatch, recover
from services.boundary.settings import BoundarySettings
from services.boundary.snapshots import Snapshot, Snapshots
from services.kit.batches import BatchApp, Run, batch_app
from services.kit.ending import die

SNAPSHOT_EVERY = 20_000  # records of one partition; a restart folds at most as many of each again

DECIDED = Counter("threshold_boundary_records_total", "Records of client-events answered.")
POSITION = Gauge("threshold_boundary_position", "Offset of client-events that is decided next.", ["partition"])


@dataclass
class Held:
    """A partition that this process decides: its fold, where `disclosures` ends, and when it was last saved."""

    fold: Fold
    disclosures_next: int
    saved_at: int


class Boundary:
    """Decides the partitions that Kafka gives to this process."""

    def __init__(self, settings: BoundarySettings) -> None:
        self._settings = settings
        self._snapshots = Snapshots.of(settings.snapshots, settings.assertion_key, settings.root_fingerprint)
        self._held: dict[int, Held] = {}
        self.app: BatchApp = batch_app(
            "boundary", settings.kafka, SOURCE, self._decide, start_offsets=self._start_offsets
        )

    async def _start_offsets(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Where each partition goes on: never from memory, which another owner may have overtaken meanwhile."""
        self._held.clear()
        kafka, root = self._settings.kafka, self._settings.root_fingerprint
        try:
            recovered = await asyncio.gather(*(recover(kafka, one, root, self._snapshots) for one in partitions))
        except LogMismatch as mismatch:
            die(str(mismatch))
        for found, saved_at in recovered:
            partition = found.state.partition
            self._held[partition] = Held(Fold(found.state), found.disclosures_next, saved_at)
            POSITION.labels(partition).set(found.state.next)
        return {found.state.partition: found.state.next for found, _ in recovered}

    async def _decide(self, run: Run) -> None:
        held = self._held.get(run.partition)
        if held is None or run.first != held.fold.state.next or run.end - run.first != len(run.fetched):
            die(f"{run!r} is not what comes next: its decisions would not be the fold of the records before.")
        step = held.fold.step
        outputs = [(each.key, step(each.timestamp, each.key, each.headers, each.value)) for each in run.fetched]
        held.disclosures_next = await self.app.batch_producer.send_run(OUTPUT, run.partition, outputs)
        DECIDED.inc(len(outputs))
        POSITION.labels(run.partition).set(run.end)
        if run.end - held.saved_at >= SNAPSHOT_EVERY:
            await asyncio.to_thread(self._save, held)  # nothing of this partition is decided meanwhile

    def save_all(self) -> None:
        """Save every partition; nothing may be in flight."""
        for held in self._held.values():
            self._save(held)

    def _save(self, held: Held) -> None:
        self._snapshots.save(Snapshot(held.fold.state, held.disclosures_next))
        held.saved_at = held.fold.state.next
