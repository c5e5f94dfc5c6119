"""Writes the rows of decisions as the log is read: where an event stands, what was decided on it, what became of that.

Every event passes here, so these statements are written by hand and go to psycopg directly: one for all that a run of
records says. They lock rows in one order, so that no two readers wait for each other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, LiteralString, NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.events import DataCategory
from services.kit.database import driver
from services.referrals.crossing import Trouble

_ENCODER: Final = msgspec.json.Encoder()

_PLACE: Final = (
    "INSERT INTO decisions (partition, source_offset, organization, referral_id, client_id, head, categories, withheld,"
    " reached) SELECT partition, source_offset, organization, referral_id, client_id, head, '[]', '{}', false"
    " FROM jsonb_to_recordset(CAST(%(said)s AS jsonb)) AS said(partition int, source_offset bigint, organization text,"
    "  referral_id text, client_id text, head boolean)"
    " ON CONFLICT DO NOTHING"
)
_DECIDE: Final = (
    "WITH said AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(CAST(%(said)s AS jsonb)) AS said(partition int,"
    "  source_offset bigint, organization text, verdict text, categories jsonb, withheld jsonb,"
    "  consents jsonb, decided_at timestamptz)),"
    " locked AS MATERIALIZED (SELECT partition, source_offset, organization"
    "  FROM decisions AS d JOIN said USING (partition, source_offset, organization)"
    "  ORDER BY partition, source_offset, organization FOR UPDATE OF d)"
    " UPDATE decisions AS d SET verdict = one.verdict, categories = one.categories, withheld = one.withheld,"
    "  consents = d.consents || one.consents, decided_at = one.decided_at"
    " FROM (said JOIN locked USING (partition, source_offset, organization)) AS one"
    " WHERE (d.partition, d.source_offset, d.organization) = (one.partition, one.source_offset, one.organization)"
    " RETURNING d.partition, d.source_offset, d.organization, referral_id, client_id, head, reached"
)
# Several endpoints may get one decision, each as it was permitted at its moment: the first delivery counts.
_DELIVER: Final = (
    "WITH said AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(CAST(%(said)s AS jsonb)) AS said(partition int,"
    "  source_offset bigint, organization text, verdict text, categories jsonb, delivered_at timestamptz,"
    "  reached boolean, stopped text, consents jsonb, trouble text)),"
    " locked AS MATERIALIZED (SELECT partition, source_offset, organization, d.reached AS reached_before"
    "  FROM decisions AS d JOIN said USING (partition, source_offset, organization)"
    "  ORDER BY partition, source_offset, organization FOR UPDATE OF d)"
    " UPDATE decisions AS d SET stopped = coalesce(one.stopped, d.stopped),"
    "  trouble = coalesce(one.trouble, d.trouble),"
    "  released_verdict = coalesce(d.released_verdict, one.verdict),"
    "  released_categories = coalesce(d.released_categories, one.categories),"
    "  delivered_at = coalesce(d.delivered_at, one.delivered_at), reached = d.reached OR one.reached,"
    "  consents = CASE WHEN d.consents @> one.consents THEN d.consents ELSE d.consents || one.consents END"
    " FROM (said JOIN locked USING (partition, source_offset, organization)) AS one"
    " WHERE (d.partition, d.source_offset, d.organization) = (one.partition, one.source_offset, one.organization)"
    " RETURNING d.partition, d.source_offset, d.organization, referral_id, client_id, head,"
    "  one.reached AND NOT one.reached_before AS reached"
)


class DecisionId(NamedTuple):
    """A decision's id: the place of its event, and the organization told."""

    partition: int
    source_offset: int
    organization: str


class Noted(NamedTuple):
    """What a decision is about; `reached`: a permit has reached the recipient, or does so for the first time."""

    partition: int
    source_offset: int
    organization: str
    referral_id: str
    client_id: str
    head: bool
    reached: bool

    @property
    def decision_id(self) -> DecisionId:
        """Which decision it is."""
        return DecisionId(*self[:3])


class Place(msgspec.Struct, frozen=True):
    """An event with boxes, for one recipient; `head`: it is about the head of household."""

    partition: int
    source_offset: int
    organization: str
    referral_id: str
    client_id: str
    head: bool


class Outcome(msgspec.Struct, frozen=True):
    """What the boundary decided, and when by the log's time."""

    verdict: str
    categories: Sequence[DataCategory]
    withheld: Mapping[DataCategory, str]
    consents: Sequence[str]
    decided_at: datetime


class Arrival(msgspec.Struct):
    """What a run of deliveries says of one decision: the first that crossed, whether a permit arrived, or why not.

    `consents`: the ids of those on which a permit rested that may have left. `trouble`: how the last attempt
    that did not arrive ended.
    """

    verdict: str | None = None
    categories: Sequence[DataCategory] | None = None
    delivered_at: str | None = None
    reached: bool = False
    stopped: str | None = None
    consents: Sequence[str] = ()
    trouble: Trouble | None = None


async def place(session: AsyncSession, places: Sequence[Place]) -> None:
    """Make the rows of decisions to come; a late copy of an event changes nothing."""
    if places:
        await (await driver(session)).execute(_PLACE, {"said": _ENCODER.encode(places).decode()})


async def decide(session: AsyncSession, said: Mapping[DecisionId, Outcome]) -> dict[DecisionId, Noted]:
    """Note what was decided; return what each decision is about of which the event was read."""
    return await _note(session, _DECIDE, said)


async def deliver(session: AsyncSession, said: Mapping[DecisionId, Arrival]) -> dict[DecisionId, Noted]:
    """Note what was delivered or held back, as `decide` does; `reached` of those that a permit reached by this."""
    return await _note(session, _DELIVER, said)


async def _note(
    session: AsyncSession, statement: LiteralString, said: Mapping[DecisionId, Outcome] | Mapping[DecisionId, Arrival]
) -> dict[DecisionId, Noted]:
    if not said:
        return {}
    rows = [{**decision_id._asdict(), **msgspec.structs.asdict(each)} for decision_id, each in said.items()]
    found = await (await driver(session)).execute(statement, {"said": _ENCODER.encode(rows).decode()})
    noted = [Noted(*row) for row in await found.fetchall()]
    return {each.decision_id: each for each in noted}
