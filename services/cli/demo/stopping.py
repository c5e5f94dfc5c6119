"""The day's afternoon: Rosa says stop while messages about her are on the wire and waiting, and what is shown after."""

import asyncio
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from services.cli.demo.day import LOOK_EVERY, Day, check_deidentified, refer_again
from services.cli.demo.people import ROSA, words
from services.cli.demo.receiver import Arrival
from services.cli.demo.telling import NotAsTold

FAILING_UPDATES = 3
UPDATES_ON_THE_WIRE = 2
EFFECTIVE_WITHIN = 20  # seconds
QUIET_WITHIN = 30.0  # seconds: the retries of what was waiting come 5 seconds after the failure


async def stop(day: Day) -> None:
    """(5) Nothing in the revoked scope starts after the receipt's effective_at."""
    day.telling.step(
        5,
        "Rosa says stop at the shelter's desk, with messages about her under way",
        "no request about her begins after the stop takes effect",
    )
    await _get_under_way(day)
    waiting = await _deliveries(day, "pending")
    day.telling.check_at_least("Requests on the wire, not answered yet", day.shelter.unanswered, 1)
    day.telling.check_at_least("Messages answered 503 and waiting to be sent again", len(waiting), 1)
    receipt = await _revoke(day)
    day.shelter.answering.set()
    seconds = await _quiet(day)
    day.shelter.failing = False
    day.telling.saw(f"{seconds:.1f} s later nothing is waiting or being sent to the shelter any more.")
    await _check_nothing_started(day, receipt, waiting)


async def _get_under_way(day: Day) -> None:
    """Leave messages about Rosa waiting, for the shelter's system fails, and on the wire, for it does not answer."""
    day.shelter.failing = True
    await _update(day, FAILING_UPDATES)
    for _ in range(FAILING_UPDATES):
        await day.shelter.arrival("an update while the shelter's system fails")
    day.shelter.answering.clear()
    await _update(day, UPDATES_ON_THE_WIRE)
    await day.shelter.arrival("an update while the shelter's system is slow")
    sent = FAILING_UPDATES + UPDATES_ON_THE_WIRE
    day.telling.saw(f"Outreach sends {sent} updates while the shelter's system is failing, then slow.")


async def carry_on(day: Day) -> None:
    """(6) The next referral is de-identified again; of the old one the shelter hears only that it is closed."""
    day.telling.step(
        6,
        "Outreach refers Rosa again, and takes the old referral back",
        "the new one is de-identified again; of the old one the shelter hears only that it is closed",
    )
    referral, arrival = await refer_again(day)
    known = [day.rosa, referral, day.referral, day.reference, *words(ROSA)]
    check_deidentified(day, arrival, known)
    began = time.time()
    path = f"/referrals/{day.referral}"
    answer = await day.town.outreach.post("referrals", f"{path}/transitions", {"to": "cancelled"}, status=HTTPStatus.OK)
    day.telling.saw(f"Outreach takes the old referral back; for outreach it is {answer['status']}.")
    closed = await day.next_at(day.shelter, "The shelter's system gets a message", "referral.closed", began)
    said = {name: closed.data.get(name) for name in ("status", "shared", "client_id")}
    day.telling.check("It says closed and no more", said == {"status": "closed", "shared": {}, "client_id": None})
    shown = await day.town.shelter.get("referrals", path)
    day.telling.check("The shelter's GET of it shows", shown, {"id": day.referral, "status": "closed"})


async def _update(day: Day, times: int) -> None:
    body = {"client_id": day.rosa, "segments": {"household": ROSA["household"]}}
    for _ in range(times):
        path = f"/referrals/{day.referral}/segments"
        await day.town.outreach.post("referrals", path, body, status=HTTPStatus.OK)


async def _deliveries(day: Day, *states: str) -> list[str]:
    path = f"/endpoints/{day.town.shelter_endpoint}/deliveries"
    page = await day.town.shelter.get("webhooks", path, limit=100)
    return [one["id"] for one in page["items"] if one["state"] in states]


async def _revoke(day: Day) -> dict[str, Any]:
    path, telling = f"/clients/{day.rosa}/revocation", day.telling
    receipt = await day.town.shelter.post(
        "consent", path, {"requested_by": "client"}, status=HTTPStatus.OK, wait=EFFECTIVE_WITHIN
    )
    telling.saw(f"The shelter's worker enters Rosa's stop; the receipt says {receipt['state']}:")
    recorded, accepted, effective = (_at(receipt, name) for name in ("recorded_at", "accepted_at", "effective_at"))
    telling.showed(
        [
            ("recorded", _clock(recorded)),
            ("accepted", f"{_clock(accepted)}  {(accepted - recorded) * 1000:+.0f} ms, on the log"),
            ("effective", f"{_clock(effective)}  {(effective - recorded) * 1000:+.0f} ms, all sent before is settled"),
        ]
    )
    telling.check("Sent before, and in doubt whether it had begun", receipt["in_doubt"], 0)
    return receipt


async def _quiet(day: Day) -> float:
    """Wait until nothing is under way to the shelter, every retry was due and decided; return how many seconds."""
    began = time.monotonic()
    while await _deliveries(day, "pending", "sending"):
        if time.monotonic() > began + QUIET_WITHIN:
            raise NotAsTold(f"deliveries were still under way {QUIET_WITHIN:g} s after the stop")
        await asyncio.sleep(LOOK_EVERY)
    return time.monotonic() - began


async def _check_nothing_started(day: Day, receipt: dict[str, Any], waiting: list[str]) -> None:
    effective = _at(receipt, "effective_at")
    began = [each.first_byte_at for each in day.shelter.arrivals if _is_about(day, each)]
    late = sum(each > effective for each in began)
    day.telling.check("Requests with her client id or a box of hers that began after that", late, 0)
    day.telling.saw(f"The last of {len(began)} such requests began {(effective - max(began)) * 1000:.0f} ms before it.")
    later = await day.town.shelter.get("consent", f"/clients/{day.rosa}/revocation")
    day.telling.check_at_least("Messages withheld since, says the receipt", later["withheld"], len(waiting))
    given_up = await _deliveries(day, "given_up")
    day.telling.check(
        "Messages that waited to be sent again and were given up instead",
        len(set(waiting) & set(given_up)),
        len(waiting),
    )


def _is_about(day: Day, arrival: Arrival) -> bool:
    data = arrival.data
    return data.get("client_id") == day.rosa or (
        data.get("referral_id") == day.referral and bool(set(data["shared"]) - {"need"})
    )


def _at(receipt: dict[str, Any], name: str) -> float:
    if receipt[name] is None:
        raise NotAsTold(f"the receipt has no {name}: it is only {receipt['state']}")
    return datetime.fromisoformat(receipt[name]).timestamp()


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(sep=" ", timespec="milliseconds").partition("+")[0]
