"""The golden log of each policy version replays to the digest and the outputs that were recorded, byte for byte."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from policy.control import POLICY_VERSION
from schemas.disclosures import Disclosure
from tests.policy import golden_log

DIGESTS = {1: "0906e1623f07a7fce16075143319839d5e24d487c1e94cbd914a37130a3bba02"}


def test_every_policy_version_has_its_golden_log() -> None:
    expected = set(range(1, POLICY_VERSION + 1))
    assert set(DIGESTS) == {*golden_log.versions()} == expected


@pytest.mark.parametrize("version", golden_log.versions())
def test_the_golden_log_replays_byte_for_byte(version: int) -> None:
    records, recorded = golden_log.read(version)
    folding, outputs = golden_log.fold(records)
    assert outputs == recorded
    assert folding.state.digest.hex() == DIGESTS[version]


def test_one_turned_bit_of_the_golden_log_shows() -> None:
    """The control: from the altered record on, no output is as recorded."""
    records, recorded = golden_log.read(POLICY_VERSION)
    place = len(records) // 2
    value = records[place].value or b""
    records[place] = replace(records[place], value=value[:-1] + bytes([value[-1] ^ 1]))
    _, outputs = golden_log.fold(records)
    assert outputs[:place] == recorded[:place]
    assert not any(one == other for one, other in zip(outputs[place:], recorded[place:], strict=True))


def test_the_golden_log_shows_every_verdict_most_results_and_reliance() -> None:
    _, recorded = golden_log.read(POLICY_VERSION)
    disclosures = [msgspec.json.decode(output, type=Disclosure) for output in recorded]
    verdicts = Counter(decision.verdict for one in disclosures for decision in one.decisions)
    assert all(verdicts[verdict] >= 5 for verdict in ("permit", "deidentified", "status", "deny"))
    assert len({one.result for one in disclosures}) >= 8
    assert any(basis.recorded_by for one in disclosures for decision in one.decisions for basis in decision.basis)
