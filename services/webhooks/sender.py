"""One attempt, from the claimed row to what came of it: ask the custodian, render, sign, send, settle, write.

What is told of beds is written already, and nobody is asked about it: it goes out while the custodian is away, too.
"""

import time
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace
from prometheus_client import Counter, Histogram

from services.kit.database import Database
from services.kit.relay import Relay
from services.webhooks import endpoints, store
from services.webhooks.alarms import unmade
from services.webhooks.custodian import Custodian, CustodianDownError, CustodianRefusedError, Release, ReleaseState
from services.webhooks.dispatch import Claimed, Lane, Result
from services.webhooks.lease import Clock, Lease, since_boot
from services.webhooks.model import Answered, Broken, Disable, Hold, NotSent, Outcome, Unmade, Withdrawn, Withheld
from services.webhooks.notices import Written, wanted
from services.webhooks.outbound import Departure
from services.webhooks.own_keys import OwnKeys
from services.webhooks.render import UnrenderableError, message_type, render, to_json
from services.webhooks.settlements import Settlements
from services.webhooks.signatures import decrypt_secret, signed_headers
from services.webhooks.store import Ended, Job
from services.webhooks.told import Told, wants

REST_SECONDS: Final = 1.0
"""How long nobody is claimed after the custodian was found away."""

ATTEMPTS: Final = Counter("threshold_webhook_attempts", "Attempts, by what came of them", ["outcome"])
SENDING: Final = Histogram(
    "threshold_webhook_send_seconds",
    "From the first try to connect until the receiver's answer.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0),
)


@dataclass(frozen=True)
class Ready:
    """A message that may go out: of a release, while its lease lasts.

    The release's keys are forgotten by now; `body` is, once it is sent.
    """

    shown_type: str
    body: bytes = field(repr=False)
    release: Release | None = None
    lease: Lease | None = None

    @property
    def release_id(self) -> str | None:
        """The release to settle, if there is one."""
        return self.release.release_id if self.release else None


class Sender:
    """Makes attempts. `clock` is the lease's; see services.webhooks.lease."""

    def __init__(
        self,
        database: Database,
        custodian: Custodian,
        settlements: Settlements,
        keys: OwnKeys,
        relay: Relay,
        clock: Clock = since_boot,
    ) -> None:
        self._database = database
        self._custodian = custodian
        self._settlements = settlements
        self._keys = keys
        self._relay = relay
        self._clock = clock
        self._rests_until = float("-inf")

    async def attempt(self, endpoint_id: str, lane: Lane, claimed: Claimed) -> Result:
        """Make the endpoint's next attempt that is due.

        The lane's gate is held until the message is ready, never while its receiver is waited for.
        """
        async with lane.gate:
            began = time.monotonic()
            rests = began < self._rests_until
            async with self._database.direct.connection() as connection:
                job = await store.claim(connection, endpoint_id, decisions=not rests)
            if job is None:
                return Result.RESTING if rests else Result.NOTHING_DUE
            claimed(job.more)
            prepared = await self._prepare(job)
        ended = prepared if isinstance(prepared, Ended) else await self._send(job, prepared, lane)
        result = self._result(ended)
        await self._end(job, ended, result, time.monotonic() - began)
        return result

    async def _prepare(self, job: Job) -> Ready | Ended:
        if not job.is_open:
            return Ended(Withdrawn("endpoint-closed"))
        if isinstance(job.what, Written):
            return _as_written(job, job.what)
        return await self._released(job, job.what)

    async def _released(self, job: Job, told: Told) -> Ready | Ended:
        lease = Lease(self._clock)
        try:
            release = await self._custodian.release(told, job.delivery.attempt, "webhook", is_void=job.is_void)
        except CustodianDownError:
            return Ended(NotSent("custodian-down"))
        except CustodianRefusedError as error:
            return Ended(unmade("webhook", error))
        lease.lasts(release.lease_seconds)
        if release.verdict == "withheld":
            return Ended(Withheld(release.reason), release=release)
        return self._rendered(job, told, release, lease)

    def _rendered(self, job: Job, told: Told, release: Release, lease: Lease) -> Ready | Ended:
        keyless = replace(release, keys=())
        kind = message_type(told, release)
        if not wants(job.types, (kind,)):
            return self._unsent(Withdrawn("filtered"), keyless)
        try:
            body = to_json(render(told, release))
        except UnrenderableError as error:
            return self._unsent(unmade("webhook", error), keyless)
        return Ready(kind, body, keyless, lease)

    def _unsent(self, outcome: Outcome, release: Release) -> Ended:
        self._settlements.note(release.release_id, "not_sent")
        return Ended(outcome, release=release)

    async def _send(self, job: Job, ready: Ready, lane: Lane) -> Ended:
        secret = decrypt_secret(self._keys.endpoint_secrets, job.endpoint_id, job.secret)
        headers = signed_headers(secret, job.webhook_id, int(time.time()), ready.body)
        departure = Departure(ready.lease, self._settlements.noting(ready.release_id, "started"))
        with SENDING.time():
            outcome = await lane.outbound.post(job.url, headers, ready.body, departure)
        self._settlements.note(ready.release_id, _settled(outcome))
        shown_type = None if isinstance(outcome, NotSent) else ready.shown_type
        return Ended(outcome, ready.release, shown_type)

    async def _end(self, job: Job, ended: Ended, result: Result, seconds: float) -> None:
        async with self._database.direct.connection() as connection:
            done = await store.end(connection, job, ended, seconds, notify=not self._relay.leads)
        self._relay.wake()
        was_tried = result in {Result.WORKED, Result.FAILED}
        is_failing = result is Result.FAILED if was_tried else job.is_failing
        if done is None or (done.endpoint is None and is_failing == job.is_failing):
            return
        # A transaction of its own: whoever deletes an endpoint locks it before its deliveries.
        async with self._database.transaction() as session:
            await endpoints.note_failing(session, job.endpoint_id, is_failing=is_failing)
            match done.endpoint:
                case Disable():
                    await endpoints.disable(session, job.endpoint_id, "gone")
                case Hold():
                    await endpoints.hold(session, job.endpoint_id, done.endpoint.until)

    def _result(self, ended: Ended) -> Result:
        outcome = ended.event
        ATTEMPTS.labels(_counted(outcome)).inc()
        match outcome:
            case NotSent(reason="custodian-down"):
                self._rests_until = time.monotonic() + REST_SECONDS
                return Result.RESTING
            case Broken() | Answered():
                return Result.WORKED if _worked(outcome) else Result.FAILED
        return Result.NOT_TRIED


def _as_written(job: Job, written: Written) -> Ready | Ended:
    if written.is_stale:
        return Ended(Withdrawn("superseded"))
    if not wanted(job.types, written.type):
        return Ended(Withdrawn("filtered"))
    return Ready(written.type, written.body)


def _worked(outcome: object) -> bool:
    return isinstance(outcome, Answered) and 200 <= outcome.status < 300


def _settled(outcome: Answered | Broken | NotSent) -> ReleaseState:
    match outcome:
        case Answered():
            return "delivered" if _worked(outcome) else "failed"
        case Broken():
            return "failed" if outcome.left else "not_sent"
    return "not_sent"


def _counted(outcome: object) -> str:
    match outcome:
        case Answered():
            return f"{outcome.status // 100}xx"
        case Broken():
            return outcome.error
        case NotSent() | Withdrawn() | Unmade():
            return outcome.reason
    return "withheld"
