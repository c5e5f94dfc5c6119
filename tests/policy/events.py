"""Makes the event that a step of a case speaks of, with what it leaves unsaid."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

from policy.parse import TYPES
from schemas import control as control_data
from schemas import events, records
from tests.policy import said
from tests.policy.case_files import world
from tests.policy.said import Says
from tests.support.log import LOG_ID, PARTITIONS, context, public, signer

UNSIGNED = "-"
_BOXED = ("referral.requested", "referral.updated")


class Place(NamedTuple):
    """Where a step stands: the client it is about, its order, and the id of its event."""

    client: str
    order: int
    event_id: str

    @property
    def signed(self) -> dict[str, Any]:
        return {"order": self.order, "key_id": UNSIGNED, "signature": UNSIGNED}


def _consented(kind: type[Any]) -> Callable[[Place, Says], records.Event]:
    def make(place: Place, says: Says) -> records.Event:
        publisher = events.Party(organization=says.get("by", "outreach"))
        made = said.consent(says, place.event_id)
        data = events.ConsentData(**place.signed, client_id=place.client, publisher=publisher, consent=made)
        event: records.Event = kind(**context(place.event_id), data=data)
        return event

    return make


def _revoked(kind: type[Any], **default: str) -> Callable[[Place, Says], records.Event]:
    def make(place: Place, says: Says) -> records.Event:
        publisher = events.Party(organization=says.get("by", "shelter"))
        made = said.revocation({**default, **says}, place.event_id)
        data = events.RevocationData(**place.signed, client_id=place.client, publisher=publisher, revocation=made)
        event: records.Event = kind(**context(place.event_id), data=data)
        return event

    return make


def _restated(place: Place, says: Says) -> records.Event:
    state = events.ClientConsents(
        mark=says.get("mark", place.order),
        in_doubt=says.get("in_doubt", False),
        grants=tuple(said.held(one) for one in says.get("grants", ())),
        refusals=tuple(said.held(one) for one in says.get("refusals", ())),
        exclusions=tuple(said.held(one) for one in says.get("exclusions", ())),
        revocations=tuple(
            events.HeldRevocation(
                order=one["order"],
                revocation=said.revocation(one, f"of-order-{one['order']}"),
                in_error=one.get("in_error", False),
            )
            for one in says.get("revocations", ())
        ),
    )
    data = events.ConsentRestatedData(**place.signed, client_id=place.client, consents=state)
    return records.ConsentRestated(**context(place.event_id), data=data)


def _of_referral(event_type: str) -> Callable[[Place, Says], records.Event]:
    kind: Any = TYPES[event_type]

    def make(place: Place, says: Says) -> records.Event:
        made: records.Event = kind(**context(place.event_id), data=referral_data(place, says, event_type))
        return made

    return make


def referral_data(place: Place, says: Says, event_type: str) -> events.ReferralData:
    """`data` of a referral's event: `by` is the publisher, `originator` and its `project` are who asked."""
    originator = says.get("originator", says.get("by", "outreach") if event_type in _BOXED else "outreach")
    publisher, project = says.get("by", originator), says.get("project")
    referral = events.Referral(
        id=says.get("referral", "the-referral"),
        originator=events.Party(organization=originator, project=project),
        version=says.get("version", 1),
        status=_STATUS.get(event_type, says.get("status", "requested")),
    )
    return events.ReferralData(
        client_id=place.client,
        publisher=events.Party(
            organization=publisher, project=says.get("by_project", project if publisher == originator else None)
        ),
        recipients=tuple(said.recipient(one) for one in said.listed(says.get("to", "shelter"))),
        purpose=says.get("purpose", said.PURPOSE),
        referral=referral,
        historical=says.get("historical", False),
        call_back=says.get("call_back", "desk"),
        consent_ended=events.ConsentEnded(**says["ended"]) if "ended" in says else None,
        sealed=tuple(said.envelopes(says.get("boxes", ()))),
    )


def _organization_changed(place: Place, says: Says) -> records.Event:
    data = control_data.OrganizationData(**place.signed, organization=said.organization(says))
    return records.OrganizationChanged(**context(place.event_id), data=data)


def _agreement_activated(place: Place, says: Says) -> records.Event:
    supersedes = says.get("supersedes")
    data = control_data.AgreementData(**place.signed, agreement=said.agreement(says), supersedes=supersedes)
    return records.AgreementActivated(**context(place.event_id), data=data)


def _agreement_suspended(place: Place, says: str) -> records.Event:
    data = control_data.AgreementSuspendedData(**place.signed, agreement_id=says)
    return records.AgreementSuspended(**context(place.event_id), data=data)


def _agreement_left(place: Place, says: Says) -> records.Event:
    data = control_data.AgreementLeftData(
        **place.signed, agreement_id=says.get("agreement", "sharing"), organization=says["organization"]
    )
    return records.AgreementLeft(**context(place.event_id), data=data)


def _key_added(place: Place, says: Says) -> records.Event:
    return records.KeyAdded(**context(place.event_id), data=control_data.KeyData(**place.signed, key=said.key(says)))


def _key_retired(place: Place, says: str) -> records.Event:
    data = control_data.KeyRetiredData(**place.signed, retired_key_id=says)
    return records.KeyRetired(**context(place.event_id), data=data)


def _policy_activated(place: Place, says: int) -> records.Event:
    data = control_data.PolicyData(**place.signed, policy_version=says)
    return records.PolicyActivated(**context(place.event_id), data=data)


def _control_restated(place: Place, says: Says) -> records.Event:
    everything = world()
    data = control_data.ControlRestatedData(
        **place.signed,
        policy_version=says.get("policy_version", 1),
        organizations=tuple(
            said.organization({"id": one}) for one in says.get("organizations", everything["organizations"])
        ),
        agreements=tuple(said.agreement({"id": one}) for one in says.get("agreements", everything["agreements"])),
        keys=tuple(said.key({"id": one}) for one in says.get("keys", ["governance", "consent"])),
    )
    return records.ControlRestated(**context(place.event_id), data=data)


def _genesis(place: Place, says: Says) -> records.Event:
    data = control_data.GenesisData(
        **place.signed,
        log_id=says.get("log_id", LOG_ID),
        partitions=says.get("partitions", PARTITIONS),
        partition=says.get("partition", 0),
        root_public_key=public(signer(says.get("root", "root")).private_key),
        policy_version=says.get("policy_version", 1),
    )
    return records.LogGenesis(**context(place.event_id), data=data)


_STATUS: Mapping[str, events.ReferralStatus] = {
    f"referral.{status}": status for status in get_args(events.ReferralStatus) if status != "requested"
}
MAKERS: Mapping[str, Callable[[Place, Any], records.Event]] = {
    "grant": _consented(records.ConsentGranted),
    "attest": _consented(records.ConsentAttested),
    "refuse": _consented(records.ConsentRefused),
    "exclude": _consented(records.ConsentExcluded),
    "revoke": _revoked(records.ConsentRevoked),
    "in_error": _revoked(records.ConsentEnteredInError, scope="consent"),
    "expire": _consented(records.ConsentExpired),
    "restate": _restated,
    "request": _of_referral("referral.requested"),
    "update": _of_referral("referral.updated"),
    "respond_soon": _of_referral("referral.respond_soon"),
    **{status: _of_referral(event_type) for event_type, status in _STATUS.items()},
    "consent_ended": _of_referral("referral.consent_ended"),
    "organization": _organization_changed,
    "agreement": _agreement_activated,
    "suspend": _agreement_suspended,
    "leave": _agreement_left,
    "add_key": _key_added,
    "retire_key": _key_retired,
    "policy": _policy_activated,
    "restate_control": _control_restated,
    "genesis": _genesis,
}
