"""Asks a cluster what its own user may do there: two requests that aiokafka has in older versions or with a fault."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from services.kit.rights import Operation, Right

ANSWERED_WITHIN: Final = 20.0  # seconds; in a new cluster the first group waits until there is a topic for groups
TRY_WITHIN: Final = 2.0  # seconds
TRIED_EVERY: Final = 0.1  # seconds
NOT_THERE: Final = 3
DENIED: Final = (29, 30)  # a topic, a group: not even whether it exists is said
NOT_YET: Final = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    KafkaConnectionError,
    NodeNotReadyError,
    TimeoutError,
)
BITS: Final[dict[Operation, int]] = {
    "read": 3,
    "write": 4,
    "create": 5,
    "describe": 8,
    "describe_configs": 10,
    "alter_configs": 11,
}
"""Which bit of an answer stands for which operation: Kafka's AclOperation."""

_TEXT = String("utf-8")
T = TypeVar("T")


class _TopicsAnswer(Response):  # type: ignore[misc]  # aiokafka has no types for us
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _TopicsQuestion(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicsAnswer
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _GroupQuestion(DescribeGroupsRequest_v3):  # type: ignore[misc]
    RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka reads the answer as an older version's


class _Topics(Request[_TopicsQuestion]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def build(self, question: type[_TopicsQuestion]) -> _TopicsQuestion:
        return question(self._names, False, False, True)


class _Group(Request[_GroupQuestion]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, question: type[_GroupQuestion]) -> _GroupQuestion:
        return question([self._name], True)


async def missing(admin: AIOKafkaAdminClient, rights: Iterable[Right]) -> list[Right]:
    """Return those of the rights, all of the user who is connected, that the cluster does not give.

    On a topic that it may not even describe it lacks all; on one that does not exist, none. Where nobody is denied
    anything, as on one's own machine, none is missing. TimeoutError if there is no answer.
    """
    asked = list(rights)
    async with asyncio.timeout(ANSWERED_WITHIN):
        topics = await _answered(lambda: _of_topics(admin, _names(asked, "topic")))
        groups = {name: await _answered(partial(_of_group, admin, name)) for name in _names(asked, "group")}
    allowed = {("topic", name): bits for name, bits in topics.items()}
    allowed |= {("group", name): bits for name, bits in groups.items()}
    return [right for right in asked if not allowed[right.kind, right.name] & 1 << BITS[right.operation]]


def _names(rights: Iterable[Right], kind: str) -> list[str]:
    return list(dict.fromkeys(right.name for right in rights if right.kind == kind))


async def _of_topics(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    answer = await admin._send_request(_Topics(names))  # noqa: SLF001 - a request that it has no method for
    return {name: _bits(error, bits) for error, name, _, _, bits in answer.topics}


async def _of_group(admin: AIOKafkaAdminClient, name: str) -> int:
    try:
        coordinator = await admin.find_coordinator(name)
    except GroupAuthorizationFailedError:
        return 0
    answer = await admin._send_request_to_node(coordinator, _Group(name))  # noqa: SLF001 - as above
    error, *_, bits = answer.groups[0]
    return _bits(int(error), int(bits))


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: a broker that was just there may be away, or not know its groups yet."""
    while True:
        try:
            async with asyncio.timeout(TRY_WITHIN):
                return await ask()
        except NOT_YET:
            await asyncio.sleep(TRIED_EVERY)


def _bits(error: int, bits: int) -> int:
    if error == NOT_THERE:
        return ~0
    if error in DENIED:
        return 0
    if error:
        raise for_code(error)
    return bits
