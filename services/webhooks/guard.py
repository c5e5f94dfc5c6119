"""Keeps requests inside out of reach (SSRF): which addresses may be connected to, checked when the name is resolved.

A name is resolved once per connection, every address it has must be allowed, and the connection goes to the literal
address, so a name that changes its mind between check and connection changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name; OSError when it has none."""

LONGEST_URL: Final = 2048
# What `is_global` calls global and is not ours to call: Azure's virtual host address, 6to4 relays.
REFUSED_V4: Final = tuple(map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.88.99.0/24")))
# All other IPv6 space is local, reserved, multicast or wraps an IPv4 address (64:ff9b::/96, ::ffff:0:0/96, ::/96).
UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")


class AddressNotAllowedError(OSError):
    """The host is, or resolves to, an address that webhooks may not reach."""


class UnacceptableUrlError(ValueError):
    """An endpoint's URL that is refused; the text says what it must be and quotes nothing."""


def is_allowed(address: str, *, allow_loopback: bool) -> bool:
    """Tell whether a literal address may be connected to; loopback only where it is allowed."""
    parsed = _parsed(address)
    if parsed is None:
        return False
    if parsed.is_loopback:
        return allow_loopback
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.is_global and not parsed.is_multicast and not any(parsed in network for network in REFUSED_V4)
    return parsed.is_global and parsed in UNICAST_V6 and parsed not in SIX_TO_FOUR and parsed.scope_id is None


def check_url(text: str, *, allow_loopback: bool) -> None:
    """Raise UnacceptableUrlError unless `text` may be an endpoint's URL. Names are judged when they are resolved."""
    try:
        url = URL(text)
    except ValueError:
        raise UnacceptableUrlError("must be an absolute URL") from None
    if url.scheme not in {"https", "http"} or not url.host:
        raise UnacceptableUrlError("must be an absolute https URL")
    if url.scheme == "http" and not (allow_loopback and _names_loopback(url.host)):
        raise UnacceptableUrlError("must be an https URL")
    if url.user is not None or url.password is not None or url.fragment:
        raise UnacceptableUrlError("must have no user, password or fragment")
    if _parsed(url.host) is not None and not is_allowed(url.host, allow_loopback=allow_loopback):
        raise UnacceptableUrlError("must not lead to a private or reserved address")


def check_literal(host: str, *, allow_loopback: bool) -> None:
    """Raise AddressNotAllowedError for a host that is an address and not allowed: those are never resolved."""
    if _parsed(host) is not None and not is_allowed(host, allow_loopback=allow_loopback):
        raise AddressNotAllowedError


class GuardedResolver(AbstractResolver):
    """Gives aiohttp only addresses that are allowed; one that is not spoils all of the name's."""

    def __init__(self, lookup: Lookup, *, allow_loopback: bool) -> None:
        self._lookup = lookup
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name; AddressNotAllowedError if any of its addresses is not allowed."""
        addresses = await self._lookup(host, port)
        if not all(is_allowed(address, allow_loopback=self._allow_loopback) for address in addresses):
            raise AddressNotAllowedError
        results = [_result(host, address, port) for address in addresses]
        return [result for result in results if family in {socket.AF_UNSPEC, result["family"]}]

    async def close(self) -> None:
        """Hold nothing."""


class SystemLookup:
    """The system's resolver in threads of its own: names that do not resolve must not use up those of others."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of `host`, each once."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Let go of the threads; a lookup that hangs keeps its own until it ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def _names_loopback(host: str) -> bool:
    parsed = _parsed(host)
    return host == "localhost" if parsed is None else parsed.is_loopback


def _parsed(address: str) -> Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
