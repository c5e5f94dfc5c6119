"""The demo's own eyes: what its receiver takes for signed and when a request began, and that ✗ is never lost."""

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta

import aiohttp
from rich.console import Console
from standardwebhooks import Webhook

from services.cli.demo.receiver import FRESH, is_signed, listening
from services.cli.demo.telling import NotAsTold, Telling
from tests.support.waiting import wait_until_async

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"referral.requested"}'


def headers(secret: str = SECRET, age: timedelta = timedelta(), body: bytes = BODY) -> dict[str, str]:
    """What a sender sends, signed by an independent implementation."""
    at = datetime.now(UTC) - age
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_a_signature_verifies_only_as_it_was_made() -> None:
    assert is_signed(SECRET, headers(), BODY)
    assert is_signed(SECRET, headers() | {"webhook-signature": "v1,bm8= " + headers()["webhook-signature"]}, BODY)
    assert not is_signed(SECRET, headers(), BODY + b" ")
    assert not is_signed(SECRET, headers() | {"webhook-id": "msg_2"}, BODY)
    assert not is_signed(SECRET, headers("whsec_" + "A" * 32), BODY)
    assert not is_signed(SECRET, headers(age=timedelta(seconds=FRESH + 5)), BODY)
    assert not is_signed(SECRET, {}, BODY)


async def test_a_request_began_with_its_first_byte() -> None:
    async with listening("shelter") as receiver:
        system = receiver.systems["shelter"]
        system.secret = SECRET
        port = int(receiver.url("").split(":")[2].rstrip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in (BODY, BODY):
            lines = [f"{name}: {value}" for name, value in headers().items()]
            start = "\r\n".join(["POST /shelter HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines])
            writer.write(start.encode())
            await writer.drain()
            rest_sent = await _later_than(time.time() + 0.05)
            writer.write(b"\r\n\r\n" + body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            assert system.arrivals[-1].first_byte_at < rest_sent
            assert system.arrivals[-1].signed
        writer.close()
        assert system.arrivals[0].first_byte_at < system.arrivals[1].first_byte_at
        assert (await system.arrival("a message")).body == BODY
        assert system.unread.empty(), "the same message sent twice is looked at once"


async def test_a_failing_system_answers_503_and_a_slow_one_not_at_all() -> None:
    async with listening("shelter") as receiver:
        system = receiver.systems["shelter"]
        system.failing = True
        arrivals = [asyncio.create_task(_sent(receiver.url("shelter"))) for _ in range(2)]
        assert await asyncio.gather(*arrivals) == [503, 503]
        system.answering.clear()
        waiting = asyncio.create_task(_sent(receiver.url("shelter")))
        await wait_until_async(lambda: system.unanswered, what="a request that waits")
        assert not waiting.done()
        system.failing = False
        system.answering.set()
        assert await waiting == 204


def test_every_comparison_counts_and_none_that_failed_is_lost() -> None:
    printed = io.StringIO()
    telling = Telling(Console(file=printed, width=100))
    telling.step(3, "A step", "all is well")
    telling.check("The same", {"b", "a"}, {"a", "b"})
    telling.check_at_least("Enough", 2, 1)
    assert telling.failures == []
    telling.check("Another", "got this", "wanted that")
    telling.check_at_least("Too few", 0, 1)
    telling.broke_off(NotAsTold("nothing came"))
    telling.ends()
    assert telling.failures == [
        "In 3  A step: Another: expected wanted that, got got this",
        "In 3  A step: Too few: expected at least 1, got 0",
        "In 3  A step: nothing came",
    ]
    output = printed.getvalue()
    assert "✓  The same: a, b" in output
    assert "✗  Another: expected wanted that, got got this" in output
    assert "3 of 5 comparisons did NOT come out as told" in output


async def _later_than(moment: float) -> float:
    await wait_until_async(lambda: time.time() > moment, what="time to pass")
    return time.time()


async def _sent(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=BODY) as answer:
        return answer.status
