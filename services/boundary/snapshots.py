"""Keeps a partition's state in a file, so that a restart folds the tail of the log only."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from policy.state import PartitionState

_MAC_BYTES = 32


class Snapshot(Struct):
    """A state, and where in `disclosures` the record after its last one may stand at the earliest."""

    state: PartitionState
    disclosures_next: int


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one boundary in `folder`; each carries a MAC under a key that only the boundary has.

    A snapshot says what may cross. One that anybody else wrote or changed must count as none.
    """

    folder: Path
    key: bytes

    @classmethod
    def of(cls, folder: Path, own_key: Ed25519PrivateKey, root_fingerprint: str) -> "Snapshots":
        """The snapshots of the boundary with this key, for the log under this root."""
        info = f"threshold boundary snapshots 2 {root_fingerprint}".encode()
        key = HKDF(SHA256(), 32, salt=None, info=info).derive(own_key.private_bytes_raw())
        return cls(folder, key)

    def save(self, snapshot: Snapshot) -> None:
        """Write it whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = msgspec.msgpack.encode(snapshot)
        path = self._path(snapshot.state.partition)
        unfinished = path.with_suffix(".new")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(self._mac(content) + content)
        unfinished.replace(path)

    def load(self, partition: int) -> Snapshot | None:
        """The partition's snapshot; None if there is none, or none that this build and this boundary wrote."""
        try:
            stored = self._path(partition).read_bytes()
        except FileNotFoundError:
            return None
        mac, content = stored[:_MAC_BYTES], stored[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content)):
            return None
        try:
            snapshot = msgspec.msgpack.decode(content, type=Snapshot)
        except msgspec.MsgspecError:
            return None
        return snapshot if snapshot.state.partition == partition else None

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self.key, content, hashlib.sha256)

    def _path(self, partition: int) -> Path:
        return self.folder / f"client-events-{partition}.snapshot"
