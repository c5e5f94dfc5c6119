"""The state of one partition: nothing but the fold of the records before."""

from functools import partial

import msgspec
from msgspec import Struct

from policy import consents
from policy.control import Control
from policy.regimes import Rule, rule
from schemas.control import Organization
from schemas.disclosures import CallBack
from schemas.events import ClientConsents, Identifier, Party, PurposeOfUse, Recipient

# How well a recipient knows a referral.
STRANGER, BY_REFERENCE, BY_ID = 0, 1, 2
_pack = msgspec.msgpack.Encoder().encode
_REMEMBERED_BYTES = 64 * 16  # the last 64 referral events of a client, 16 bytes of hash each


class ReferralState(Struct, kw_only=True, array_like=True):
    """What must not be forgotten of a client's referral; the rest comes with each of its events."""

    facts: bytes  # 16 bytes of hash of what never changes
    historical: bool = False  # once backfill, always
    known: bytes  # one byte a recipient: STRANGER, BY_REFERENCE or BY_ID


class ClientState(Struct, kw_only=True, array_like=True):
    """One client: consents, referrals by id, and hashes of the last referral events."""

    consents: ClientConsents = consents.NONE
    referrals: dict[Identifier, ReferralState] = {}
    remembered: bytes = b""

    def remembers(self, event_hash: bytes) -> bool:
        """Whether an event with this hash was among the last 64; remembers it from now on."""
        if event_hash[:16] in self.remembered:
            return True
        self.remembered = (self.remembered + event_hash[:16])[-_REMEMBERED_BYTES:]
        return False


class PartitionState(Struct, kw_only=True):
    """One partition. `next`: the offset it waits for; `at`: running maximum of LogAppendTime (ms since 1970).

    Clients are kept packed: as objects they would take four times the memory, and a garbage collector's time.
    """

    partition: int
    root_fingerprint: str
    next: int = 0
    at: int = 0
    digest: bytes = bytes(32)
    control: Control = Control()
    clients: dict[Identifier, bytes] = {}

    def client(self, client_id: str) -> ClientState:
        """The client's state, empty before the first record; a change counts once it is `keep`t."""
        packed = self.clients.get(client_id)
        return ClientState() if packed is None else _CLIENT.decode(packed)

    def keep(self, client_id: str, client: ClientState) -> None:
        """Let this be the client's state."""
        self.clients[client_id] = _pack(client)


_CLIENT = msgspec.msgpack.Decoder(ClientState)


class Rules:
    """What follows from one control state alone, found once: control changes daily, events come by the thousand."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._found: dict[tuple[str, str | None, str, str | None, PurposeOfUse], tuple[Party, Rule]] = {}
        self._call_backs: dict[tuple[str, str | None], CallBack | None] = {}

    def under(self, control: Control) -> "Rules":
        """Itself while control is the same, else new."""
        return self if control is self._control else Rules(control)

    def rule(self, publisher: Party, recipient: Recipient, purpose: PurposeOfUse) -> tuple[Party, Rule]:
        """The recipient as a party, and `regimes.rule` for it."""
        key = (publisher.organization, publisher.project, recipient.organization, recipient.project, purpose)
        found = self._found.get(key)
        if found is None:
            party = Party(organization=recipient.organization, project=recipient.project)
            found = self._found[key] = (party, rule(self._control, publisher, party, purpose))
        return found

    def call_back(self, organization_id: str, contact_id: str | None) -> CallBack | None:
        """The registered contact of an organization, as it is registered now."""
        key = (organization_id, contact_id)
        if key not in self._call_backs:
            self._call_backs[key] = _call_back(self._control.organizations.get(organization_id), contact_id)
        return self._call_backs[key]


def _call_back(organization: Organization | None, contact_id: str | None) -> CallBack | None:
    for contact in organization.contacts if organization else ():
        if contact.id == contact_id:
            return CallBack(name=contact.name, phone=contact.phone, email=contact.email, languages=contact.languages)
    return None


snapshot = msgspec.msgpack.Encoder(order="deterministic").encode
restore = partial(msgspec.msgpack.decode, type=PartitionState)
