"""Over the whole log of a running stack: one answer for each record, and no delivery that no decision allowed."""

import asyncio
import json
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from services.kit.broker import read_all
from tests.support.delivered import faults
from tests.support.governance import PARTITIONS
from tests.support.providers import Providers
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")

Log = tuple[Counter[int], list[tuple[int, Any]], list[Any]]


async def whole(stack: StackProcess, topic: str) -> list[tuple[int, Any]]:
    runs = read_all(stack.kafka, topic, dict.fromkeys(range(PARTITIONS), 0))
    found = [(record.partition, record.value or b"") async for run in runs for record in run]
    return [(partition, value if topic == "client-events" else json.loads(value)) for partition, value in found]


async def test_every_record_has_one_answer_and_every_delivery_a_decision_that_allowed_it(
    running_stack: StackProcess, town: Providers
) -> None:
    outreach, shelter = town.outreach, town.shelter
    client, silent = await outreach.client(), await outreach.client()
    await outreach.grant(shelter, client, "identity")
    await asyncio.gather(outreach.refer(shelter, client), outreach.refer(shelter, silent))
    await outreach.refer(town.stranger, silent)  # denied
    await shelter.told(client, "referral.requested")

    async def answered() -> Log | None:
        deliveries = [said for _, said in await whole(running_stack, "deliveries")]
        disclosures = await whole(running_stack, "disclosures")
        records = Counter(partition for partition, _ in await whole(running_stack, "client-events"))
        behind = records - Counter(partition for partition, _ in disclosures)
        return None if behind or not deliveries else (records, disclosures, deliveries)

    records, disclosures, deliveries = await wait_until_async(answered, what="all to be decided")
    assert faults(records, disclosures, deliveries) == []
    denials = [one for _, said in disclosures for one in said.get("decisions", ()) if one["verdict"] == "deny"]
    assert denials, "a denial is a record, too"
    for plant in (unanswered, answered_twice, delivered_though_denied, delivered_without_a_decision, wider):
        spoilt = plant(deepcopy(disclosures), deepcopy(deliveries))
        assert len(faults(records, *spoilt)) >= 1, f"the check finds nothing of {plant.__name__}"


Spoilt = tuple[list[tuple[int, Any]], list[Any]]


def unanswered(disclosures: list[tuple[int, Any]], deliveries: list[Any]) -> Spoilt:
    return disclosures[:-1], deliveries


def answered_twice(disclosures: list[tuple[int, Any]], deliveries: list[Any]) -> Spoilt:
    return [*disclosures, disclosures[-1]], deliveries


def delivered_though_denied(disclosures: list[tuple[int, Any]], deliveries: list[Any]) -> Spoilt:
    for _, said in disclosures:
        for decision in said.get("decisions", ()):
            decision["verdict"] = "deny"
    return disclosures, deliveries


def delivered_without_a_decision(disclosures: list[tuple[int, Any]], deliveries: list[Any]) -> Spoilt:
    deliveries[0]["decision_id"] = "0/99999/nobody"
    return disclosures, deliveries


def wider(disclosures: list[tuple[int, Any]], deliveries: list[Any]) -> Spoilt:
    deliveries[0]["categories"] = ["hiv"]
    deliveries[0]["verdict"] = "permit"
    return disclosures, deliveries
