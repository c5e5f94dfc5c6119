"""What is told without a decision: of beds, and of a consent or a referral to whoever made it. It needs no release.

A unit's public numbers are for whoever asked for them by name: they are addressed to nobody, and `*` stands for all
that is. Of a test organization's unit tests alone are told, and of no other. A step of a hold is told to the hold's two
organizations, once, whatever the number of its beds: each bed's record names them all, and no step happens twice to one
hold, so the first record that comes is the message. A request, which has no bed, has one record for each step. That a
consent ends is told to the organization that recorded it, and that nobody answered a referral to its originator, as any
status is: nothing crosses. Both stand in inboxes too. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from policy import canonical
from schemas import beds
from schemas.notices import ConsentExpiring, ReferralUnanswered
from schemas.records import ReferralExpired
from services.kit.broker import Record
from services.webhooks.messages import Identified, Message
from services.webhooks.render import to_json
from services.webhooks.told import EVERYTHING

AVAILABILITY_TYPE: Final = str(beds.UnitAvailability.__struct_config__.tag)
HOLD_TYPES: Final = tuple(str(kind.__struct_config__.tag) for kind in get_args(beds.HoldEvents))
EXPIRING_TYPE: Final = str(ConsentExpiring.__struct_config__.tag)
_EXPIRED_TYPE: Final = str(ReferralExpired.__struct_config__.tag)
_OF_A_HOLD: Final = ("hold_id", "unit_id", "beds", "organization", "holder", "expires_at", "reason")
_OF_A_CONSENT: Final = ("consent_id", "client_id", "to", "expires_at", "days_left")


class Written(msgspec.Struct, frozen=True):
    """A message that needs no release: its body can be kept. `is_stale`: a newer one of the same unit was said since.

    That one says all, and an endpoint that was open then is sent it.
    """

    type: str
    body: bytes
    is_stale: bool = False


class Notice(msgspec.Struct, frozen=True):
    """What there is to tell, and whom: the `organizations`; None is whoever asked for it by name.

    `id` is the same whenever the same is told again. Of a unit, a higher `version` takes the place of a lower one, and
    `test` says whether it is a test organization's. `inbox`: the organization in whose inbox it stands, too.
    """

    id: str
    written: Written
    organizations: tuple[str, ...] | None = None
    inbox: str | None = None
    unit_id: str | None = None
    version: int | None = None
    test: bool = False

    def is_for(self, organization: str, types: Sequence[str], *, test: bool) -> bool:
        """Tell whether an endpoint of an organization, a test or not, with this filter, is told."""
        concerned = test == self.test if self.organizations is None else organization in self.organizations
        return concerned and wanted(types, self.written.type)


_ENCODER: Final = msgspec.json.Encoder()
Event = beds.UnitAvailability | beds.HoldEvents | ConsentExpiring | ReferralUnanswered
TOPICS: Final[Mapping[str, Any]] = {
    "bed-availability": beds.UnitAvailability,
    "bed-holds": beds.HoldEvents,
    "consent-notices": ConsentExpiring,
    "referral-notices": ReferralUnanswered,
}
"""What each topic of notices has: who writes one of them may not say what another one's writer may."""
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    topic: msgspec.json.Decoder(kinds) for topic, kinds in TOPICS.items()
}


class UnreadableError(ValueError):
    """A record is in no canonical form, or no notice of its topic's."""


def wanted(types: Sequence[str], kind: str) -> bool:
    """Tell whether a filter lets this type of notice through."""
    return kind in types or (EVERYTHING in types and kind != AVAILABILITY_TYPE)


def notices(records: Sequence[Record]) -> list[Notice]:
    """Return what the records tell, of each unit only the newest; UnreadableError."""
    found: dict[str, Notice] = {}
    for record in records:
        notice = _notice(_event(record))
        about = notice.unit_id or notice.id
        if about not in found or (notice.version or 0) > (found[about].version or 0):
            found[about] = notice
    return list(found.values())


def _event(record: Record) -> Event:
    try:
        event: Event = canonical.decode(record.value or b"", _DECODERS[record.topic])
    except (canonical.NotCanonical, msgspec.MsgspecError) as error:
        raise UnreadableError from error
    return event


def _notice(event: Event) -> Notice:
    kind = str(event.__struct_config__.tag)
    if isinstance(event, ConsentExpiring):
        told = {name: getattr(event.data, name) for name in _OF_A_CONSENT}
        return _own(event.id, _written(kind, event.time, told), event.data.recorder)
    if isinstance(event, ReferralUnanswered):
        return _own(event.id, _expired(event), event.data.originator.organization)
    if isinstance(event, beds.UnitAvailability):
        unit = event.data
        written = _written(kind, event.time, unit)
        return Notice(event.id, written, unit_id=unit.unit_id, version=unit.version, test=unit.test)
    hold = event.data
    told = {name: value for name in _OF_A_HOLD if (value := getattr(hold, name)) is not None}
    if hold.bed_ids and not hold.discreet:
        told["bed_ids"] = hold.bed_ids
    parties = tuple(sorted({hold.organization, hold.holder}))
    return Notice(f"{hold.hold_id} {kind}", _written(kind, event.time, told), parties)


def _own(id_: str, written: Written, organization: str) -> Notice:
    """What tells an organization of what it made itself."""
    return Notice(id_, written, (organization,), inbox=organization)


def _expired(event: ReferralUnanswered) -> Written:
    """The status that its recipient is told by a decision, as far as it is known to be told to the originator."""
    own = event.data
    project: dict[str, Any] = {} if own.originator.project is None else {"publisher_project": own.originator.project}
    data = Identified(
        event_id=event.id,
        verdict="status",
        publisher=own.originator.organization,
        **project,
        purpose=own.purpose,
        referral_id=own.referral_id,
        referral_version=own.version,
        status="expired",
        shared={},
        obligations=[],
        notices=[],
    )
    return Written(_EXPIRED_TYPE, to_json(Message(type=_EXPIRED_TYPE, timestamp=event.time, data=data)))


def _written(kind: str, time: str, data: beds.Unit | dict[str, Any]) -> Written:
    return Written(kind, _ENCODER.encode({"type": kind, "timestamp": time, "data": data}))
