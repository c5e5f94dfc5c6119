"""Plays a written case through a policy: this build's, or one with a rule deleted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from policy import canonical, state, step
from policy.control import UnsupportedPolicyVersion
from schemas.disclosures import Disclosure
from tests.policy.scribe import Written, beginning
from tests.support.log import ROOT_FINGERPRINT, Record

_DISCLOSURE = msgspec.json.Decoder(Disclosure)


@dataclass(frozen=True)
class Policy:
    """The names of a policy that a log is folded with."""

    fold: type[Any]
    partition_state: type[Any]
    snapshot: Callable[[Any], bytes]
    restore: Callable[[bytes], Any]

    def begin(self) -> Any:
        """Give the fold of nothing."""
        return self.fold(self.partition_state(partition=0, root_fingerprint=ROOT_FINGERPRINT))


CURRENT = Policy(step.Fold, state.PartitionState, state.snapshot, state.restore)


class Players:
    """Plays cases through one policy, folding what they begin with only once."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._beginnings: dict[str, bytes] = {}

    def fold(self, world: str) -> Any:
        """A fold that has read the beginning of this kind."""
        if world not in self._beginnings:
            folding = self._policy.begin()
            outputs = disclosures(folding, beginning(world))
            assert all(output.result == "applied" for output in outputs)
            self._beginnings[world] = self._policy.snapshot(folding.state)
        return self._policy.fold(self._policy.restore(self._beginnings[world]))

    def play(self, case: Written) -> list[Disclosure]:
        """The disclosures that answer the case's own records."""
        return disclosures(self.fold(case.case.world), case.records)


def disclosures(folding: Any, records: Iterable[Record]) -> list[Disclosure]:
    """The disclosure for each record, up to one that asks for a newer build."""
    found: list[Disclosure] = []
    try:
        for one in records:
            answered = folding.step(one.timestamp, one.key, one.headers, one.value)
            found.append(canonical.decode(answered, _DISCLOSURE))
    except RuntimeError as error:  # by its name: a changed policy has a class of its own
        if type(error).__name__ != UnsupportedPolicyVersion.__name__:
            raise
    return found
