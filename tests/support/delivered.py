"""Holds what was delivered against what was decided: each delivery has exactly one earlier decision that allowed it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

_WIDTH = {"withheld": 0, "closed": 1, "status": 2, "deidentified": 3, "permit": 4}


def faults(records: Counter[int], disclosures: Iterable[tuple[int, Any]], deliveries: Iterable[Any]) -> list[str]:
    """What is wrong: `records` by partition, disclosures with their partition, deliveries as they stand on the log."""
    answers: Counter[tuple[int, int]] = Counter()
    decisions: dict[str, Any] = {}
    found = []
    for partition, disclosure in disclosures:
        offset = disclosure["source_offset"]
        answers[partition, offset] += 1
        for decision in disclosure.get("decisions", ()):
            party = decision["recipient"]
            name = party["organization"] + (f":{party['project']}" if party.get("project") else "")
            decisions[f"{partition}/{offset}/{name}"] = decision
    expected = [(partition, offset) for partition, count in records.items() for offset in range(count)]
    found += [f"{place} has {answers[place]} answers" for place in expected if answers[place] != 1]
    for delivery in deliveries:
        decision = decisions.get(delivery["decision_id"], {"verdict": "none"})
        if not _allowed(decision, delivery):
            found.append(f"{delivery['decision_id']} was {decision['verdict']}, delivered {delivery['verdict']}")
    return found


def _allowed(decision: Any, delivery: Any) -> bool:
    decided, sent = decision["verdict"], delivery["verdict"]
    if sent == "withheld":
        return decided in _WIDTH
    narrower = decided in _WIDTH and _WIDTH[sent] <= _WIDTH[decided]
    return narrower and set(delivery.get("categories", ())) <= set(decision.get("categories", ())) | {"need"}
