"""Requests to the inside (SSRF): every way in which an address can be said, and names that change their mind."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from services.webhooks.guard import (
    AddressNotAllowedError,
    GuardedResolver,
    SystemLookup,
    UnacceptableUrlError,
    check_literal,
    check_url,
    is_allowed,
)

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1"]
INSIDE = [
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "10.0.0.1",
    "100.64.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2606:4700:4700::1111%eth0",
]
OTHER_SPELLINGS = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost."]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("allow_loopback", [False, True])
@pytest.mark.parametrize("address", INSIDE)
def test_inside_addresses_never_are(address: str, allow_loopback: bool) -> None:
    assert not is_allowed(address, allow_loopback=allow_loopback)
    with pytest.raises(AddressNotAllowedError):
        check_literal(address, allow_loopback=allow_loopback)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_only_on_ones_own_machine(address: str) -> None:
    assert is_allowed(address, allow_loopback=True)
    assert not is_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("address", [*INSIDE, *LOOPBACK])
def test_a_url_with_such_an_address_is_refused_at_once(address: str) -> None:
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    with pytest.raises(UnacceptableUrlError):
        check_url(f"https://{host}/hook", allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/hook",
        "ftp://receiver.example/hook",
        "file:///etc/passwd",
        "//receiver.example/hook",
        "/hook",
        "https://",
        "https:///hook",
        "https://user:secret@receiver.example/hook",
        "https://receiver.example/hook#part",
        "https://receiver.example:99999/hook",
        "not a url",
    ],
)
def test_other_unacceptable_urls(url: str) -> None:
    for allow_loopback in (False, True):
        with pytest.raises(UnacceptableUrlError):
            check_url(url, allow_loopback=allow_loopback)


@pytest.mark.parametrize(
    "url", ["https://receiver.example/hook?token=1", "https://8.8.8.8:8443/", "https://[2606:4700::1]/"]
)
def test_acceptable_urls(url: str) -> None:
    check_url(url, allow_loopback=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/hook", "http://[::1]:8080/", "http://localhost:8080/"])
def test_plain_http_only_on_ones_own_machine(url: str) -> None:
    check_url(url, allow_loopback=True)
    with pytest.raises(UnacceptableUrlError):
        check_url(url, allow_loopback=False)


def names(**addresses: Sequence[str]) -> GuardedResolver:
    async def lookup(host: str, port: int) -> Sequence[str]:
        assert port
        return addresses[host]

    return GuardedResolver(lookup, allow_loopback=False)


async def test_a_name_is_resolved_to_literal_addresses() -> None:
    found = await names(good=["8.8.8.8", "2606:4700:4700::1111"]).resolve("good", 443)
    assert [(each["host"], each["family"]) for each in found] == [
        ("8.8.8.8", socket.AF_INET),
        ("2606:4700:4700::1111", socket.AF_INET6),
    ]
    assert all(each["flags"] & socket.AI_NUMERICHOST for each in found)


@pytest.mark.parametrize("address", [*INSIDE, *LOOPBACK, "not-an-address"])
async def test_one_inside_address_spoils_a_name(address: str) -> None:
    with pytest.raises(AddressNotAllowedError):
        await names(bad=["8.8.8.8", address]).resolve("bad", 443)


@pytest.mark.parametrize("host", OTHER_SPELLINGS)
async def test_other_spellings_of_loopback_are_seen_through(host: str) -> None:
    lookup = SystemLookup(1)
    resolver = GuardedResolver(lookup, allow_loopback=False)
    with pytest.raises((AddressNotAllowedError, socket.gaierror)):  # on other systems it is no name at all
        await resolver.resolve(host, 443)
    lookup.close()


async def test_names_that_hang_use_only_their_own_threads() -> None:
    lookup = SystemLookup(1)
    async with asyncio.timeout(5):
        assert "127.0.0.1" in await lookup("localhost", 80)
    lookup.close()
