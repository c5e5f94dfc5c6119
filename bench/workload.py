"""The reference workload: a community's events, the same for the same seed."""

import base64
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy import base64url, canonical
from policy.control import control_key
from policy.murmur2 import partition_of
from policy.signatures import fingerprint
from schemas.control import (
    Agreement,
    AgreementData,
    Contact,
    GenesisData,
    KeyData,
    Organization,
    OrganizationData,
    Project,
    SigningKey,
    Term,
)
from schemas.events import (
    Consent,
    ConsentData,
    DataCategory,
    Envelope,
    Party,
    Recipient,
    Referral,
    ReferralData,
    Revocation,
    RevocationData,
)
from schemas.records import (
    AgreementActivated,
    ConsentGranted,
    ConsentRevoked,
    ControlEvent,
    KeyAdded,
    LogGenesis,
    OrganizationChanged,
    ReferralRequested,
    ReferralUpdated,
)
from services.kit import keys
from services.kit.signing import Signer

PARTITIONS = 12
LOG_ID = "reference-workload"
ORGANIZATIONS = tuple(f"org-{number:02d}" for number in range(20))
CATEGORIES: tuple[DataCategory, ...] = ("need", "identity", "household")
UPDATED_AMONG = 10_000  # the latest requests, among which updates choose
BOX_BYTES = 12 + 256 + 16  # nonce, one padding step, tag: what services.kit.sealing makes of a small segment
E = TypeVar("E")
Placed = tuple[int, bytes, bytes]  # partition, key, value


class Workload:
    """Control records and then `events` records, 98 % of them referrals, about `clients` clients."""

    def __init__(self, *, seed: int, events: int, clients: int) -> None:
        self._random = random.Random(seed)
        self._events = events
        self.clients = [self._name(22) for _ in range(clients)]
        self._boxes = [self._name(BOX_BYTES * 4 // 3) for _ in range(512)]
        self._signers = {name: Signer(name, self._private_key()) for name in ("root", "governance", "consent")}
        self._order = 0
        self.root_fingerprint = fingerprint(self._public("root"))

    def records(self) -> Iterator[Placed]:
        """Every record, with its partition; of one partition in its order."""
        for partition in range(PARTITIONS):
            yield from self.beginning(partition)
        requested: list[ReferralRequested] = []
        for number in range(self._events):
            client = self._random.choice(self.clients)
            chance = self._random.random()
            if chance < 0.015:
                yield self.grant(client, number)
            elif chance < 0.02:
                yield self.revocation(client, number)
            elif chance < 0.25 and requested:
                again = self._random.choice(requested)
                yield _placed(
                    again.data.client_id, canonical.encode(_event(ReferralUpdated, f"event-{number}", again.data))
                )
            else:
                event = self._request(client, number)
                if len(requested) < UPDATED_AMONG:
                    requested.append(event)
                else:
                    requested[number % UPDATED_AMONG] = event
                yield _placed(client, canonical.encode(event))

    def beginning(self, partition: int) -> Iterator[Placed]:
        """The control records with which every partition begins."""
        self._order = 0  # the same control records in every partition
        genesis = GenesisData(
            order=self._next_order(),
            key_id="root",
            signature="-",
            log_id=LOG_ID,
            partitions=PARTITIONS,
            partition=partition,
            root_public_key=self._public("root"),
            policy_version=1,
        )
        yield self._control(_event(LogGenesis, "genesis", genesis), partition, "root")
        for owner, types in (("governance", ("organization.", "agreement.")), ("consent", ("consent.", "client."))):
            key = SigningKey(id=owner, public_key=self._public(owner), owner=owner, types=types)
            data = KeyData(order=self._next_order(), key_id="root", signature="-", key=key)
            yield self._control(_event(KeyAdded, owner, data), partition, "root")
        for name in ORGANIZATIONS:
            yield self._control(self._organization(name), partition, "governance")
        yield self._control(self._agreement(), partition, "governance")

    def grant(self, client: str, number: int, to: tuple[str, ...] = ()) -> Placed:
        """A consent, by default to ten organizations, recorded by the client's own."""
        home = self._home(client)
        consent = Consent(
            id=self._name(22),
            version=1,
            to=to or tuple(self._random.sample([name for name in ORGANIZATIONS if name != home], 10)),
            categories=("identity", "household"),
            purposes=("shelter-placement",),
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
            expires_at=datetime(2036, 1, 1, tzinfo=UTC),
            method="written",
            notice_version="2026-1",
        )
        data = ConsentData(
            order=self._next_order(),
            key_id="-",
            signature="-",
            client_id=client,
            publisher=Party(organization=home),
            consent=consent,
        )
        event = _event(ConsentGranted, f"event-{number}", data)
        return _placed(client, self._signers["consent"].sign(event, log_id=LOG_ID, key=client))

    def revocation(self, client: str, number: int) -> Placed:
        """The client takes everything back."""
        data = RevocationData(
            order=self._next_order(),
            key_id="-",
            signature="-",
            client_id=client,
            publisher=Party(organization=self._home(client)),
            revocation=Revocation(id=self._name(22), scope="all", requested_by="client"),
        )
        event = _event(ConsentRevoked, f"event-{number}", data)
        return _placed(client, self._signers["consent"].sign(event, log_id=LOG_ID, key=client))

    def request(self, client: str, number: int, to: str | None = None) -> Placed:
        """A referral of the client to another organization."""
        return _placed(client, canonical.encode(self._request(client, number, to)))

    def a_recipient(self, client: str) -> str:
        """Any organization but the client's own."""
        home = self._home(client)
        return self._random.choice([name for name in ORGANIZATIONS if name != home])

    def _organization(self, name: str) -> OrganizationChanged:
        project = Project(
            id=f"{name}-es", name="Shelter", project_type=0, part2_program=False, hmis_participation="hmis"
        )
        organization = Organization(
            id=name,
            name=name,
            kind="provider",
            victim_service_provider=False,
            hipaa_covered=False,
            projects=(project,),
            contacts=(Contact(id="intake", name="Intake desk", phone="+1 555 0100"),),
        )
        data = OrganizationData(order=self._next_order(), key_id="-", signature="-", organization=organization)
        return _event(OrganizationChanged, name, data)

    def _agreement(self) -> AgreementActivated:
        term = Term(
            from_=ORGANIZATIONS,
            to=ORGANIZATIONS,
            purposes=("shelter-placement", "housing-placement"),
            categories=("identity", "household", "health"),
            deidentified=True,
        )
        agreement = Agreement(id="agreement-1", version=1, parties=ORGANIZATIONS, terms=(term,))
        data = AgreementData(order=self._next_order(), key_id="-", signature="-", agreement=agreement)
        return _event(AgreementActivated, "agreement", data)

    def _request(self, client: str, number: int, to: str | None = None) -> ReferralRequested:
        originator = self._home(client)
        recipient = to or self.a_recipient(client)
        envelope = Envelope(
            seq=1,
            suite="x25519",
            key_id=client,
            wrapped=self._name(107),
            boxes={category: self._random.choice(self._boxes) for category in CATEGORIES},
        )
        data = ReferralData(
            client_id=client,
            publisher=Party(organization=originator, project=f"{originator}-es"),
            recipients=(Recipient(organization=recipient, project=f"{recipient}-es", reference=self._name(22)),),
            purpose="shelter-placement",
            referral=Referral(
                id=self._name(22),
                originator=Party(organization=originator, project=f"{originator}-es"),
                version=1,
                status="requested",
            ),
            call_back="intake",
            sealed=(envelope,),
        )
        return _event(ReferralRequested, f"event-{number}", data)

    def _home(self, client: str) -> str:
        """The organization that cares for the client: it records the consents and makes the referrals."""
        return ORGANIZATIONS[sum(client.encode()) % len(ORGANIZATIONS)]

    def _control(self, event: ControlEvent, partition: int, signer: str) -> Placed:
        key = control_key(event)
        return partition, key.encode(), self._signers[signer].sign(event, log_id=LOG_ID, key=key)

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    def _public(self, name: str) -> str:
        return keys.encode_public(self._signers[name].private_key.public_key())

    def _private_key(self) -> Ed25519PrivateKey:
        return keys.decode_private(base64url.encode(self._random.randbytes(32)))

    def _name(self, length: int) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(length)).decode()[:length]


def _placed(client: str, value: bytes) -> Placed:
    return partition_of(client.encode(), PARTITIONS), client.encode(), value


def _event(kind: Callable[..., E], event_id: str, data: object) -> E:
    return kind(id=event_id, source="/reference", time="2026-11-22T12:00:00Z", specversion="1.0", data=data)
