"""The legal regime: what agreements and law say of a publisher, a recipient and a purpose, before any consent."""

from dataclasses import dataclass, field

from policy.control import Control, parties_in_force
from schemas.control import Agreement, Organization, Project
from schemas.events import ConsentMethod, DataCategory, Party, PurposeOfUse

RECEIVING_KINDS = frozenset({"provider", "coordinator"})
ANY_METHOD: frozenset[ConsentMethod] = frozenset({"written", "electronic", "verbal"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a consent could permit at most, and what it must be like.

    `terms`: per category the agreement whose term covers it. `relied`: per category, on whose attested grants the
    discloser may rely, and by which agreement. `deidentified`: the agreement that lets the need alone cross. With a
    `denial` nothing crosses, whatever the consents say.
    """

    denial: str | None = None
    recipient: str = ""
    discloser: str = ""
    purpose: PurposeOfUse = "care-coordination"
    terms: dict[DataCategory, str] = field(default_factory=dict)
    relied: dict[DataCategory, dict[str, str]] = field(default_factory=dict)
    deidentified: str | None = None
    methods: frozenset[ConsentMethod] = ANY_METHOD
    method_reason: str = ""
    time_limited: bool = False
    obligations: tuple[str, ...] = ()

    def agreement(self, recorder: str, category: DataCategory) -> str:
        """The agreement by which a grant of this recorder counts for the category."""
        return self.terms[category] if recorder == self.discloser else self.relied[category][recorder]


def rule(control: Control, publisher: Party, recipient: Party, purpose: PurposeOfUse) -> Rule:
    """The rule for what `publisher` may tell `recipient` for `purpose` under this control state."""
    denial = _denial(control, publisher, recipient)
    if denial is not None:
        return Rule(denial=denial, recipient=recipient.organization)
    terms, relied, deidentified = _terms(control, publisher.organization, recipient.organization, purpose)
    if not terms and deidentified is None:
        return Rule(denial="no-agreement", recipient=recipient.organization)
    sender, receiver = control.organizations[publisher.organization], control.organizations[recipient.organization]
    methods, method_reason = _methods(sender, publisher.project)
    return Rule(
        recipient=receiver.id,
        discloser=sender.id,
        purpose=purpose,
        terms=terms,
        relied=_reliable(control, relied, receiver) if may_attest(sender, publisher.project) else {},
        deidentified=deidentified,
        methods=methods,
        method_reason=method_reason,
        time_limited=sender.victim_service_provider,
        obligations=_obligations(sender, publisher.project, receiver, recipient.project),
    )


def _denial(control: Control, publisher: Party, recipient: Party) -> str | None:
    if control.in_doubt:
        return "control-in-doubt"
    for party in (publisher, recipient):
        organization = control.organizations.get(party.organization)
        if organization is None:
            return "unknown-organization"
        if party.project is not None and all(one.id != party.project for one in organization.projects):
            return "unknown-project"
    if publisher.organization == recipient.organization:
        return "same-organization"
    if control.organizations[recipient.organization].kind not in RECEIVING_KINDS:
        return "never-a-recipient"
    return None


def _terms(
    control: Control, sender: str, receiver: str, purpose: PurposeOfUse
) -> tuple[dict[DataCategory, str], dict[DataCategory, dict[str, str]], str | None]:
    """Per category the first agreement, by id, whose single term covers it; terms of two agreements never add up.

    Likewise per category and party the first whose single term lets others rely on what that party attests.
    """
    terms: dict[DataCategory, str] = {}
    relied: dict[DataCategory, dict[str, str]] = {}
    deidentified = None
    for id_, agreement in sorted(control.agreements.items()):
        parties = set() if _mixes(control, agreement) else parties_in_force(control, agreement)
        for term in agreement.terms if {sender, receiver} <= parties else ():
            if sender in term.from_ and receiver in term.to and purpose in term.purposes:
                terms = dict.fromkeys(term.categories, id_) | terms
                for category in term.categories if term.reliance == "any_party" else ():
                    relied[category] = dict.fromkeys(parties, id_) | relied.get(category, {})
                if term.deidentified and deidentified is None:
                    deidentified = id_
    terms.pop("need", None)  # the need follows from `deidentified`, or goes along with another category
    return terms, relied, deidentified


def _mixes(control: Control, agreement: Agreement) -> bool:
    """Whether test and real organizations are in it, which opens nothing; a party that left still counts.

    Else what narrows, a departure, would open it again.
    """
    return len({control.organizations[party].test for party in agreement.parties if party in control.organizations}) > 1


def _reliable(
    control: Control, relied: dict[DataCategory, dict[str, str]], receiver: Organization
) -> dict[DataCategory, dict[str, str]]:
    """Without the parties on whose word nobody relies; nobody opens others' data to itself by its own."""
    attesting = {id_ for id_, one in control.organizations.items() if may_attest(one)} - {receiver.id}
    return {
        category: {party: id_ for party, id_ in by_party.items() if party in attesting}
        for category, by_party in relied.items()
    }


def may_attest(organization: Organization, project: str | None = None) -> bool:
    """Whether it may attest, and rely on who does: never for victim service providers and Part 2 projects.

    A consent names no project, so that who has a Part 2 project attests nothing.
    """
    return not organization.victim_service_provider and not _is_part2(organization, project)


def methods(organization: Organization) -> frozenset[ConsentMethod]:
    """The forms of a consent under which all of its data crosses, whichever of its projects it is of."""
    return _methods(organization, None)[0]


def _methods(sender: Organization, project: str | None) -> tuple[frozenset[ConsentMethod], str]:
    if sender.victim_service_provider:
        return frozenset({"written"}), "needs-written-release"
    if _is_part2(sender, project):
        return frozenset({"written", "electronic"}), "needs-written-consent"
    return ANY_METHOD, ""


def _obligations(
    sender: Organization, sending: str | None, receiver: Organization, receiving: str | None
) -> tuple[str, ...]:
    part2 = ("42-cfr-2.32",) if _is_part2(sender, sending) else ()
    hmis = sender.victim_service_provider and _takes_part_in_hmis(receiver, receiving)
    return (*part2, "do-not-enter-in-hmis") if hmis else part2


def _is_part2(organization: Organization, project: str | None) -> bool:
    return any(one.part2_program for one in _projects(organization, project))


def _takes_part_in_hmis(organization: Organization, project: str | None) -> bool:
    """An organization that named no project and registered none might keep an HMIS: the strictest reading."""
    projects = _projects(organization, project)
    return not projects or any(one.hmis_participation == "hmis" for one in projects)


def _projects(organization: Organization, project: str | None) -> list[Project]:
    """The project named; all of the organization's where none is, so that the strictest of them binds."""
    return [one for one in organization.projects if project in (None, one.id)]
