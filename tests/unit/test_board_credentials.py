"""Asking governance again whether a credential counts: who waits for it while it hangs, and for how long."""

import asyncio

import httpx
import pytest

from services.kit.auth import Principal, Scope, issue_access_token
from services.kit.clients import DelegatedClient, DependencyDown
from services.shelter_beds.board.credentials import AWAY_SECONDS, Credentials
from tests.support.callers import Community
from tests.support.waiting import wait_until_async

NOW = 1_800_000_000.0
COMMUNITY = Community()
PRINCIPAL = Principal("laptop", "street-outreach", frozenset({Scope.BEDS_READ}))


class Governance:
    """Answers nobody before it is let go; then with a token, or not at all."""

    def __init__(self, *, down: bool) -> None:
        self.asked = 0
        self.down = down
        self.let_go = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await self.let_go.wait()
        if self.down:
            raise httpx.ReadTimeout("hangs", request=request)
        issued = issue_access_token(PRINCIPAL, COMMUNITY.private_keys["governance"], NOW)
        return httpx.Response(200, json={"access_token": issued})


class Board:
    """Credentials of a board, with a clock to turn."""

    def __init__(self, *, down: bool) -> None:
        self.now = NOW
        self.governance = Governance(down=down)
        client = DelegatedClient(COMMUNITY.settings("shelter_beds"), "governance", transport=self.governance)
        self.credentials = Credentials(client, COMMUNITY.public_keys["governance"], lambda: self.now)

    async def confirm_at_once(self, requests: int) -> list[Principal | BaseException | None]:
        waiting = [asyncio.create_task(self.credentials.confirm("laptop", "a-secret")) for _ in range(requests)]
        await wait_until_async(lambda: self.governance.asked, what="governance to be asked")
        self.governance.let_go.set()
        return await asyncio.gather(*waiting, return_exceptions=True)


async def test_many_requests_of_one_credential_ask_once() -> None:
    board = Board(down=False)
    assert await board.confirm_at_once(5) == [PRINCIPAL] * 5
    assert board.governance.asked == 1
    await board.credentials.confirm("laptop", "a-secret")
    assert board.governance.asked == 2, "an answer counts for those who waited for it alone"


async def test_nobody_waits_at_once_again_for_a_governance_that_did_not_answer() -> None:
    board = Board(down=True)
    assert {type(found) for found in await board.confirm_at_once(5)} == {DependencyDown}
    for client_id in ("laptop", "another"):
        with pytest.raises(DependencyDown):
            await board.credentials.confirm(client_id, "a-secret")
    assert board.governance.asked == 1
    board.now += AWAY_SECONDS
    board.governance.down = False
    assert await board.credentials.confirm("laptop", "a-secret") == PRINCIPAL


async def test_whoever_signs_in_is_not_told_of_an_earlier_failure() -> None:
    board = Board(down=True)
    await board.confirm_at_once(1)
    board.governance.down = False
    assert await board.credentials.verify("laptop", "a-secret") == PRINCIPAL
