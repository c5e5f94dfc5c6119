"""Makes the example of each event type: `python -m tests.contracts.event_examples` writes them into schemas/examples.

Together they are a log of one partition: each is signed by the key that the ones before it name, and each counts.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import schemas
from policy import canonical
from policy.control import control_key
from policy.parse import TYPES, type_of
from schemas import control as control_data
from schemas import events, records
from services.kit.signing import Signer
from tests.support.log import CONSENT_TYPES, GOVERNANCE_TYPES, clients_in, public, signer

FOLDER = Path(schemas.__file__).parent / "examples" / "events"
LOG_ID, PARTITION, PARTITIONS = "river-valley-2026", 3, 12
ROOT, GOVERNANCE, CONSENT = signer("root"), signer("governance"), signer("consent")
CLIENT = clients_in(PARTITION, 1)[0]
OUTREACH, SHELTER = events.Party(organization="street-outreach"), events.Party(organization="harbor-shelter")
UNSIGNED: dict[str, Any] = {"key_id": "-", "signature": "-"}
_ORDER = 1_795_348_800_000_000  # microseconds since 1970, as the services take their orders
_LIFECYCLE = (
    "accepted",
    "declined",
    "cancelled",
    "started",
    "on_hold",
    "completed",
    "failed",
    "expired",
    "entered_in_error",
)
_BY_ORIGINATOR = ("cancelled", "expired", "entered_in_error")


def made() -> dict[str, bytes]:
    """Each type's example, as it would stand on the log, in the order of the log."""
    return {type_of(event): _bytes(event) for event in _events()}


def pretty(value: bytes) -> str:
    """The same for a reader: its canonical bytes are this without the white space."""
    return json.dumps(json.loads(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def key_of(event: records.Event) -> str:
    """The key of an event's record."""
    return control_key(event) if isinstance(event, records.ControlRecord) else event.data.client_id


def consents_key() -> bytes:
    """The other key.added of a log's beginning, for consent: a type has one example only."""
    return _bytes(_key_added(CONSENT, CONSENT_TYPES, 2))


def _bytes(event: records.Event) -> bytes:
    if not isinstance(event, records.SignedRecord):
        return canonical.encode(event)
    by_root = isinstance(event, records.LogGenesis | records.KeyAdded)
    chosen = ROOT if by_root else CONSENT if isinstance(event, records.ConsentRecord) else GOVERNANCE
    return chosen.sign(event, log_id=LOG_ID, key=key_of(event))


def _context(number: int, source: str) -> dict[str, Any]:
    time = datetime(2026, 11, 22, 12, number, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return {"id": f"example-{number:02d}", "source": f"/{source}", "time": time, "specversion": "1.0"}


def _signed(number: int) -> dict[str, Any]:
    return UNSIGNED | {"order": _ORDER + number}


def _events() -> Iterator[records.Event]:
    yield from _beginning()
    yield from _consents()
    yield from _referrals()
    yield from _in_error()
    yield from _endings()


def _beginning() -> Iterator[records.Event]:
    genesis = control_data.GenesisData(
        **_signed(0),
        log_id=LOG_ID,
        partitions=PARTITIONS,
        partition=PARTITION,
        root_public_key=public(ROOT.private_key),
        policy_version=1,
    )
    yield records.LogGenesis(**_context(0, "governance"), data=genesis)
    yield _key_added(GOVERNANCE, GOVERNANCE_TYPES, 1)
    organization = control_data.OrganizationData(**_signed(3), organization=_organization())
    yield records.OrganizationChanged(**_context(3, "governance"), data=organization)
    agreement = control_data.AgreementData(**_signed(4), agreement=_agreement())
    yield records.AgreementActivated(**_context(4, "governance"), data=agreement)


def _key_added(key: Signer, types: tuple[str, ...], number: int) -> records.Event:
    signing_key = control_data.SigningKey(
        id=key.key_id, public_key=public(key.private_key), owner=key.key_id, types=types
    )
    data = control_data.KeyData(**_signed(number), key=signing_key)
    return records.KeyAdded(**_context(number, "governance"), data=data)


def _organization() -> control_data.Organization:
    beds = control_data.Project(
        id="harbor-beds", name="Harbor Beds", project_type=1, part2_program=False, hmis_participation="hmis"
    )
    contact = control_data.Contact(id="intake", name="Intake desk", phone="+1 555 0100", languages=("en", "es"))
    return control_data.Organization(
        id=SHELTER.organization,
        name="Harbor Shelter",
        kind="provider",
        victim_service_provider=False,
        hipaa_covered=False,
        projects=(beds,),
        contacts=(contact,),
    )


def _agreement() -> control_data.Agreement:
    term = control_data.Term(
        from_=(OUTREACH.organization,),
        to=(SHELTER.organization,),
        purposes=("shelter-placement",),
        categories=("identity", "household"),
        deidentified=True,
    )
    parties = (OUTREACH.organization, SHELTER.organization)
    return control_data.Agreement(id="river-valley-sharing", version=1, parties=parties, terms=(term,))


def _consent(number: int, **different: Any) -> events.Consent:
    fields: dict[str, Any] = {
        "id": f"consent-{number}",
        "version": 1,
        "to": (SHELTER.organization,),
        "valid_from": datetime(2026, 11, 22, 12, tzinfo=UTC),
        "method": "electronic",
        "notice_version": "2026-1",
        "signers": (events.Signer(role="client", on=date(2026, 11, 22)),),
        "language": "es",
    }
    return events.Consent(**fields | different)


def _consents() -> Iterator[records.Event]:
    scope: dict[str, Any] = {"categories": ("household", "identity"), "purposes": ("shelter-placement",)}
    document = events.Document(sha256="ab" * 32, held_by=OUTREACH.organization)
    until = datetime(2026, 12, 22, 12, tzinfo=UTC)
    granted = _consent(10, **scope, method="written", expires_at=until, document=document)
    yield records.ConsentGranted(**_context(10, "consent"), data=_consent_data(10, granted))
    refused = _consent(11, categories=("health",), purposes=("shelter-placement",))
    yield records.ConsentRefused(**_context(11, "consent"), data=_consent_data(11, refused))
    excluded = _consent(12, to=("city-jail-liaison",), method="verbal", signers=())
    yield records.ConsentExcluded(**_context(12, "consent"), data=_consent_data(12, excluded))
    revocation = events.Revocation(
        id="revocation-13", scope="category", requested_by="client", category="household", reason_code="changed-mind"
    )
    revoked = events.RevocationData(**_signed(13), client_id=CLIENT, publisher=SHELTER, revocation=revocation)
    yield records.ConsentRevoked(**_context(13, "consent"), data=revoked)
    held = events.HeldConsent(order=_ORDER + 10, recorder=OUTREACH.organization, consent=granted)
    cut = events.HeldRevocation(order=_ORDER + 13, revocation=revocation)
    state = events.ClientConsents(mark=_ORDER + 13, grants=(held,), revocations=(cut,))
    restated = events.ConsentRestatedData(**_signed(14), client_id=CLIENT, consents=state)
    yield records.ConsentRestated(**_context(14, "consent"), data=restated)
    attested = _consent(15, **scope, expires_at=until)
    yield records.ConsentAttested(**_context(15, "consent"), data=_consent_data(15, attested))
    yield records.ConsentExpired(**_context(16, "consent"), data=_consent_data(16, attested))


def _consent_data(number: int, consent: events.Consent) -> events.ConsentData:
    actor = events.Actor(id="staff-7", role="navigator")
    return events.ConsentData(**_signed(number), client_id=CLIENT, publisher=OUTREACH, consent=consent, actor=actor)


def _referrals() -> Iterator[records.Event]:
    box = "A" * 379  # 284 bytes: a nonce, one padding step, a tag
    envelope = events.Envelope(
        seq=1,
        suite="x25519",
        key_id="client-key-1",
        wrapped="B" * 107,
        boxes={"need": box, "identity": box, "household": box},
    )
    requested = _referral_data("requested", OUTREACH, sealed=(envelope,), call_back="intake")
    yield records.ReferralRequested(**_context(20, "referrals"), data=requested)
    yield records.ReferralUpdated(**_context(21, "referrals"), data=requested)
    for number, status in enumerate(_LIFECYCLE, start=22):
        publisher = OUTREACH if status in _BY_ORIGINATOR else SHELTER
        declined: dict[str, Any] = {"reason_code": "no-capacity", "declined_by": "provider"}
        data = _referral_data(status, publisher, **declined if status == "declined" else {})
        kind: Any = TYPES[f"referral.{status}"]
        yield kind(**_context(number, "referrals"), data=data)
    soon = _referral_data("requested", OUTREACH, respond_by="2026-11-22T18:00:00Z")
    yield records.ReferralRespondSoon(**_context(22 + len(_LIFECYCLE), "referrals"), data=soon)


def _referral_data(status: Any, publisher: events.Party, **more: Any) -> events.ReferralData:
    recipient = events.Recipient(
        organization="harbor-shelter", project="harbor-beds", reference="Yk3v-PqTz0aB7dLmW2xR5w"
    )
    return events.ReferralData(
        client_id=CLIENT,
        publisher=publisher,
        recipients=(recipient,),
        purpose="shelter-placement",
        referral=events.Referral(id="referral-20", originator=OUTREACH, version=1, status=status),
        **more,
    )


def _in_error() -> Iterator[records.Event]:
    revocation = events.Revocation(
        id="error-36",
        scope="consent",
        requested_by="discloser",
        consent_id="consent-15",
        reason_code="recorded-in-error",
    )
    data = events.RevocationData(**_signed(36), client_id=CLIENT, publisher=OUTREACH, revocation=revocation)
    yield records.ConsentEnteredInError(**_context(36, "consent"), data=data)
    ended = events.ConsentEnded(id="consent-15", reason="entered-in-error")
    told = _referral_data("accepted", OUTREACH, consent_ended=ended)
    yield records.ReferralConsentEnded(**_context(37, "referrals"), data=told)


def _endings() -> Iterator[records.Event]:
    policy = control_data.PolicyData(**_signed(40), policy_version=1)
    yield records.PolicyActivated(**_context(40, "governance"), data=policy)
    restated = control_data.ControlRestatedData(
        **_signed(41),
        policy_version=1,
        organizations=(_organization(),),
        agreements=(_agreement(),),
        keys=tuple(
            control_data.SigningKey(id=key.key_id, public_key=public(key.private_key), owner=key.key_id, types=types)
            for key, types in ((GOVERNANCE, GOVERNANCE_TYPES), (CONSENT, CONSENT_TYPES))
        ),
    )
    yield records.ControlRestated(**_context(41, "governance"), data=restated)
    suspended = control_data.AgreementSuspendedData(**_signed(42), agreement_id="river-valley-sharing")
    yield records.AgreementSuspended(**_context(42, "governance"), data=suspended)
    left = control_data.AgreementLeftData(
        **_signed(44), agreement_id="river-valley-sharing", organization=SHELTER.organization
    )
    yield records.AgreementLeft(**_context(44, "governance"), data=left)
    retired = control_data.KeyRetiredData(**_signed(43), retired_key_id=CONSENT.key_id)
    yield records.KeyRetired(**_context(43, "governance"), data=retired)


def main() -> None:
    """Write every example."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for event_type, value in made().items():
        (FOLDER / f"{event_type}.json").write_text(pretty(value), encoding="utf-8")


if __name__ == "__main__":
    main()
