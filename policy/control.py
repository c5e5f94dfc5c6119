"""The control state: organizations, agreements in force, signing keys; and how a control record changes it."""

from msgspec import Struct
from msgspec.structs import replace

from schemas import control as control_data
from schemas.control import Agreement, ControlRestatedData, GenesisData, Organization, SigningKey
from schemas.records import ControlEvent, ControlRestated, LogGenesis

POLICY_VERSION = 1
KEY_PREFIX = "control/"


class UnsupportedPolicyVersion(RuntimeError):
    """The log asks for a policy version that this build does not have: stop, and run a newer build."""


class Control(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fold of a partition's control records. `marks`: the highest order applied, per kind and id.

    `ended`: agreements suspended or superseded; `left`: (agreement, party). Both are for ever.
    """

    genesis: GenesisData | None = None
    in_doubt: bool = False
    policy_version: int = POLICY_VERSION
    floor: int = 0  # the order of the last restatement: whatever widens at or below it is late
    marks: dict[str, int] = {}
    organizations: dict[str, Organization] = {}
    agreements: dict[str, Agreement] = {}
    ended: frozenset[str] = frozenset()
    left: frozenset[tuple[str, str]] = frozenset()
    keys: dict[str, SigningKey] = {}
    retired: frozenset[str] = frozenset()


def control_key(event: ControlEvent) -> str:
    """The record key that this event must have."""
    return KEY_PREFIX + _control_id(event)


def _control_id(event: ControlEvent) -> str:
    match event.data:
        case (
            control_data.OrganizationData(organization=one)
            | control_data.AgreementData(agreement=one)
            | control_data.KeyData(key=one)
        ):
            return one.id
        case (
            control_data.AgreementSuspendedData(agreement_id=id_)
            | control_data.AgreementLeftData(agreement_id=id_)
            | control_data.KeyRetiredData(retired_key_id=id_)
        ):
            return id_
        case control_data.PolicyData():
            return "policy"
        case control_data.ControlRestatedData():
            return "restated"
        case control_data.GenesisData():
            return "genesis"


def _mark_name(event: ControlEvent) -> str:
    """Marks are kept per kind too, so that an organization cannot shadow an agreement that has its id."""
    kind = str(type(event).__struct_config__.tag).split(".")[0]
    return f"{kind}/{_control_id(event)}"


def apply(control: Control, event: ControlEvent) -> Control | None:
    """The state after `event` (whose signature fits); None if it is late.

    What narrows for ever needs no order. A copy of an older record, by whomever, must not bring back what was narrowed.
    """
    narrowed = _narrowed(control, event)
    name, order = _mark_name(event), event.data.order
    restates = isinstance(event, ControlRestated)
    marks = control.marks.values() if restates else [control.marks.get(name, 0)]
    changed = _changed(narrowed, event) if order > max([control.floor, *marks]) else None
    if changed is None:
        return None if narrowed == control else narrowed
    return replace(changed, marks={**changed.marks, name: order})


def _narrowed(control: Control, event: ControlEvent) -> Control:
    """The state without what `event` takes away for ever."""
    match event.data:
        case control_data.AgreementSuspendedData(agreement_id=id_) | control_data.AgreementData(supersedes=str(id_)):
            agreements = {key: one for key, one in control.agreements.items() if key != id_}
            return replace(control, agreements=agreements, ended=control.ended | {id_})
        case control_data.AgreementLeftData(agreement_id=id_, organization=party):
            return replace(control, left=control.left | {(id_, party)})
        case control_data.KeyRetiredData(retired_key_id=id_):
            keys = {key: one for key, one in control.keys.items() if key != id_}
            return replace(control, keys=keys, retired=control.retired | {id_})
    return control


def _changed(control: Control, event: ControlEvent) -> Control | None:
    """The state with what `event` says; None for what only narrows, or was ended or retired."""
    match event.data:
        case control_data.OrganizationData(organization=organization):
            return replace(control, organizations={**control.organizations, organization.id: organization})
        case control_data.AgreementData(agreement=agreement) if agreement.id not in control.ended:
            return replace(control, agreements={**control.agreements, agreement.id: agreement})
        case control_data.KeyData(key=key) if key.id not in control.retired:
            return replace(control, keys={**control.keys, key.id: key})
        case control_data.PolicyData(policy_version=version):
            return replace(control, policy_version=_supported(version))
        case control_data.ControlRestatedData() as data:
            return _restated(control, data)
    return None


def _restated(control: Control, data: ControlRestatedData) -> Control:
    return replace(
        control,
        in_doubt=False,
        floor=data.order,
        marks={},
        policy_version=_supported(data.policy_version),
        organizations={one.id: one for one in data.organizations},
        agreements={one.id: one for one in data.agreements if one.id not in control.ended},
        keys={one.id: one for one in data.keys if one.id not in control.retired},
    )


def parties_in_force(control: Control, agreement: Agreement) -> set[str]:
    """The parties that have not left it."""
    return {party for party in agreement.parties if (agreement.id, party) not in control.left}


def with_genesis(genesis: LogGenesis) -> Control:
    """The state after the record at offset 0."""
    return Control(genesis=genesis.data, policy_version=_supported(genesis.data.policy_version))


def _supported(version: int) -> int:
    if version != POLICY_VERSION:
        raise UnsupportedPolicyVersion(f"policy version {version}; this build has {POLICY_VERSION}")
    return version
