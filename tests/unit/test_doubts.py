"""Whoever is in doubt by the policy's fold is so by the follower of doubts, and nobody else, whatever the log holds."""

import random
from dataclasses import replace as changed
from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st
from msgspec.structs import replace

from policy import murmur2
from schemas.events import ClientConsents
from services.kit.doubts import Doubts
from tests.policy.case_files import Step
from tests.policy.logs import DETERMINISTIC, PLAYERS, SEARCHING, STEPS, records
from tests.policy.scribe import beginning
from tests.policy.test_bad_records import BAD, damaged
from tests.support.log import ROOT_FINGERPRINT, Record

LOGS = st.lists(STEPS, min_size=1, max_size=10)
SEEDS = st.integers(0, 2**32)
Told = list[tuple[dict[str, ClientConsents], bool]]


@DETERMINISTIC
@given(steps=LOGS, seed=SEEDS)
def test_in_doubt_is_who_is_in_doubt_by_the_fold(steps: list[Step], seed: int) -> None:
    assert _followed(Doubts, _with_bad(steps, seed)) == _folded(_with_bad(steps, seed))


@DETERMINISTIC
@given(steps=LOGS, seed=SEEDS)
def test_a_follower_of_control_alone_sees_the_same_control_state(steps: list[Step], seed: int) -> None:
    fold, doubts = PLAYERS.fold("community"), Doubts(0, ROOT_FINGERPRINT)
    for record in beginning("community"):
        _read(doubts, record)
    for record in _with_bad(steps, seed):
        fold.step(record.timestamp, record.key, record.headers, record.value)
        _read(doubts, record)
        assert doubts.control == fold.state.control
    assert doubts.clients == {}


@pytest.mark.parametrize("late", [True, False])
def test_a_follower_that_forgets_is_found(late: bool) -> None:
    """The control: one without marks ends a doubt too early, one without bad records knows of none."""

    class Forgetful(Doubts):
        def _note(self, client_id: str) -> None:
            super()._note(client_id)
            if late:
                self._fold.state.consents.pop(client_id, None)
            else:
                self.clients.clear()

    def differs(drawn: tuple[list[Step], int]) -> bool:
        log = _with_bad(*drawn)
        return _followed(Forgetful, log) != _folded(log)

    find(st.tuples(LOGS, SEEDS), differs, settings=SEARCHING)


def _with_bad(steps: list[Step], seed: int) -> list[Record]:
    """Records, some of them damaged, and after each perhaps one that should not be there."""
    chance, log = random.Random(seed), []
    for record in records(steps):
        log.append(damaged(record, chance) if chance.random() < 0.2 else record)
        if chance.random() < 0.5:
            log.append(chance.choice(BAD)([*beginning("community"), *log], chance))
    if chance.random() < 0.3:  # a client of another partition
        stranger = next(name for name in map(str, range(100)) if murmur2.partition_of(name.encode(), 12) != 0)
        log.append(changed(log[-1], key=stranger.encode(), value=b"{}"))
    return log


def _folded(log: list[Record]) -> Told:
    fold, told = PLAYERS.fold("community"), []
    for record in log:
        fold.step(record.timestamp, record.key, record.headers, record.value)
        held = {name: fold.state.consents_of(name) for name in fold.state.consents}
        in_doubt = {name: _but_first_versions(consents) for name, consents in held.items() if consents.in_doubt}
        told.append((in_doubt, fold.state.control.in_doubt))
    return told


def _but_first_versions(consents: ClientConsents) -> ClientConsents:
    return replace(consents, grants=tuple(one for one in consents.grants if one.consent.version > 1))


def _followed(kind: type[Doubts], log: list[Record]) -> Told:
    doubts, told = kind(0, ROOT_FINGERPRINT, of_clients=True), []
    for record in beginning("community"):
        _read(doubts, record)
    for record in log:
        _read(doubts, record)
        told.append((dict(doubts.clients), doubts.control.in_doubt))
    return told


def _read(doubts: Any, record: Record) -> None:
    doubts.read(record.timestamp, record.key, record.headers, record.value)


def test_the_logs_leave_doubts() -> None:
    """The control: what is compared is not the silence of both."""
    find(st.tuples(LOGS, SEEDS), lambda drawn: len(_folded(_with_bad(*drawn))[-1][0]) > 1, settings=SEARCHING)
    find(st.tuples(LOGS, SEEDS), lambda drawn: _folded(_with_bad(*drawn))[-1][1], settings=SEARCHING)
