"""What a service asks of Kafka before it serves: that it may do what it will do, and its topics are as declared."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, for_code

from services.kit.broker import quiet_clients
from services.kit.connecting import Kafka, are_this_machine, bootstrap_of, for_client
from services.kit.logs import OperatorError
from services.kit.permitted import missing
from services.kit.rights import Right, of_user
from services.kit.topics import Topic, TopicsDifferError, differences, load

CONNECTED_WITHIN = 10.0  # seconds
TRIED_EVERY = 0.1  # seconds


class NotPermittedError(OperatorError):
    """The service may not do on Kafka what it is there to do; the message names each right that it lacks."""

    def __init__(self, lacking: Sequence[Right]) -> None:
        rights = "; ".join(f"{right.operation} on the {right.kind} {right.name}" for right in lacking)
        super().__init__(
            f"Kafka does not allow its user {lacking[0].user}: {rights}. "
            "Run `threshold topics apply --acls` as an administrator of the cluster."
        )


class NotConnectedError(OperatorError):
    """No broker lets the service in, or none may be reached as it would have to be."""


async def require_topics(kafka: Kafka, service: str, topics: Mapping[str, Topic] | None = None) -> None:
    """Return if Kafka lets `service` do its work: call before serving, since a client that is denied just waits.

    Raises NotPermittedError for a right that it lacks on a topic or a group, TopicsDifferError unless every topic that
    it reads or writes is as declared, NotConnectedError where no broker lets it in, or one that is not on this machine
    would be reached in the clear.

    By aiokafka, which every service loads anyway and its administration with it: `cluster.check` says the same with a
    client that would be 12 MB of a service that only reads.
    """
    declared = load() if topics is None else topics
    mine = {name: topic for name, topic in declared.items() if service in topic.writers + topic.readers}
    async with _connected(kafka) as admin:
        if lacking := await _lacking(admin, of_user(service, declared)):
            raise NotPermittedError(lacking)
        counts = await _partition_counts(admin)
        configs = await _configs(admin, [name for name in mine if name in counts])
    found = [
        sentence
        for name, topic in mine.items()
        for sentence in differences(topic, counts.get(name), configs.get(name, {}))
    ]
    if found:
        raise TopicsDifferError(found)


@asynccontextmanager
async def _connected(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    quiet_clients()
    admin = AIOKafkaAdminClient(**for_client(kafka))
    try:
        await _start(admin, kafka)
        if isinstance(kafka, str):
            _require_this_machine(admin)
        yield admin
    finally:
        await admin.close()


async def _start(admin: AIOKafkaAdminClient, kafka: Kafka) -> None:
    until = time.monotonic() + CONNECTED_WITHIN
    while True:
        try:
            await admin.start()
        except KafkaConnectionError as error:
            if time.monotonic() > until:
                how = "in the clear" if isinstance(kafka, str) else f"by TLS as the user {kafka.user}"
                raise NotConnectedError(
                    f"No broker of {bootstrap_of(kafka)} answers and lets us in, {how}: is it up, and are "
                    "THRESHOLD_KAFKA_CA and THRESHOLD_KAFKA_PASSWORD its own?"
                ) from error
            await asyncio.sleep(TRIED_EVERY)
        else:
            return


def _require_this_machine(admin: AIOKafkaAdminClient) -> None:
    """Records go where the brokers say that they are, whatever address they were asked at."""
    told = [f"{broker.host}:{broker.port}" for broker in admin._client.cluster.brokers()]  # noqa: SLF001
    if elsewhere := sorted(address for address in told if not are_this_machine(address)):
        raise NotConnectedError(
            f"The brokers say that they are at {', '.join(elsewhere)}: only brokers on this machine are reached "
            "without TLS and a user. Set THRESHOLD_KAFKA_PASSWORD, or their advertised.listeners."
        )


async def _lacking(admin: AIOKafkaAdminClient, rights: Sequence[Right]) -> list[Right]:
    try:
        return await missing(admin, rights)
    except TimeoutError as error:
        raise NotConnectedError(
            "No broker says what the service may do on its topics and groups: is the cluster up?"
        ) from error


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    # Of all topics: to ask for one by its name would make it, on a cluster that makes whatever is asked for.
    return {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics()}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for error, _, _, name, entries in answer.resources:
            if error:
                raise for_code(error)(f"the configuration of {name}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
