"""From a record's bytes to the event it is, or the code for why it is none."""

import msgspec
from msgspec import Struct

from policy import canonical
from policy.control import KEY_PREFIX, Control, control_key
from policy.signatures import fingerprint, signing_bytes, verifies
from schemas.events import LONGEST_CLIENT_ID, SHORTEST_CLIENT_ID
from schemas.records import ControlRecord, Event, LogGenesis, SignedEvent

_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
TYPES: dict[str, type[Event]] = {str(one.__struct_config__.tag): one for one in Event.__args__}
_DECODERS = {tag.encode(): msgspec.json.Decoder(kind) for tag, kind in TYPES.items()}
_CONTROL_FAMILIES = ("organization.", "agreement.", "policy.", "key.", "control.", "log.")


class Refused(Exception):
    """The record is no event that counts; `code` is one of `reasons.RESULTS`. Carries nothing of its bytes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _ClaimedData(Struct, frozen=True):
    client_id: str = ""


class _Claim(Struct, frozen=True):
    """As much as a broken record may still say of itself."""

    type: str = ""
    data: _ClaimedData = _ClaimedData()


_CLAIM = msgspec.json.Decoder(_Claim)


def parse(value: bytes | None) -> Event:
    """The event that `value` is the canonical form of; raises Refused."""
    value = value or b""
    # In canonical form the type stands last: who knows it need not look for it first, which takes as long as decoding.
    named = value[value.rfind(b'"', 0, -2) + 1 : -2]
    try:
        return canonical.decode(value, _DECODERS.get(named, _EVENT))
    except canonical.NotCanonical:
        raise Refused("not-canonical") from None
    except msgspec.MsgspecError:
        known = _claim(value).type in ("", *TYPES)
        raise Refused("malformed" if known else "unknown-type") from None


def _claim(value: bytes | None) -> _Claim:
    try:
        return _CLAIM.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Claim()


def keys_in_doubt(key: str, value: bytes | None) -> list[str]:
    """The keys of what a record that failed may have been about; KEY_PREFIX alone for all control records.

    Only what says that it is a referral's is about no consent: the type itself may be what was damaged. What is longer
    than a client's id is no client's, and kept nowhere: whoever writes rubbish fills nobody's memory.
    """
    claim = _claim(value)
    if key.startswith(KEY_PREFIX) or claim.type.startswith(_CONTROL_FAMILIES):
        return [KEY_PREFIX]
    if claim.type.startswith("referral."):
        return []
    return sorted(name for name in {key, claim.data.client_id} if SHORTEST_CLIENT_ID <= len(name) <= LONGEST_CLIENT_ID)


def check_key(event: Event, key: str) -> None:
    """The key is the client's id, or the control id; raises Refused."""
    expected = control_key(event) if isinstance(event, ControlRecord) else event.data.client_id
    if key != expected:
        raise Refused("wrong-key")


def check_signature(event: SignedEvent, key: str, control: Control) -> None:
    """A key in force, meant for this type, signed exactly this for exactly this log and key; raises Refused."""
    genesis, event_type = control.genesis, type_of(event)
    signing_key = control.keys.get(event.data.key_id)
    if genesis is None:
        raise Refused("no-genesis")
    if event.data.key_id == "root" and event_type == "key.added":
        public_key = genesis.root_public_key
    elif signing_key is None:
        raise Refused("unknown-signing-key")
    elif not event_type.startswith(signing_key.types):
        raise Refused("key-not-for-type")
    else:
        public_key = signing_key.public_key
    if not verifies(public_key, event.data.signature, signing_bytes(genesis.log_id, event_type, key, event.data)):
        raise Refused("bad-signature")


def is_genesis(event: LogGenesis, key: str, partition: int, root_fingerprint: str) -> bool:
    """Whether it is this partition's genesis under the pinned root key."""
    data = event.data
    return (
        key == control_key(event)
        and data.partition == partition < data.partitions
        and fingerprint(data.root_public_key) == root_fingerprint
        and verifies(data.root_public_key, data.signature, signing_bytes(data.log_id, "log.genesis", key, data))
    )


def type_of(event: Event) -> str:
    """The event's CloudEvents type."""
    return str(type(event).__struct_config__.tag)
