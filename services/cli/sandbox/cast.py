"""Who plays what in the sandbox, so that one of its organizations hears something: each with its own credential."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from services.cli.demo import people
from services.cli.demo.community import STAFF
from services.cli.demo.people import CATEGORIES, ROSA
from services.cli.hmis.client import Caller, Refused
from services.cli.sandbox.town import OUTREACH, SHELTER, YOU
from services.kit.waiting import until

ON_THE_LOG_WITHIN: Final = 15  # seconds
TOLD_WITHIN: Final = 15.0  # seconds
AT_ONCE: Final = timedelta(seconds=1)
ASKED_AGAIN: Final = timedelta(minutes=2, seconds=2)
"""The shortest time to answer of which three quarters are worth a word."""

NEAR_ITS_END: Final = timedelta(days=3, seconds=3)
"""How long a consent lasts whose recorder hears of its end in a moment."""


@dataclass(frozen=True)
class Cast:
    """`to` is who is to hear; `callers` are the organizations by id, `units` the shelter's by what they do."""

    to: str
    callers: dict[str, Caller]
    units: dict[str, str]

    @property
    def hearer(self) -> Caller:
        """Who is to hear."""
        return self.callers[self.to]

    @property
    def sender(self) -> Caller:
        """Who refers people to the hearer."""
        return self.callers[SHELTER if self.to == OUTREACH else OUTREACH]

    @property
    def partner(self) -> str:
        """Whom the hearer refers people to."""
        return OUTREACH if self.to == SHELTER else SHELTER

    @property
    def holder(self) -> Caller:
        """Who takes beds of the shelter's: of a hold its holder and its shelter hear."""
        return self.callers[YOU if self.to == SHELTER else self.to]

    @property
    def shelter(self) -> Caller:
        """Whose beds they are."""
        return self.callers[SHELTER]


async def met(by: Caller) -> str:
    """Register somebody new; return the client's id."""
    return str((await by.post("consent", "/clients", {})).body["client_id"])


async def refer(by: Caller, to: str, *, agreed: bool, within: timedelta | None = None) -> tuple[str, str]:
    """Refer somebody new, who agreed to something before or to nothing; return client and referral.

    `within`: how much time there is to answer.
    """
    client = await met(by)
    if agreed:
        await agree(by, to, client)
    return client, await refer_known(by, to, client, within)


async def refer_known(by: Caller, to: str, client: str, within: timedelta | None = None) -> str:
    """Refer a client; return the referral."""
    body = people.referral(client, ROSA, to, STAFF)
    if within is not None:
        body["respond_by"] = (datetime.now(UTC) + within).isoformat()
    return str((await by.post("referrals", "/referrals", body)).body["id"])


async def agree(by: Caller, to: str, client: str, lasting: timedelta = timedelta(days=30)) -> str:
    """Let a client agree, at the desk of `by`, to what `to` may know; return the consent."""
    body = people.permission(client, to, CATEGORIES[:2], "electronic", days=0)
    body["expires_at"] = (datetime.now(UTC) + lasting).isoformat()
    return str((await by.post("consent", "/consents", body, wait=ON_THE_LOG_WITHIN)).body["id"])


async def stop(by: Caller, client: str) -> None:
    """Let a client take back everything."""
    path = f"/clients/{client}/revocation"
    await by.post("consent", path, {"requested_by": "client"}, wait=ON_THE_LOG_WITHIN)


async def recorded_in_error(by: Caller, consent: str) -> None:
    """Say that a consent should never have been recorded."""
    await by.post("consent", f"/consents/{consent}/entered-in-error", {}, wait=ON_THE_LOG_WITHIN)


async def told(cast: Cast, referral: str) -> None:
    """Wait until the hearer's endpoints have the request, if it has any."""
    if not (await cast.hearer.get("webhooks", "/endpoints"))["items"]:
        return

    async def delivered() -> bool | None:
        view = await cast.sender.get("referrals", f"/referrals/{referral}")
        return view["crossing"][0]["delivered_at"] is not None or None

    await until(delivered, TOLD_WITHIN)


async def known(by: Caller, referral: str) -> None:
    """Wait until an organization knows of a referral."""

    async def found() -> bool | None:
        try:
            await by.get("referrals", f"/referrals/{referral}")
        except Refused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        return True

    await until(found, TOLD_WITHIN)


async def move(by: Caller, referral: str, *steps: str) -> None:
    """Move a referral step by step."""
    await known(by, referral)
    for step in steps:
        await by.post("referrals", f"/referrals/{referral}/transitions", {"to": step})


async def hold(by: Caller, unit: str, *, minutes: int = 30) -> dict[str, Any]:
    """Take a bed, or ask for one."""
    return (await by.post("shelter_beds", "/holds", {"unit_id": unit, "minutes": minutes})).body


async def let_go(by: Caller, held: dict[str, Any]) -> None:
    """Give a bed back."""
    await by.send("DELETE", "shelter_beds", f"/holds/{held['id']}", None)
