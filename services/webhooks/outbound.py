"""Sends one signed request to one endpoint: guarded, bounded in time, without redirects, and never past its lease."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload
from yarl import URL

from services.webhooks.guard import AddressNotAllowedError, GuardedResolver, Lookup, check_literal
from services.webhooks.lease import Lease, LeasePassedError
from services.webhooks.model import ATTEMPT_SECONDS, Answered, Broken, NotSent

USER_AGENT: Final = "Threshold-Webhooks/1"
CONNECT_SECONDS: Final = 5.0
KEEP_ALIVE_SECONDS: Final = 2.0
"""Shorter than common servers' (5 s): a connection they have just closed would cost an attempt."""


class Departure:
    """The moment in which the first byte of a request goes out.

    `left` is called right after that moment, once. With a lease that has passed nothing goes out.
    """

    def __init__(self, lease: Lease | None = None, left: Callable[[], None] | None = None) -> None:
        self.lease = lease
        self.has_left = False
        self.is_late = False
        self._left = left

    def check(self) -> None:
        """Raise LeasePassedError if it is too late."""
        try:
            if self.lease is not None:
                self.lease.check()
        except LeasePassedError:
            self.is_late = True
            raise

    def note(self) -> None:
        """Note that the first byte is out."""
        self.has_left = True
        if self._left is not None:
            self._left()


class LeasedPayload(BytesPayload):
    """A body that checks its lease in the last moment: aiohttp writes the headers with the body's first bytes."""

    def __init__(self, body: bytes, departure: Departure) -> None:
        super().__init__(body, content_type="application/json")
        self._departure = departure

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Check, then write; LeasePassedError instead of a first byte."""
        self._departure.check()
        self._departure.has_left = True
        # The write below hands the first bytes to the system before it can be suspended, so this runs after them.
        asyncio.get_running_loop().call_soon(self._departure.note)
        await super().write_with_length(writer, content_length)


class Outbound:
    """A pool of connections to endpoints. `lookup` resolves names; see `opened`."""

    def __init__(self, session: aiohttp.ClientSession, *, allow_loopback: bool) -> None:
        self._session = session
        self._allow_loopback = allow_loopback

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, departure: Departure
    ) -> Answered | Broken | NotSent:
        """Send one request and return what came of it; of the answer only status and Retry-After are read."""
        try:
            return await self._post(URL(url), headers, LeasedPayload(body, departure), departure)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a URL that aiohttp refuses
            if departure.is_late:
                return NotSent("lease-passed", released=True)
            return Broken(error_kind(error), left=departure.has_left)

    async def _post(self, url: URL, headers: Mapping[str, str], body: LeasedPayload, departure: Departure) -> Answered:
        check_literal(url.host or "", allow_loopback=self._allow_loopback)
        connect = CONNECT_SECONDS if departure.lease is None else max(departure.lease.remaining(), 0.001)
        request = self._session.post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS, connect=connect, ceil_threshold=60),
        )
        async with request as answer:
            return Answered(answer.status, retry_after(answer.headers.get("Retry-After"), time.time()))


@asynccontextmanager
async def opened(lookup: Lookup, *, allow_loopback: bool) -> AsyncIterator[Outbound]:
    """Give an Outbound whose connections are closed at the end of the block.

    How many requests are on their way is up to the caller: no limit here lets one endpoint wait for another.
    """
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(lookup, allow_loopback=allow_loopback),
        use_dns_cache=False,  # an address is checked for the connection that uses it
        limit=0,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
        auto_decompress=False,
    )
    async with session:
        yield Outbound(session, allow_loopback=allow_loopback)


def error_kind(error: BaseException) -> str:
    """Name why no answer came: one of a few words that hold nothing of the request or the answer."""
    chain = list(_causes(error))
    for kinds, name in _NAMES:
        if any(isinstance(each, kinds) for each in chain):
            return name
    return "connection-failed"


def retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (seconds or an HTTP date) as seconds from `now`; None for none, and for nonsense."""
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


_NAMES: Final[tuple[tuple[Any, str], ...]] = (
    (AddressNotAllowedError, "address-not-allowed"),
    (aiohttp.ConnectionTimeoutError, "connect-timeout"),
    (TimeoutError, "timeout"),
    ((ssl.SSLError, ssl.CertificateError), "tls-failed"),
    (aiohttp.ClientConnectorDNSError, "name-not-resolved"),
    (ConnectionRefusedError, "connection-refused"),
    ((aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError), "disconnected"),
    (aiohttp.ClientResponseError, "not-http"),
    (aiohttp.InvalidURL, "address-not-allowed"),
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        error = error.__cause__ or error.__context__
