"""The rule itself: which categories may cross now, by consents in force under the regime; run by both deciders."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from policy.control import Control
from policy.regimes import Rule, rule
from schemas.events import ClientConsents, DataCategory, HeldConsent, HeldRevocation, Party, PurposeOfUse

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LIFTING_METHODS = frozenset({"written", "electronic"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may cross: per category the consent it rests on (the need rests on none), and why the others may not."""

    rule: Rule
    grants: dict[DataCategory, HeldConsent]
    withheld: dict[DataCategory, str]
    need: bool = False
    denial: str | None = None

    @property
    def categories(self) -> frozenset[DataCategory]:
        """{need} alone means de-identified; empty means nothing at all."""
        return frozenset(self.grants) | ({"need"} if self.need else frozenset())

    @property
    def identifiable(self) -> bool:
        """Whether anything may cross besides the need."""
        return bool(self.grants)


def allowed_now(
    consents: ClientConsents, control: Control, publisher: Party, recipient: Party, purpose: PurposeOfUse, at: int
) -> Allowed:
    """What `publisher` may tell `recipient` about the client for `purpose` at `at` (milliseconds since 1970, UTC)."""
    return allowed_under(rule(control, publisher, recipient, purpose), consents, at)


def allowed_under(
    found: Rule, consents: ClientConsents, at: int, wanted: Iterable[DataCategory] | None = None
) -> Allowed:
    """As `allowed_now`, under a rule already found, for the categories `wanted` (default: all it has terms for)."""
    wanted = found.terms if wanted is None else wanted
    denial = _denial(found, consents, at) or found.denial  # the client's word first: it silences more
    if denial is not None:
        return Allowed(found, {}, dict.fromkeys(wanted, denial), denial=denial)
    now = EPOCH + timedelta(milliseconds=at) if consents.grants else EPOCH
    candidates = [grant for grant in reversed(consents.grants) if _is_for(grant, found)]  # newest first
    if found.relied:
        candidates += [grant for grant in reversed(consents.grants) if grant.attested and _names(grant, found)]
    grants: dict[DataCategory, HeldConsent] = {}
    withheld: dict[DataCategory, str] = {}
    for category in wanted:
        if category == "need":
            continue
        outcome = _grant_for(category, found, consents, candidates, now)
        if isinstance(outcome, str):
            withheld[category] = outcome
        else:
            grants[category] = outcome
    return Allowed(found, grants, withheld, need=found.deidentified is not None or bool(grants))


def _denial(found: Rule, consents: ClientConsents, at: int) -> str | None:
    if consents.in_doubt:
        return "client-in-doubt"
    return "excluded" if excluded(consents, found.recipient, at) else None


def excluded(consents: ClientConsents, organization: str, at: int) -> bool:
    """Whether the client wants nothing at all to go to this organization."""
    return any(
        organization in exclusion.consent.to and not lifted(exclusion, organization, consents, at)
        for exclusion in consents.exclusions
    )


def lifted(exclusion: HeldConsent, recipient: str, consents: ClientConsents, at: int) -> bool:
    """Its recorder's later grant naming the recipient lifts it, while anything that the grant says is in force."""
    now = EPOCH + timedelta(milliseconds=at)
    return any(
        grant.recorder == exclusion.recorder
        and grant.order > exclusion.order
        and grant.consent.method in LIFTING_METHODS
        and recipient in grant.consent.to
        and lapse(grant, now) is None
        and any(_stands(grant, recipient, each, consents) for each in grant.consent.categories)
        for grant in consents.grants
    )


def _stands(grant: HeldConsent, recipient: str, category: DataCategory, consents: ClientConsents) -> bool:
    """Whether a grant's category is neither revoked nor refused, for one of its purposes at least."""
    return any(
        not refused(grant, recipient, purpose, category, consents) for purpose in grant.consent.purposes
    ) and not any(cuts(each, grant, recipient, category) for each in consents.revocations)


def _grant_for(
    category: DataCategory, found: Rule, consents: ClientConsents, candidates: list[HeldConsent], now: datetime
) -> HeldConsent | str:
    """The newest grant that permits the category, or the reason why the newest that names it does not.

    The discloser's own come first; those of others that count for the category after them.
    """
    if category not in found.terms:
        return "no-term"
    reason = None
    for grant in candidates:
        counts = grant.recorder == found.discloser or grant.recorder in found.relied.get(category, ())
        if counts and category in grant.consent.categories:
            obstacle = _obstacle(grant, category, found, consents, now)
            if obstacle is None:
                return grant
            reason = reason or obstacle
    if reason is None and _discloser_refused(category, found, consents):
        return "refused"
    return reason or "no-consent"


def _obstacle(
    grant: HeldConsent, category: DataCategory, found: Rule, consents: ClientConsents, now: datetime
) -> str | None:
    if refused(grant, found.recipient, found.purpose, category, consents):
        return "refused"
    if grant.recorder != found.discloser and _discloser_refused(category, found, consents):
        return "refused"
    if cut := [each for each in consents.revocations if cuts(each, grant, found.recipient, category)]:
        return "entered-in-error" if any(each.in_error for each in cut) else "revoked"
    if grant.consent.method not in found.methods:
        return found.method_reason
    if found.time_limited and grant.consent.expires_at is None:
        return "needs-time-limit"
    return lapse(grant, now)


def lapse(grant: HeldConsent, now: datetime) -> str | None:
    """Why a grant is outside its time, a half-open interval; None if it is within."""
    if now < grant.consent.valid_from:
        return "not-yet-valid"
    if grant.consent.expires_at is not None and now >= grant.consent.expires_at:
        return "expired"
    return None


def _is_for(held: HeldConsent, found: Rule) -> bool:
    """Whether the discloser itself recorded it, and it names this recipient and purpose."""
    return held.recorder == found.discloser and _names(held, found)


def _names(held: HeldConsent, found: Rule) -> bool:
    return found.recipient in held.consent.to and found.purpose in held.consent.purposes


def _discloser_refused(category: DataCategory, found: Rule, consents: ClientConsents) -> bool:
    """Whether the client ever said no to the discloser: others' grants do not take that back, only its own do."""
    return any(_is_for(one, found) and category in one.consent.categories for one in consents.refusals)


def refused(
    grant: HeldConsent, recipient: str, purpose: PurposeOfUse, category: DataCategory, consents: ClientConsents
) -> bool:
    """Whether its recorder refused later what a grant says."""
    return any(
        refusal.recorder == grant.recorder
        and refusal.order > grant.order
        and recipient in refusal.consent.to
        and purpose in refusal.consent.purposes
        and category in refusal.consent.categories
        for refusal in consents.refusals
    )


def cuts(held: HeldRevocation, grant: HeldConsent, recipient: str, category: DataCategory) -> bool:
    """Whether a revocation cuts what a grant says of this recipient and category.

    One that does not say of which consent, recipient or category it is cuts them all. What was entered in error never
    was: a later version is cut as well.
    """
    revocation = held.revocation
    if held.order <= grant.order and not held.in_error:
        return False
    match revocation.scope:
        case "consent":
            return revocation.consent_id in (None, grant.consent.id)
        case "recipient":
            return revocation.recipient in (None, recipient)
        case "category":
            return revocation.category in (None, category)
    return True
