"""docker-compose.yml as it stands, on a secured Kafka: all starts, a name crosses, nobody has a right too many."""

import asyncio
import re
from collections.abc import Iterator

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from kafka.errors import KafkaError

from services.cli.topics import ACLS
from services.kit import cluster, granting, topics
from services.kit.connecting import Kafka, SecuredKafka, bootstrap_of, for_client, from_environment
from services.kit.process import NOT_STARTED
from services.kit.producing import LogProducer
from services.kit.required import NotConnectedError, require_topics
from services.kit.rights import OPERATOR, Right, rights
from tests.support import small_day
from tests.support.composed import Composed
from tests.support.stack import new_home
from tests.support.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.timeout(400)  # the first of them waits for all of it

DECLARED = topics.load()
ALLOWED = yaml.safe_load(ACLS.read_text(encoding="utf-8"))
SERVICES = sorted(ALLOWED.keys() - {OPERATOR})


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    with new_home() as home:
        home.mkdir()
        deployment = Composed(home)
        try:
            deployment.up()
            yield deployment
        finally:
            deployment.down()


def reached(composed: Composed, user: str, **changes: str) -> Kafka:
    environment = {
        "THRESHOLD_KAFKA": composed.kafka,
        "THRESHOLD_KAFKA_CA": str(composed.authority),
        "THRESHOLD_KAFKA_PASSWORD": composed.secrets[f"THRESHOLD_{user.upper()}_KAFKA_PASSWORD"],
    }
    kafka = from_environment(user, environment | changes)
    assert kafka is not None
    return kafka


def may(user: str, kind: str, name: str, operation: str) -> bool:
    """Whether the file of rights says so."""
    return any(entry.get(kind) == name and operation in entry["operations"] for entry in ALLOWED[user])


def test_every_service_is_ready_and_a_name_crosses_and_stops(composed: Composed) -> None:
    for name in composed.processes:
        wait_until(lambda: composed.is_ready(name) or None, what=f"{name} to be ready")  # noqa: B023 - asked at once
    small_day.live_through(composed.urls, composed.administrator)
    for name in composed.services:
        assert small_day.NAME not in composed.log(name)


def test_no_container_shows_a_secret_and_each_is_given_only_its_own(composed: Composed) -> None:
    secret = {
        name: value
        for name, value in composed.secrets.items()
        if re.search(r"PASSWORD|_SECRET|[^C]_KEY$|KEY_ENCRYPTION", name)
    }
    for service in composed.services:
        log = composed.log(service)
        assert [name for name, value in secret.items() if value in log] == []
    for service in composed.processes:
        given = set(composed.environment(service).values())
        user = service.replace("-", "_").upper()
        others = {
            name
            for name, value in secret.items()
            if value in given and not name.startswith((f"THRESHOLD_{user}_", "THRESHOLD_ROOT", "THRESHOLD_KEY_"))
        }
        assert others <= {"THRESHOLD_ADMIN_CLIENT_SECRET"} if service == "governance" else not others


@pytest.mark.parametrize("how", ["another password", "another name", "in the clear"])
async def test_nobody_comes_in_who_is_not_known_nor_to_a_broker_that_is_not(
    composed: Composed, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.required.CONNECTED_WITHIN", 0.5)
    kafka: Kafka = {
        "another password": reached(composed, "audit", THRESHOLD_KAFKA_PASSWORD="a-guess"),
        # The certificate is for its own address, and this one is the same machine's.
        "another name": reached(composed, "audit", THRESHOLD_KAFKA=composed.other_address_of_kafka),
        "in the clear": composed.kafka,
    }[how]
    with pytest.raises(NotConnectedError, match=re.escape(bootstrap_of(kafka))) as caught:
        await require_topics(kafka, "audit")
    assert "a-guess" not in str(caught.value)
    with pytest.raises(KafkaError):
        await asyncio.to_thread(LogProducer, "referrals", kafka, connect_timeout=2.0)


def test_a_service_that_lacks_a_right_says_which_and_ends(composed: Composed) -> None:
    admin = reached(composed, "admin")
    taken = Right("audit", "group", "audit.deliveries", "read"), Right("boundary", "topic", "disclosures", "write")
    granting.grant(admin, [right for right in rights(DECLARED) if right not in taken])
    advice = "Run `threshold topics apply --acls` as an administrator of the cluster."
    try:
        for right in taken:
            composed.stop(right.user)
            assert composed.start(right.user).wait(60) == NOT_STARTED
            what = f"{right.operation} on the {right.kind} {right.name}"
            said = f"Kafka does not allow its user {right.user}: {what}. {advice}"
            assert composed.log(right.user).count(said) == 1, composed.log(right.user)[-1500:]
        lacking = [f"{right}, and the cluster does not let it." for right in taken]
        assert granting.lacking(admin, rights(DECLARED)) == lacking
    finally:
        assert len(granting.grant(admin, rights(DECLARED))) == len(taken)
    composed.start("audit")
    composed.wait("audit")


def test_a_right_too_many_is_told_and_taken_away(composed: Composed) -> None:
    admin = reached(composed, "admin")
    extra = Right("audit", "topic", "disclosures", "write")
    granting.grant(admin, [*rights(DECLARED), extra])
    assert granting.lacking(admin, rights(DECLARED)) == [
        "The cluster has User:audit allow write topic disclosures, which nothing declares."
    ]
    assert [str(change) for change in granting.grant(admin, rights(DECLARED))] == [
        "User:audit allow write topic disclosures: taken away"
    ]


def test_who_makes_topics_can_not_give_rights(composed: Composed) -> None:
    operator = reached(composed, OPERATOR)
    assert cluster.apply(operator) == []
    with pytest.raises(KafkaError, match="Authorization"):
        granting.grant(operator, [Right("topics", "topic", "client-events", "read")])
    with pytest.raises(granting.NotGrantedError):
        granting.set_passwords(operator, {"audit": "mine"})


async def test_a_new_password_is_the_only_one(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.required.CONNECTED_WITHIN", 0.5)
    before, after = reached(composed, "audit"), reached(composed, "audit", THRESHOLD_KAFKA_PASSWORD="renewed")
    await require_topics(before, "audit")
    admin = reached(composed, "admin")
    assert isinstance(before, SecuredKafka)
    try:
        assert [str(done) for done in granting.set_passwords(admin, {"audit": "renewed"})] == ["audit: password set"]
        await wait_until_async(lambda: _let_in(after), what="the new password to count")
        with pytest.raises(NotConnectedError):
            await require_topics(before, "audit")
    finally:
        granting.set_passwords(admin, {"audit": before.password.get_secret_value()})
    await wait_until_async(lambda: _let_in(before), what="the old password to count again")


@pytest.mark.parametrize("user", SERVICES)
async def test_a_user_does_what_the_file_of_rights_says_and_nothing_else(composed: Composed, user: str) -> None:
    composed.stop(*composed.processes)  # what is written here is nothing they could read
    kafka = reached(composed, user)
    assert isinstance(kafka, SecuredKafka)
    for topic in DECLARED:
        assert await _writes(kafka, topic) == may(user, "topic", topic, "write"), topic
    for topic in DECLARED:
        assert await _reads(kafka, topic) == may(user, "topic", topic, "read"), topic
    for group in {entry["group"] for entries in ALLOWED.values() for entry in entries if "group" in entry}:
        assert await _joins(kafka, group) == may(user, "group", group, "read"), group


async def _let_in(kafka: Kafka) -> bool:
    try:
        await require_topics(kafka, "audit")
    except NotConnectedError:
        return False
    return True


async def _writes(kafka: Kafka, topic: str) -> bool:
    async with AIOKafkaProducer(**for_client(kafka), acks="all") as producer:
        try:
            await producer.send_and_wait(topic, b"{}", key=b"k", partition=0)
        except TopicAuthorizationFailedError:
            return False
    return True


async def _reads(kafka: Kafka, topic: str) -> bool:
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(**for_client(kafka), auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        try:
            await consumer._client._wait_on_metadata(topic)
            await asyncio.wait_for(consumer.getmany(partition, timeout_ms=500), 30)
        except TopicAuthorizationFailedError:
            return False
    return True


async def _joins(kafka: Kafka, group: str) -> bool:
    admin = AIOKafkaAdminClient(**for_client(kafka))
    try:
        await admin.start()
        await admin.find_coordinator(group)
    except GroupAuthorizationFailedError:
        return False
    finally:
        await admin.close()
    return True
