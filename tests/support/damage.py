"""Records of each kind that leave a client in doubt: damaged on the way, or forged by whoever may write the topic."""

import json
from collections.abc import Callable
from typing import Final, NamedTuple

from policy import canonical
from policy.murmur2 import partition_of
from schemas.records import ConsentEvent
from services.kit.keys import random_id
from services.kit.signing import Signer
from tests.support.log import PARTITIONS, context, decode_event, key_from


class Bad(NamedTuple):
    """A record that says nothing; its partition, where it is not that of its key."""

    key: str
    value: bytes
    partition: int | None = None


def truncated(client: str, value: bytes) -> Bad:
    return Bad(client, value[: len(value) // 2])


def respelled(client: str, value: bytes) -> Bad:
    """The same, and not in canonical form."""
    return Bad(client, json.dumps(json.loads(value)).encode())


def bit_turned(client: str, value: bytes) -> Bad:
    """Its signature does not fit any more."""
    signature = json.loads(value)["data"]["signature"]
    turned = ("A" if signature[0] != "A" else "B") + signature[1:]
    return Bad(client, value.replace(signature.encode(), turned.encode()))


def of_an_unknown_key(client: str, value: bytes) -> Bad:
    """Signed, by nobody whom the log knows."""
    event = decode_event(value)
    assert isinstance(event, ConsentEvent)
    return Bad(client, Signer("stranger", key_from("stranger")).sign(event, log_id="log", key=client))


def under_another_key(client: str, value: bytes) -> Bad:
    """About the client by what it says, and under another client's key, in the client's own partition."""
    return Bad(random_id(), value, partition_of(client.encode(), PARTITIONS))


def of_an_unknown_type(client: str, _: bytes) -> Bad:
    return Bad(
        client, canonical.encode({**context(random_id()), "data": {"client_id": client}, "type": "consent.lost"})
    )


def empty(client: str, _: bytes) -> Bad:
    return Bad(client, b"")


DAMAGES: Final[tuple[Callable[[str, bytes], Bad], ...]] = (
    truncated,
    respelled,
    bit_turned,
    of_an_unknown_key,
    under_another_key,
    of_an_unknown_type,
    empty,
)
