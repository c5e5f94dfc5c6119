"""One request on a real socket: not past its lease, not to the inside, not anywhere else than asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from services.webhooks import outbound
from services.webhooks.lease import Lease
from services.webhooks.model import Answered, Broken, NotSent
from services.webhooks.outbound import Departure, Outbound, opened, retry_after
from tests.support.waiting import wait_until_async

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BODY: Final = b'{"canary":"Rosalind"}'


@dataclass
class Wire:
    """A receiver at the level of bytes: what came in, connection by connection."""

    port: int = 0
    answer: bytes = OK
    heard: list[bytearray] = field(default_factory=list)
    finish: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        while chunk := await reader.read(65_536):
            heard += chunk
            if heard.endswith(BODY):
                writer.write(self.answer)
                await writer.drain()
                if self.finish:
                    break
        writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    found = Wire()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


async def no_names(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host}:{port} was looked up")


@asynccontextmanager
async def sender(
    lookup: Callable[[str, int], Awaitable[Sequence[str]]] = no_names, *, allow_loopback: bool = True
) -> AsyncIterator[Outbound]:
    async with opened(lookup, allow_loopback=allow_loopback) as found:
        yield found


async def post(url: str, departure: Departure | None = None) -> Answered | Broken | NotSent:
    async with sender() as out:
        return await out.post(url, {"webhook-id": "msg_1"}, BODY, departure or Departure())


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leased(clock: Clock, seconds: float = 3.0) -> Lease:
    lease = Lease(clock)
    lease.lasts(seconds)
    return lease


async def test_a_request_arrives_whole(wire: Wire) -> None:
    left: list[int] = []
    departure = Departure(leased(Clock()), lambda: left.append(len(wire.heard)))
    assert await post(wire.url, departure) == Answered(200)
    request = bytes(wire.heard[0])
    assert request.startswith(b"POST /hook HTTP/1.1\r\n")
    for header in (b"webhook-id: msg_1", b"Content-Type: application/json", b"User-Agent: Threshold-Webhooks/1"):
        assert header in request
    assert request.endswith(b"\r\n\r\n" + BODY)
    assert len(left) == 1


async def test_a_lease_that_passed_while_connecting_lets_no_byte_out(wire: Wire) -> None:
    clock = Clock()

    async def slowly(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("receiver.test", wire.port)
        clock.now += 2.0  # the lease of 3 s, less the margin
        return ["127.0.0.1"]

    left: list[bool] = []
    departure = Departure(leased(clock), lambda: left.append(True))
    async with sender(slowly) as out:
        outcome = await out.post(f"http://receiver.test:{wire.port}/hook", {}, BODY, departure)
    assert outcome == NotSent("lease-passed", released=True)
    assert [bytes(each) for each in wire.heard] == [b""]
    assert (left, departure.has_left) == ([], False)


async def test_the_margin_is_kept() -> None:
    clock = Clock()
    lease = leased(clock)
    clock.now += 1.99
    lease.check()
    assert lease.remaining() == pytest.approx(0.01)


async def test_the_first_byte_is_out_when_it_is_noted(wire: Wire) -> None:
    heard: list[bytes] = []
    noted = asyncio.Event()
    wire.answer = b""
    wire.finish = False
    async with sender() as out:
        sent = asyncio.create_task(out.post(wire.url, {}, BODY, Departure(left=noted.set)))
        await noted.wait()  # the answer never comes: noting does not wait for it
        await wait_until_async(lambda: wire.heard and wire.heard[0], what="the first bytes")
        heard.append(bytes(wire.heard[0]))
        sent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sent
    assert heard[0].startswith(b"POST /hook")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(wire: Wire, status: int) -> None:
    wire.answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {wire.url}2\r\nContent-Length: 0\r\n\r\n".encode()
    assert await post(wire.url) == Answered(status)
    assert len(wire.heard) == 1


async def test_a_literal_inside_address_is_not_connected_to(wire: Wire) -> None:
    async with sender(allow_loopback=False) as out:
        outcome = await out.post(wire.url, {}, BODY, Departure())
    assert (outcome, wire.heard) == (Broken("address-not-allowed"), [])


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1"])
async def test_another_spelling_is_not_either(wire: Wire, host: str) -> None:
    async def as_the_system_would(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with sender(as_the_system_would, allow_loopback=False) as out:
        outcome = await out.post(f"http://{host}:{wire.port}/hook", {}, BODY, Departure())
    assert (outcome, wire.heard) == (Broken("address-not-allowed"), [])


async def test_a_name_that_changes_its_mind_is_judged_for_each_connection(wire: Wire) -> None:
    answers = iter([["192.0.2.1"], ["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]])

    async def rebinding(_: str, __: int) -> Sequence[str]:
        return next(answers)

    async with sender(rebinding, allow_loopback=False) as out:
        for _ in range(3):
            assert await out.post(f"http://receiver.test:{wire.port}/", {}, BODY, Departure()) == Broken(
                "address-not-allowed"
            )
    assert wire.heard == []


async def test_the_connection_goes_to_the_address_that_was_judged(wire: Wire) -> None:
    asked: list[str] = []

    async def once(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with sender(once) as out:
        assert await out.post(f"http://receiver.test:{wire.port}/", {}, BODY, Departure()) == Answered(200)
    assert asked == ["receiver.test"]
    assert b"Host: receiver.test" in wire.heard[0]


async def test_proxies_of_the_environment_are_ignored(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await post(wire.url) == Answered(200)


async def test_an_answer_without_end_is_not_read(wire: Wire) -> None:
    wire.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    wire.finish = False
    async with asyncio.timeout(5):
        assert await post(wire.url) == Answered(200)


async def test_a_receiver_that_does_not_answer(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "ATTEMPT_SECONDS", 0.3)
    wire.answer = b""
    wire.finish = False
    assert await post(wire.url) == Broken("timeout", left=True)


async def test_a_receiver_that_is_not_there(wire: Wire) -> None:
    nobody = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = nobody.sockets[0].getsockname()[1]
    nobody.close()
    await nobody.wait_closed()
    assert await post(f"http://127.0.0.1:{port}/") == Broken("connection-refused")


@pytest.mark.parametrize(
    ("answer", "error"), [(b"", "disconnected"), (b"SSH-2.0-OpenSSH\r\n", "not-http"), (b"HTTP/1.1 2", "disconnected")]
)
async def test_a_receiver_that_answers_nonsense(wire: Wire, answer: bytes, error: str) -> None:
    wire.answer = answer
    assert await post(wire.url) == Broken(error, left=True)


async def test_a_receiver_without_tls() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await post(f"https://127.0.0.1:{port}/") == Broken("tls-failed")


async def test_a_name_that_does_not_resolve() -> None:
    async def nothing(_: str, __: int) -> Sequence[str]:
        raise OSError("no such name")

    async with sender(nothing) as out:
        assert await out.post("https://nobody.test/", {}, BODY, Departure()) == Broken("name-not-resolved")


async def test_connecting_may_not_take_longer_than_the_lease() -> None:
    hanging = asyncio.Event()

    async def hang(_: str, __: int) -> Sequence[str]:
        await hanging.wait()
        return []

    lease = Lease()
    lease.lasts(1.2)
    async with sender(hang) as out, asyncio.timeout(5):
        outcome = await out.post("https://receiver.test/", {}, BODY, Departure(lease))
    assert outcome == Broken("connect-timeout")


async def test_no_cookie_is_kept(wire: Wire) -> None:
    wire.answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")
    async with sender() as out:
        for _ in range(2):
            await out.post(wire.url, {}, BODY, Departure())
    assert all(b"Cookie" not in each for each in wire.heard)


NOW: Final = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        ("-1", None),
        ("soon", None),
        ("1" * 30, None),
        ("٣", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
