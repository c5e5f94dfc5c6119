"""A log on which organizations refer clients to each other, and the disclosures that the policy answers it with.

Everything is real but the broker: signed records, boxes sealed to clients' keys, decisions made by the policy's fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

from policy.state import PartitionState
from policy.step import Fold
from schemas.categories import segment
from schemas.control import Agreement, AgreementData, Contact, Organization, OrganizationData, Project, Term
from schemas.events import (
    Consent,
    ConsentData,
    DataCategory,
    Party,
    PurposeOfUse,
    Recipient,
    Referral,
    ReferralData,
    ReferralStatus,
    Revocation,
    RevocationData,
    Signer,
)
from schemas.records import (
    AgreementActivated,
    ConsentEnteredInError,
    ConsentGranted,
    OrganizationChanged,
    ReferralAccepted,
    ReferralCancelled,
    ReferralConsentEnded,
    ReferralEnteredInError,
    ReferralEvents,
    ReferralRequested,
    ReferralRespondSoon,
    ReferralUpdated,
)
from services.kit.client_keys import DEFAULT_SUITE, ClientKeyPair, generate_client_keys
from services.kit.keys import random_id
from services.kit.sealing import SealContext, seal
from tests.support.log import LOG_ID, ROOT_FINGERPRINT, START, Log, Record, clients_in, context, signer

NEED = {"service": "ES", "household_type": "without_children", "household_size": "1", "beds": 1}
CATEGORIES: tuple[DataCategory, ...] = get_args(DataCategory)
PURPOSE: PurposeOfUse = "shelter-placement"
VALID_FROM = datetime.fromtimestamp(START / 1000 - 86_400, UTC)
KINDS: dict[str, type[ReferralEvents]] = {
    "requested": ReferralRequested,
    "updated": ReferralUpdated,
    "accepted": ReferralAccepted,
    "cancelled": ReferralCancelled,
    "entered_in_error": ReferralEnteredInError,
    "respond_soon": ReferralRespondSoon,
    "consent_ended": ReferralConsentEnded,
}
STATUS: dict[str, ReferralStatus] = {
    "updated": "requested",
    "accepted": "accepted",
    "cancelled": "cancelled",
    "entered_in_error": "entered_in_error",
}


@dataclass
class Answer:
    """A record's disclosure, as it stands on the topic `disclosures`."""

    offset: int
    key: bytes | None
    value: bytes


@dataclass
class Sealing:
    """A client's key pair, under the id that envelopes name it by."""

    pair: ClientKeyPair
    key_id: str


@dataclass
class Made:
    """A referral as its events need it again."""

    id: str
    client_id: str
    originator: Party
    recipient: Recipient
    version: int = 0


@dataclass
class Disclosing:
    """The log of partition 0, its fold, and the clients' keys; `answers` grows with each record."""

    log: Log = field(default_factory=Log)
    answers: list[Answer] = field(default_factory=list)
    clients: dict[str, Sealing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fold = Fold(PartitionState(partition=0, root_fingerprint=ROOT_FINGERPRINT))
        self._ids = iter(clients_in(0, 2000))
        self.log.begin()
        self._answer(self.log.records)

    def organization(self, id_: str, *projects: Project, victim_service_provider: bool = False) -> str:
        """Register an organization with one contact, `desk`."""
        found = Organization(
            id=id_,
            name=id_.title(),
            kind="provider",
            victim_service_provider=victim_service_provider,
            hipaa_covered=False,
            projects=projects,
            contacts=(Contact(id="desk", name=f"Desk of {id_}", phone="555-0100"),),
        )
        data = OrganizationData(order=self.log.next_order(), key_id="-", signature="-", organization=found)
        self._answer([self.log.sign(OrganizationChanged(**context(random_id()), data=data))])
        return id_

    def agree(self, *parties: str, deidentified: bool = True) -> None:
        """Put an agreement in force under which all may tell each other everything a consent permits."""
        term = Term(from_=parties, to=parties, purposes=(PURPOSE,), categories=CATEGORIES, deidentified=deidentified)
        agreement = Agreement(id=random_id(), version=1, parties=parties, terms=(term,))
        data = AgreementData(order=self.log.next_order(), key_id="-", signature="-", agreement=agreement)
        self._answer([self.log.sign(AgreementActivated(**context(random_id()), data=data))])

    def client(self) -> str:
        """A new client with a key pair."""
        client_id = next(self._ids)
        self.clients[client_id] = Sealing(generate_client_keys(), random_id())
        return client_id

    def grant(self, client_id: str, discloser: str, to: str, *categories: DataCategory, **more: Any) -> str:
        """Record a written consent and return its id."""
        consent = Consent(
            id=random_id(),
            version=1,
            to=(to,),
            valid_from=more.pop("valid_from", VALID_FROM),
            method="written",
            notice_version="1",
            signers=(Signer(role="client", on=VALID_FROM.date()),),
            categories=categories,
            purposes=(PURPOSE,),
            **more,
        )
        data = ConsentData(
            order=self.log.next_order(),
            key_id="-",
            signature="-",
            client_id=client_id,
            publisher=Party(organization=discloser),
            consent=consent,
        )
        self._answer([self.log.sign(ConsentGranted(**context(random_id()), data=data))])
        return consent.id

    def enter_in_error(self, client_id: str, consent_id: str, signed_by: str = "consent") -> None:
        """Say that a consent was entered in error."""
        error = Revocation(id=random_id(), scope="consent", requested_by="discloser", consent_id=consent_id)
        data = RevocationData(
            order=self.log.next_order(),
            key_id="-",
            signature="-",
            client_id=client_id,
            publisher=Party(organization="outreach"),
            revocation=error,
        )
        self._answer([self.log.sign(ConsentEnteredInError(**context(random_id()), data=data), signer(signed_by))])

    def refer(
        self, client_id: str, originator: str, to: str, segments: dict[DataCategory, Any] | None = None, **more: Any
    ) -> Made:
        """Request a referral with the need and these segments sealed."""
        recipient = Recipient(organization=to, project=more.pop("to_project", None), reference=random_id())
        party = Party(organization=originator, project=more.pop("project", None))
        made = Made(random_id(), client_id, party, recipient)
        self.say(made, "requested", {"need": NEED, **(segments or {})}, **more)
        return made

    def say(
        self,
        made: Made,
        kind: str,
        segments: dict[DataCategory, Any] | None = None,
        publisher: str | None = None,
        **more: Any,
    ) -> Answer:
        """Publish an event of a referral: `kind` is a key of KINDS, by its originator unless told otherwise."""
        made.version += 1
        data = ReferralData(
            client_id=made.client_id,
            publisher=Party(organization=publisher) if publisher else made.originator,
            recipients=(made.recipient,),
            purpose=PURPOSE,
            referral=Referral(
                id=made.id, originator=made.originator, version=made.version, status=STATUS.get(kind, "requested")
            ),
            call_back="desk" if segments else None,
            **more,
        )
        event = KINDS[kind](**context(random_id()), data=self._sealed(data, made, segments))
        self._answer([self.log.publish(event)])
        return self.answers[-1]

    def _sealed(self, data: ReferralData, made: Made, segments: dict[DataCategory, Any] | None) -> ReferralData:
        if not segments:
            return data
        key = self.clients[made.client_id]
        envelope = seal(
            {category: segment(category, content) for category, content in segments.items()},
            SealContext.of(LOG_ID, data),
            public_key=key.pair.public_key,
            key_id=key.key_id,
            seq=made.version,
            suite=DEFAULT_SUITE,
        )
        return ReferralData(**{name: getattr(data, name) for name in data.__struct_fields__} | {"sealed": (envelope,)})

    def _answer(self, records: Sequence[Record]) -> None:
        for record in records:
            value = self._fold.step(record.timestamp, record.key, record.headers, record.value)
            self.answers.append(Answer(len(self.answers), record.key, value))
