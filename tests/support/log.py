"""A log in memory for tests of the policy: signs, keys and places records as the services do."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy import canonical
from policy.control import control_key
from policy.murmur2 import partition_of
from policy.signatures import fingerprint
from policy.state import PartitionState
from policy.step import Fold
from schemas.control import GenesisData, KeyData, SigningKey
from schemas.disclosures import Disclosure
from schemas.records import ControlEvent, Event, KeyAdded, LogGenesis, ReferralEvents, SignedEvent
from services.kit.keys import encode_public
from services.kit.signing import Signer

LOG_ID = "log-of-tests"
PARTITIONS = 12
START = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_DISCLOSURE = msgspec.json.Decoder(Disclosure)


def key_from(name: str) -> Ed25519PrivateKey:
    """A private key that is the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])


def signer(name: str) -> Signer:
    """The signer of this name, with the private key that has its name."""
    return Signer(name, key_from(name))


def public(key: Ed25519PrivateKey) -> str:
    """The raw public key, base64url without padding."""
    return encode_public(key.public_key())


ROOT, GOVERNANCE, CONSENT = signer("root"), signer("governance"), signer("consent")
ROOT_FINGERPRINT = fingerprint(public(ROOT.private_key))
GOVERNANCE_TYPES = ("organization.", "agreement.", "policy.", "key.", "control.")
CONSENT_TYPES = ("consent.", "client.")


Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Record:
    """One record as the broker keeps it; `timestamp` in milliseconds since 1970."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()


def clients_in(partition: int, count: int) -> list[str]:
    """Client ids that murmur2 puts into `partition`."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        name = f"client-{number:016d}"
        if partition_of(name.encode(), PARTITIONS) == partition:
            found.append(name)
        number += 1
    return found


@dataclass
class Log:
    """The records of one partition, and the clock that stamps them."""

    partition: int = 0
    records: list[Record] = field(default_factory=list)
    now: int = START
    order: int = 0

    def next_order(self) -> int:
        """A signed order above all before."""
        self.order += 1
        return self.order

    def append(self, key: str | None, value: bytes | None, headers: Headers = ()) -> Record:
        """Put raw bytes on the log, a millisecond after the last."""
        self.now += 1
        record = Record(None if key is None else key.encode(), value, self.now, headers)
        self.records.append(record)
        return record

    def again(self, record: Record) -> None:
        """Put a record on the log once more, byte for byte, at a later time."""
        self.append(None if record.key is None else record.key.decode(), record.value, record.headers)

    def sign(
        self, event: SignedEvent, signer: Signer | None = None, key: str | None = None, log_id: str = LOG_ID
    ) -> Record:
        """Put a signed record on the log: by the service that owns its type, unless told otherwise."""
        control = isinstance(event, ControlEvent)
        default = GOVERNANCE if control else CONSENT
        record_key = key or (control_key(event) if isinstance(event, ControlEvent) else event.data.client_id)
        return self.append(record_key, (signer or default).sign(event, log_id=log_id, key=record_key))

    def publish(self, event: ReferralEvents) -> Record:
        """Put a referral event on the log."""
        return self.append(event.data.client_id, canonical.encode(event))

    def begin(self) -> None:
        """Genesis, and the keys of governance and consent."""
        data = GenesisData(
            order=self.next_order(),
            key_id="root",
            signature="-",
            log_id=LOG_ID,
            partitions=PARTITIONS,
            partition=self.partition,
            root_public_key=public(ROOT.private_key),
            policy_version=1,
        )
        self.sign(LogGenesis(**context("genesis"), data=data), ROOT)
        for signer, types in ((GOVERNANCE, GOVERNANCE_TYPES), (CONSENT, CONSENT_TYPES)):
            self.sign(KeyAdded(**context(signer.key_id), data=self.key_data(signer, types)), ROOT)

    def key_data(self, signer: Signer, types: tuple[str, ...]) -> KeyData:
        """`data` of key.added for this signer."""
        key = SigningKey(id=signer.key_id, public_key=public(signer.private_key), owner=signer.key_id, types=types)
        return KeyData(order=self.next_order(), key_id="root", signature="-", key=key)


def context(event_id: str) -> dict[str, Any]:
    """The CloudEvents attributes of an event."""
    return {"id": event_id, "source": "/tests", "time": "2026-11-22T12:00:00Z", "specversion": "1.0"}


def fold(records: list[Record], partition: int = 0) -> tuple[Fold, list[Disclosure]]:
    """Fold records from the start; the fold and every disclosure."""
    folding = Fold(PartitionState(partition=partition, root_fingerprint=ROOT_FINGERPRINT))
    return folding, [disclose(folding, record) for record in records]


def disclose(folding: Fold, record: Record) -> Disclosure:
    """The disclosure that answers the next record."""
    return _DISCLOSURE.decode(folding.step(record.timestamp, record.key, record.headers, record.value))


def decode_event(value: bytes) -> Event:
    """The event in a record."""
    return _EVENT.decode(value)
