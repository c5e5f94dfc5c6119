"""The second decision: what of the boundary's yes still stands now, by consent's own tables. It only cuts. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from policy.allowed import Allowed
from policy.decide import basis, obligations, release, status_word
from policy.reasons import WITHHELD
from policy.state import BY_ID, BY_REFERENCE, STRANGER
from schemas.disclosures import Basis
from schemas.events import DataCategory
from services.consent.asked import Given, KnownAs, ReleaseRequest

IN_ERROR: Final = "entered-in-error"
CONSENT_ENDED: Final = "referral.consent_ended"
NEED: Final[frozenset[DataCategory]] = frozenset({"need"})
OTHER_CIRCUMSTANCES: Final = "other-circumstances"
DOES_NOT_OPEN: Final = "does-not-open"
UNKNOWN_CLIENT: Final = "unknown-client"
"""Reasons beside those of `policy.reasons`: webhooks asked what no decision of the boundary could have said."""

UNSENT: Final = "unsent"
_PERMITS: Final = frozenset({"permit", UNSENT})

_TELLING: Final = tuple(WITHHELD)
"""From nothing said at all to a consent that has ended or lacks something."""

_LEVELS: Final[dict[KnownAs | None, int]] = {None: STRANGER, "reference": BY_REFERENCE, "referral": BY_ID}
_NAMES: Final[dict[int, KnownAs | None]] = {level: name for name, level in _LEVELS.items()}


@dataclass(frozen=True)
class Outcome:
    """What may be sent, on which consents it rests, what it obliges to, and why it is less than what was asked."""

    verdict: Given
    categories: frozenset[DataCategory] = frozenset()
    consents: tuple[Basis, ...] = ()
    obligations: tuple[str, ...] = ()
    known_as: KnownAs | None = None
    reason: str | None = None


def withheld(reason: str) -> Outcome:
    """Say that nothing may be sent."""
    return Outcome("withheld", reason=reason)


def asked_verdict(asked: ReleaseRequest) -> Given:
    """Return what the boundary decided, in the custodian's words."""
    return "closed" if asked.verdict == "status" and asked.status == "closed" else asked.verdict


@dataclass(frozen=True)
class Case:
    """What the custodian knows when it is asked.

    `allowed` is the rule's answer for originator and recipient under each control state in force: all must agree.
    `excluded`: the client wants nothing at all to go to who is told. `before`: the verdicts with which the custodian
    answered for boxes of this referral to this recipient, UNSENT for a permit known not to have been sent. `at` is in
    milliseconds since 1970. `in_error`: the referral was entered in error.
    """

    allowed: Sequence[Allowed]
    excluded: bool
    before: frozenset[str]
    at: int
    in_error: bool = False


def decide(asked: ReleaseRequest, case: Case) -> Outcome:
    """What may be sent now."""
    if not _coherent(asked):
        return withheld(OTHER_CIRCUMSTANCES)
    if case.in_error and asked.verdict != "status":
        return withheld(IN_ERROR)
    if case.excluded:
        return withheld("excluded")
    if asked.verdict == "status":
        return _status(asked, case)
    return _boxes(asked, case)


def _coherent(asked: ReleaseRequest) -> bool:
    """Whether a decision can have been like this: the recipient is one, and boxes go from originator to recipient."""
    parties = [(one.organization, one.project) for one in asked.recipients]
    if (asked.recipient.organization, asked.recipient.project) not in parties:
        return False
    if asked.verdict == "status":
        return asked.told in (asked.recipient, asked.originator)
    return asked.told == asked.recipient and asked.publisher.organization == asked.originator.organization


def _boxes(asked: ReleaseRequest, case: Case) -> Outcome:
    requested = asked.event_type == "referral.requested"
    crossing = frozenset(asked.categories) & {each for one in asked.envelopes for each in one.categories}
    crossing -= _ended(asked, case.at)
    if asked.verdict == "deidentified":
        crossing &= NEED
    verdict = "deny"
    for each in case.allowed:
        verdict, crossing = release(requested, each, crossing, bool(_PERMITS & case.before))
    if verdict not in ("permit", "deidentified"):
        return withheld(_why(asked, case, frozenset()))
    outcome = Outcome("deidentified", crossing, known_as="reference")
    if verdict == "permit":
        outcome = _permit(asked, case, crossing)
    whole = verdict == asked.verdict and crossing == set(asked.categories)
    return outcome if whole else replace(outcome, reason=_why(asked, case, crossing))


def _ended(asked: ReleaseRequest, at: int) -> frozenset[DataCategory]:
    """The categories whose consent, as the boundary relied on it, has ended: a newer one is for the boundary to see."""
    return frozenset(category for category, end in asked.ends.items() if at >= end)


def _permit(asked: ReleaseRequest, case: Case, crossing: frozenset[DataCategory]) -> Outcome:
    """Whatever any control state in force obliges to binds: one that spreads counts from its first copy."""
    obliging = {code for each in case.allowed for code in obligations(each, crossing)}
    return Outcome("permit", crossing, _consents(asked, case, crossing), tuple(sorted(obliging)), "referral")


def _consents(asked: ReleaseRequest, case: Case, categories: Collection[DataCategory]) -> tuple[Basis, ...]:
    """Describe what these categories rest on: under several control states more than one consent may have to hold."""
    found: dict[str, Basis] = {}
    for each in case.allowed:
        grants = {category: grant for category, grant in each.grants.items() if category in categories}
        for one in basis(asked.recipient.organization, asked.originator.organization, grants):
            together = {*one.categories, *(found[one.id].categories if one.id in found else ())}
            found[one.id] = msgspec.structs.replace(one, categories=tuple(sorted(together)))
    return tuple(found[id_] for id_ in sorted(found))


def _status(asked: ReleaseRequest, case: Case) -> Outcome:
    told_originator = asked.told.organization == asked.originator.organization
    known = BY_ID if told_originator else min(_LEVELS[asked.known_as], _let_know(case.before))
    if asked.event_type == CONSENT_ENDED and (known != BY_ID or "permit" not in case.before):
        known = STRANGER  # as for the boundary: only a permit told of anything under it, and one that may have left
    word = asked.status
    for each in case.allowed:
        word = None if word is None else status_word(each, word, known, told_originator)
    if word is None:
        return withheld("not-known-to-recipient" if known == STRANGER else _why(asked, case, frozenset()))
    if word != asked.status:
        return Outcome("closed", known_as=_NAMES[known], reason=_why(asked, case, frozenset()))
    granted = {category for each in case.allowed for category in each.grants}
    return Outcome(asked_verdict(asked), consents=_consents(asked, case, granted), known_as=_NAMES[known])


def _let_know(before: frozenset[str]) -> int:
    """How well a recipient can know a referral, by what it was given of it; at best, if nothing was ever asked.

    The boundary counts a permit as known from the moment it decided; what the custodian withheld nobody ever saw.
    """
    if _PERMITS & before or not before:
        return BY_ID
    return BY_REFERENCE if "deidentified" in before else STRANGER


def _why(asked: ReleaseRequest, case: Case, crossing: frozenset[DataCategory]) -> str:
    """Return one reason for which less was given than asked: the one that tells most."""
    denials = [each.denial for each in case.allowed if each.denial is not None]
    if denials:
        return denials[0]
    if asked.verdict == "status":  # it names no categories: any that has lapsed tells why
        reasons = {reason for each in case.allowed for reason in each.withheld.values()}
    else:
        stayed = set(asked.categories) - crossing - NEED
        reasons = {
            each.withheld.get(one, "no-term") for each in case.allowed for one in stayed if one not in each.grants
        } | ({"expired"} if stayed & _ended(asked, case.at) else set())
    return max(reasons, key=_TELLING.index, default="nothing-permitted")
