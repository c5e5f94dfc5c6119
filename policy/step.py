"""One record in, one record out: folds a record into its partition's state and gives the disclosure that answers it."""

import struct
from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from policy import consents, control
from policy.answer import answer
from policy.decide import Case, Rules, decide
from policy.murmur2 import partition_of
from policy.parse import Refused, check_key, check_signature, is_genesis, keys_in_doubt, parse
from policy.state import BY_ID, BY_REFERENCE, ClientReferrals, PartitionState, ReferralState
from schemas.disclosures import Decision
from schemas.events import ReferralData
from schemas.records import (
    BoxedEvent,
    ConsentEvent,
    ControlEvent,
    ControlRecord,
    Event,
    LogGenesis,
    ReferralConsentEnded,
    ReferralEvent,
    ReferralEvents,
    ReferralRequested,
)

Headers = Iterable[tuple[str, bytes | None]]
_timestamp = struct.Struct(">q").pack
_length = struct.Struct(">i").pack
_ABSENT = _length(-1)
_packed_in_order = msgspec.msgpack.Encoder(order="sorted").encode  # whatever the order in which fields are declared
_KNOWS = {"permit": BY_ID, "deidentified": BY_REFERENCE}


class Fold:
    """A partition's state with what may be forgotten: the rules found under the control state in force."""

    def __init__(self, state: PartitionState) -> None:
        self.state = state
        self._rules = Rules(state.control)

    def step(self, timestamp: int, key: bytes | None, headers: Headers, value: bytes | None) -> bytes:
        """The canonical disclosure for the partition's next record.

        `timestamp` is its LogAppendTime in milliseconds since 1970. Never raises for what a record contains; raises
        control.UnsupportedPolicyVersion where a newer build must take over.
        """
        state, raw = self.state, value or b""
        state.at = max(state.at, timestamp)
        value_hash = sha256(raw).digest()
        try:
            name = _text(key)
            event = parse(raw)
            result, decisions = self._take(event, name, value_hash)
        except Refused as refusal:
            self._doubt(key, raw)
            result, decisions, event = refusal.code, (), None
        source = source_hash(timestamp, key, headers, value_hash, value is None)
        return answer(state, source, result, decisions, event, raw)

    def _take(self, event: Event, key: str, value_hash: bytes) -> tuple[str, tuple[Decision, ...]]:
        if self.state.control.genesis is None:
            return self._begin(event, key), ()
        check_key(event, key)
        if isinstance(event, ControlRecord):
            return self._control(event, key), ()
        if not self._placed(key):
            raise Refused("misplaced")
        if not isinstance(event, ReferralEvent):
            return self._consent(event, key), ()
        return self._referral(event, key, value_hash)

    def _begin(self, event: Event, key: str) -> str:
        state = self.state
        if state.next or not isinstance(event, LogGenesis):
            raise Refused("no-genesis")
        if not is_genesis(event, key, state.partition, state.root_fingerprint):
            raise Refused("no-genesis")
        state.control = control.with_genesis(event)
        self._rules = self._rules.under(state.control)
        return "applied"

    def _control(self, event: ControlEvent, key: str) -> str:
        if isinstance(event, LogGenesis):
            raise Refused("second-genesis")
        check_signature(event, key, self.state.control)
        changed = control.apply(self.state.control, event)
        if changed is None:
            return "late"
        self.state.control = changed
        self._rules = self._rules.under(changed)
        return "applied"

    def _consent(self, event: ConsentEvent, key: str) -> str:
        check_signature(event, key, self.state.control)
        changed = consents.apply(self.state.consents_of(key), event)
        if changed is None:
            return "late"
        self.state.keep_consents(key, changed)
        return "applied"

    def _referral(self, event: ReferralEvents, key: str, value_hash: bytes) -> tuple[str, tuple[Decision, ...]]:
        state, data = self.state, event.data
        client = state.referrals_of(key)
        referral = _referral_of(event, client)
        told = _positions_told(event)
        if client.remembers(value_hash):
            return "duplicate", ()
        client.referrals[data.referral.id] = referral
        referral.historical |= data.historical
        case = Case(event, state.consents_of(key), referral, self._rules, state.at)
        decisions = []
        for position in told:
            decision = decide(case, position)
            decisions.append(decision)
            if decision.verdict in _KNOWS:
                referral.knows(position, _KNOWS[decision.verdict])
        state.keep_referrals(key, client)
        return "decided", tuple(decisions)

    def _placed(self, key: str) -> bool:
        """Whether this is the partition of a client's records; whoever has a state here was found to be before."""
        state, genesis = self.state, self.state.control.genesis
        if key in state.referrals or key in state.consents:
            return True
        return genesis is not None and partition_of(key.encode(), genesis.partitions) == self.state.partition

    def _doubt(self, key: bytes | None, value: bytes) -> None:
        """A record that failed may have narrowed: nothing of whoever it may have been about crosses until restated."""
        state = self.state
        for name in keys_in_doubt((key or b"").decode(errors="replace"), value):
            if name == control.KEY_PREFIX:
                state.control = replace(state.control, in_doubt=True)
                self._rules = self._rules.under(state.control)
            elif self._placed(name):
                state.keep_consents(name, replace(state.consents_of(name), in_doubt=True))


def source_hash(timestamp: int, key: bytes | None, headers: Headers, value_hash: bytes, absent: bool) -> bytes:
    """sha256 over a record as the broker keeps it; every part is preceded by its length, -1 for an absent one."""
    measured = _timestamp(timestamp) + _measured(key)
    for header, content in headers:
        measured += _measured(header.encode()) + _measured(content)
    return sha256(measured + _measured(None if absent else value_hash)).digest()


def _measured(part: bytes | None) -> bytes:
    return _ABSENT if part is None else _length(len(part)) + part


def _referral_of(event: ReferralEvents, client: ClientReferrals) -> ReferralState:
    data = event.data
    facts = _facts(data)
    referral = client.referrals.get(data.referral.id)
    if referral is None:
        if not isinstance(event, ReferralRequested):
            raise Refused("unknown-referral")
        return ReferralState(facts=facts, known=bytes(len(data.recipients)))
    if referral.facts != facts:
        raise Refused("referral-changed")
    return referral


def _facts(data: ReferralData) -> bytes:
    """A hash of what never changes of a referral (originator, purpose, recipients): state need not hold them."""
    never_changing = _packed_in_order((data.referral.originator, data.purpose, data.recipients))
    return sha256(never_changing).digest()[:16]


def _positions_told(event: ReferralEvents) -> range:
    """The recipients' positions if the originator publishes, the publisher's own (its originator is told) otherwise.

    Boxes are the originator's, down to its project: another project's data would be under another regime. So is the end
    of a consent under which they crossed.
    """
    data = event.data
    publisher, originator = data.publisher.organization, data.referral.originator
    if isinstance(event, ReferralConsentEnded) != (data.consent_ended is not None):
        raise Refused("malformed")
    originators = isinstance(event, BoxedEvent) or data.sealed or data.consent_ended
    if originators and data.publisher != originator:
        raise Refused("not-the-originator")
    if publisher == originator.organization:
        return range(len(data.recipients))
    for position, recipient in enumerate(data.recipients):
        if recipient.organization == publisher:
            return range(position, position + 1)
    raise Refused("not-a-party")


def _text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        raise Refused("wrong-key") from None
