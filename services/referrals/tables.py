"""The referrals service's own tables. Of what is said about a client they hold sealed boxes, and nothing else."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from schemas.events import ConsentEnd as Reason
from schemas.events import DataCategory, Party, PurposeOfUse, ReferralStatus
from services.kit.database import new_metadata
from services.referrals.crossing import Trouble
from services.referrals.sight import Sight, State

METADATA = new_metadata()
WITH_ZONE = DateTime(timezone=True)


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """Base of the referrals service's tables."""


class Referral(Table, table=True):
    """A referral; the row under whose lock its events are put into the outbox, so that they have one order.

    Originator, purpose and recipient never change. `version` counts its events and is shown to its originator alone;
    `status_version` is the head of household's version at which the status last changed. `external_id` is the
    originator's own and goes nowhere. `nudge_at`: when the recipient is to be asked again, `nudged_at`: when it was.
    """

    __tablename__ = "referrals"

    id: str = Field(primary_key=True, sa_type=Text)
    originator: str = Field(sa_type=Text)
    originator_project: str | None = Field(sa_type=Text)
    recipient: str = Field(sa_type=Text)
    recipient_project: str | None = Field(sa_type=Text)
    reference: str = Field(sa_type=Text)
    purpose: PurposeOfUse = Field(sa_type=Text)
    call_back: str = Field(sa_type=Text)
    external_id: str | None = Field(sa_type=Text)
    respond_by: datetime | None = Field(sa_type=WITH_ZONE)
    occurred_at: datetime | None = Field(sa_type=WITH_ZONE)
    historical: bool
    status: ReferralStatus = Field(sa_type=Text)
    version: int
    status_version: int
    created_at: datetime = Field(sa_type=WITH_ZONE)
    nudge_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    nudged_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)

    @property
    def originating_party(self) -> Party:
        """The originator, with the project that acts."""
        return Party(organization=self.originator, project=self.originator_project)

    @property
    def receiving_party(self) -> Party:
        """The recipient, with the project addressed."""
        return Party(organization=self.recipient, project=self.recipient_project)


class Member(Table, table=True):
    """A client of a referral's household; `sealed` is the canonical JSON of the envelopes in force.

    `version` counts the events about this client, which name it: a count of the whole household's would show that two
    clients belong together. `next_seq` numbers the next envelope. `followed_order` is the highest order of a grant
    after which the envelopes were published again: a late copy of a grant changes nothing.
    """

    __tablename__ = "members"

    referral_id: str = Field(primary_key=True, sa_type=Text, foreign_key="referrals.id")
    client_id: str = Field(primary_key=True, sa_type=Text)
    head: bool
    version: int = 1
    sealed: bytes = Field(sa_type=LargeBinary)
    next_seq: int
    followed_order: int = Field(default=0, sa_type=BigInteger)


class UsedClient(Table, table=True):
    """A client id that a victim service provider has used: its next referral needs a fresh one."""

    __tablename__ = "used_clients"

    organization: str = Field(primary_key=True, sa_type=Text)
    client_id: str = Field(primary_key=True, sa_type=Text)


class View(Table, table=True):
    """What an organization may see of a referral; `name` is what its rows are found and sorted by, and never changes.

    The originator's has the referral's id. A recipient has one for the head of household, named by the `reference`,
    whose decisions alone tell the lifecycle; and one named by the id for the other members it was told of, the first of
    whom speaks for all. `client_id` is whose decisions say what is seen; None for the originator. The two of one
    recipient are kept apart, so that nobody can tell that they are of one household, until a permit of the head has
    `reached` it: then it has the id for the head too, and that row alone remains.

    `permitted`: the boundary decided a permit, so the recipient may have got the referral's id. `reached`: it has.
    `status_at`: when the status shown was made, in the originator's row alone; see `bodies.ReferralView`.
    """

    __tablename__ = "views"

    organization: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(primary_key=True, sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    client_id: str | None = Field(sa_type=Text)
    permitted: bool
    reached: bool
    word: str = Field(sa_type=Text)
    version: int
    state: State = Field(sa_type=Text)
    status_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)

    @property
    def is_originators(self) -> bool:
        """Whether its organization made the referral."""
        return self.client_id is None

    @property
    def is_heads(self) -> bool:
        """Whether a recipient sees by it what it was told of the head of household."""
        return self.name != self.referral_id

    @property
    def is_members(self) -> bool:
        """Whether a recipient sees by it what it was told of another member."""
        return not self.is_heads and not self.is_originators

    @property
    def listed_name(self) -> str:
        """By which name a list shows it: no id that has not reached its organization yet."""
        return self.referral_id if self.reached else self.name

    @property
    def sight(self) -> Sight:
        """What the row says, for the pure rules."""
        return Sight(self.word, self.version, self.state, self.status_at)

    def see(self, sight: Sight) -> None:
        """Make the row say this."""
        self.word, self.version, self.state, self.status_at = sight.word, sight.version, sight.state, sight.status_at


class Step(Table, table=True):
    """A status after `requested` that the originator made, or was told of; `version` is the event's."""

    __tablename__ = "steps"

    referral_id: str = Field(primary_key=True, sa_type=Text, foreign_key="referrals.id")
    version: int = Field(primary_key=True)
    status: str = Field(sa_type=Text)
    at: datetime = Field(sa_type=WITH_ZONE)
    by: str = Field(sa_type=Text)


class Decision(Table, table=True):
    """What was decided on one event with boxes for one recipient, and what became of it.

    The key is the decision's id. The row is made when the event is read on the log, so that a denial, which names no
    referral, finds the one that it is about. `head`: it is about the head of household. `reached`: a permit of it has
    arrived, whatever came after. `consents`: ids of those on which it rests, and on which it may have left.
    `trouble`: how the last attempt that did not arrive ended.
    """

    __tablename__ = "decisions"

    partition: int = Field(primary_key=True)
    source_offset: int = Field(primary_key=True, sa_type=BigInteger)
    organization: str = Field(primary_key=True, sa_type=Text)
    referral_id: str = Field(sa_type=Text)
    client_id: str = Field(sa_type=Text)
    head: bool
    verdict: str | None = Field(default=None, sa_type=Text)
    categories: list[DataCategory] = Field(default_factory=list, sa_type=JSONB)
    withheld: dict[DataCategory, str] = Field(default_factory=dict, sa_type=JSONB)
    released_verdict: str | None = Field(default=None, sa_type=Text)
    released_categories: list[DataCategory] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    delivered_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    reached: bool = False
    stopped: str | None = Field(default=None, sa_type=Text)
    decided_at: datetime | None = Field(default=None, sa_type=WITH_ZONE)
    trouble: Trouble | None = Field(default=None, sa_type=Text)
    consents: list[str] = Field(default_factory=list, sa_type=JSONB)


class ConsentEnd(Table, table=True):
    """That a version of a consent ended, as a record on the log says; `told`: it was said of the referrals concerned.

    Without a `reason`: that it was renewed, in this version, which an end from before by `order` must not contradict.
    `applied`: the boundary took the record as what it says; of several that say the same of a version, or of
    ended.EVERY_VERSION, the first applied counts. `version` is null of what expired before versions were noted.
    """

    __tablename__ = "consents_ended"

    partition: int = Field(primary_key=True)
    source_offset: int = Field(primary_key=True, sa_type=BigInteger)
    consent_id: str = Field(sa_type=Text)
    version: int | None = Field(sa_type=BigInteger)
    order: int = Field(sa_type=BigInteger)
    client_id: str = Field(sa_type=Text)
    reason: Reason | None = Field(sa_type=Text)
    applied: bool
    told: bool
