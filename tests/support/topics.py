"""Topics of a test's own, kept as ours are."""

import uuid
from dataclasses import replace

from services.kit import cluster, topics
from services.kit.topics import Topic


def declared(name: str, partitions: int, service: str = "tester") -> dict[str, Topic]:
    """Return the declaration of a topic that `service` writes and reads, as `topics.load()` would."""
    model = topics.load()["client-events"]
    return {name: replace(model, name=name, partitions=partitions, writers=(service,), readers=(service,), groups=())}


def create(bootstrap: str, purpose: str, partitions: int = 3) -> dict[str, Topic]:
    """Create a topic with a name that nobody else has, and return its declaration."""
    fresh = declared(f"{purpose}-{uuid.uuid4().hex[:12]}", partitions)
    cluster.apply(bootstrap, fresh)
    return fresh
