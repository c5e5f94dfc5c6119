"""The typed port through which relays write to Kafka: a producer that only sends what its service may."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.record.default_records import DefaultRecordBatchBuilder
from msgspec import Struct

from services.kit import topics as declarations
from services.kit.broker import Headers, UnsendableError, allow, quiet_clients
from services.kit.connecting import Kafka, for_client
from services.kit.topics import Topic


class Placed(Struct, frozen=True, gc=False):
    """Where and when the log took a record; `timestamp_ms` is the append time in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class RecordTooLargeError(UnsendableError):
    """The record, with its key and headers, is larger than its topic takes."""


class NoSuchPartitionError(UnsendableError):
    """The topic does not have the partition asked for."""


class LogProducer:
    """An idempotent producer (acks=all, keys placed by murmur2) for the topics that list `service` as a writer.

    Constructing it connects, blocking up to `connect_timeout` seconds; it raises kafka.errors.KafkaError if no broker
    answers. A send
    retries without duplicating or reordering until `delivery_timeout` seconds have passed; its future then fails with
    an outcome that nobody knows. After a failure that is not a timeout the producer may be of no more use: make a new
    one.
    """

    def __init__(
        self,
        service: str,
        kafka: Kafka,
        *,
        topics: Mapping[str, Topic] | None = None,
        delivery_timeout: float = 60.0,
        request_timeout: float = 10.0,
        connect_timeout: float = 10.0,
    ) -> None:
        quiet_clients()
        self.aborted = False
        self._service = service
        self._topics = declarations.load() if topics is None else topics
        self._producer = KafkaProducer(
            **for_client(kafka),
            client_id=service,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=int(delivery_timeout * 1000),
            request_timeout_ms=int(request_timeout * 1000),
            max_block_ms=5_000,
            bootstrap_timeout_ms=int(connect_timeout * 1000),
            reconnect_backoff_max_ms=500,  # the default of 30 s pauses everything long after the broker is back
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def send(
        self, topic: str, value: bytes, *, key: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> "Future[Placed]":
        """Hand a record over to be sent; the future holds where the log took it.

        `partition` is for control records; all others go where murmur2 puts their key. Blocks up to 5 s while the
        topic's partitions are not known yet. Raises UnsendableError; KafkaError or ValueError while the cluster does
        not know the topic.
        """
        declared = allow(self._service, topic, self._topics)
        if partition is not None and not 0 <= partition < declared.partitions:
            raise NoSuchPartitionError(f"{topic} has no partition {partition}.")
        # Checked here, because the broker's refusal would end the whole idempotent producer.
        if DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers) > declared.max_message_bytes:
            raise RecordTooLargeError(f"A record is larger than the {declared.max_message_bytes} bytes of {topic}.")
        result: Future[Placed] = Future()
        sent = self._producer.send(topic, value, key=key, headers=list(headers), partition=partition)
        sent.add_callback(lambda placed: result.set_result(_placed(placed)))
        sent.add_errback(result.set_exception)
        return result

    def close(self, within: float = 5.0) -> None:
        """Wait up to `within` seconds for what was handed over, then let go of the rest (its futures fail)."""
        try:
            self._producer.close(timeout=within)
        except KafkaTimeoutError:
            self.abort()

    def abort(self) -> None:
        """Send nothing more, at once: the futures of everything unacknowledged fail, their outcome is unknown."""
        self.aborted = True
        # close(timeout=0) raises, with the sender still running, while anything is unacknowledged.
        self._producer._sender.force_close()  # noqa: SLF001


def _placed(metadata: Any) -> Placed:  # noqa: ANN401 - kafka-python has no types
    return Placed(metadata.topic, metadata.partition, metadata.offset, metadata.timestamp)
