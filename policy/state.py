"""The state of one partition: nothing but the fold of the records before."""

from functools import partial

import msgspec
from msgspec import Struct

from policy.consents import NONE
from policy.control import Control
from schemas.events import ClientConsents, Identifier

# How well a recipient knows a referral.
STRANGER, BY_REFERENCE, BY_ID = 0, 1, 2
_pack = msgspec.msgpack.Encoder().encode
_REMEMBERED_BYTES = 64 * 16  # the last 64 referral events of a client, 16 bytes of hash each


class ReferralState(Struct, kw_only=True, array_like=True):
    """What must not be forgotten of a client's referral; the rest comes with each of its events."""

    facts: bytes  # 16 bytes of hash of what never changes
    historical: bool = False  # once backfill, always
    known: bytes  # one byte a recipient: STRANGER, BY_REFERENCE or BY_ID

    def knows(self, position: int, how_well: int) -> None:
        """Let a recipient know the referral, at least as well as before."""
        if how_well > self.known[position]:
            self.known = self.known[:position] + bytes([how_well]) + self.known[position + 1 :]


class ClientReferrals(Struct, kw_only=True, array_like=True):
    """One client's referrals by id, and hashes of the last referral events."""

    referrals: dict[Identifier, ReferralState] = {}
    remembered: bytes = b""

    def remembers(self, event_hash: bytes) -> bool:
        """Whether an event with this hash was among the last 64; remembers it from now on."""
        start = event_hash[:16]
        if start in self.remembered:
            return True
        self.remembered = (self.remembered + start)[-_REMEMBERED_BYTES:]
        return False


class PartitionState(Struct, kw_only=True, forbid_unknown_fields=True):
    """One partition. `next`: the offset it waits for; `at`: running maximum of LogAppendTime (ms since 1970).

    Clients are kept packed: as objects they would take four times the memory, and a garbage collector's time.
    """

    partition: int
    root_fingerprint: str
    next: int = 0
    at: int = 0
    digest: bytes = bytes(32)
    control: Control = Control()
    consents: dict[Identifier, bytes] = {}
    referrals: dict[Identifier, bytes] = {}

    def consents_of(self, client_id: str) -> ClientConsents:
        """The client's consents; `consents.NONE` itself if nothing was ever said."""
        packed = self.consents.get(client_id)
        return NONE if packed is None else _CONSENTS.decode(packed)

    def referrals_of(self, client_id: str) -> ClientReferrals:
        """The client's referrals; a change counts once they are kept."""
        packed = self.referrals.get(client_id)
        return ClientReferrals() if packed is None else _REFERRALS.decode(packed)

    def keep_consents(self, client_id: str, held: ClientConsents) -> None:
        """Let these be the client's consents."""
        self.consents[client_id] = _pack(held)

    def keep_referrals(self, client_id: str, known: ClientReferrals) -> None:
        """Let these be the client's referrals."""
        self.referrals[client_id] = _pack(known)


_CONSENTS = msgspec.msgpack.Decoder(ClientConsents)
_REFERRALS = msgspec.msgpack.Decoder(ClientReferrals)


snapshot = msgspec.msgpack.Encoder(order="deterministic").encode
restore = partial(msgspec.msgpack.decode, type=PartitionState)
