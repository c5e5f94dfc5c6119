"""The board on a whole stack: find, hold, refer, and what the shelter then has; the hold ends with the referral."""

import re
from typing import Any

import httpx
import pytest

from services.kit.auth import Scope
from tests.support.governance import Caller
from tests.support.providers import Provider, Providers
from tests.support.stack import StackProcess
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.asyncio(loop_scope="package")
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Visitor:
    """A browser without script, signed in for an organization."""

    def __init__(self, address: str) -> None:
        self.http = httpx.AsyncClient(base_url=address, trust_env=False, timeout=20, follow_redirects=True)

    async def sign_in(self, credential: dict[str, Any]) -> None:
        form = await self.http.get("/sign-in")
        check = re.search(r'name="check" value="([^"]+)"', form.text)
        assert check is not None
        fields = {name: credential[name] for name in ("client_id", "client_secret")} | {"check": check[1]}
        board = await self.http.post("/sign-in", data=fields)
        assert (board.status_code, board.url.path) == (200, "/board"), board.text

    async def send(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Fill in the form of a page and send it."""
        token = CSRF.search((await self.http.get(page)).text)
        assert token is not None
        return await self.http.post(action, data={"csrf": token[1]} | fields)

    async def until(self, page: str, said: str) -> None:
        """Wait until a page says something, white space aside."""

        async def is_said() -> bool:
            shown = re.sub(r"<[^>]*>", "", (await self.http.get(page)).text)
            return said in re.sub(r"\s+", " ", re.sub(r"\s*;", ";", shown))

        await wait_until_async(is_said, what=said)


async def test_find_hold_refer_and_what_the_shelter_has(running_stack: StackProcess, town: Providers) -> None:
    unit = await registered(town.shelter)
    visitor = Visitor(running_stack.services["shelter_beds"])
    await visitor.sign_in(credential(running_stack, town.outreach))
    await visitor.until("/board", "Stack House")
    hold = f"/board/units/{unit}/hold"
    held = await visitor.send(hold, hold, beds="1", minutes="30")
    page = held.url.path
    assert re.search(r'<p class="code">[A-Z]+-\d\d</p>', held.text), held.text
    client = await town.outreach.client()
    referred = await visitor.send(
        page, f"{page}/refer", client_id=client, first_name="Canary-Ruth", household_size="1", call_back="desk"
    )
    assert referred.url.path == page, referred.text
    await visitor.until(page, "has: need; not sent: identity")
    await town.outreach.grant(town.shelter, client, "identity")
    await visitor.until(page, "has: identity, need; delivered")
    [told] = await town.shelter.told("Canary-Ruth", "referral.updated")
    referral = told["data"]["referral_id"]
    await town.shelter.post("referrals", f"/referrals/{referral}/transitions", {"to": "accepted"})
    await visitor.until(page, "; accepted")
    await town.outreach.post("referrals", f"/referrals/{referral}/transitions", {"to": "cancelled"})
    await visitor.until(page, "The referral was cancelled.")
    await visitor.until("/board", "of 2 beds, 0 on hold")
    assert "Canary" not in running_stack.log("shelter_beds")


async def registered(shelter: Provider) -> str:
    """Register a unit with two beds."""
    said = {"name": "Stack House", "project": "beds", "household_type": "without_children", "beds": 2}
    return str((await shelter.post("shelter_beds", "/units", said))["id"])


def credential(stack: StackProcess, provider: Provider) -> dict[str, Any]:
    """Make a credential for the pages."""
    scopes = [scope.value for scope in Scope if scope is not Scope.ADMIN]
    made = Caller(stack, **stack.admin).post(
        f"/organizations/{provider.id}/credentials", {"name": "pages", "scopes": scopes}
    )
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found
