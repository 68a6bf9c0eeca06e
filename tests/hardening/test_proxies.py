"""Rows H2, H7 and H8: who connects, from which page, and behind whom."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import pytest

from support.gateway_process import GatewayProcess, Gateways
from support.oracle import FULL, MANY, Row
from support.peers import WebSocketPeer, handshake

#: What answers a good handshake; the ticket is good in all of these.
SWITCHING: Final = 101
PROXY: Final = "127.0.0.7"
ORIGINS: Final = ["https://good.com", "https://*.good.com"]
#: Of everybody, and of one address; the canary and the looks come from another.
TOTAL, PER_ADDRESS = 600, 300


async def ask(
    gateway: GatewayProcess, *extra: str, address: str | None = None, **changed: str
) -> tuple[int, str]:
    """Send a handshake; return the status and the head of the answer."""
    peer = await connect(gateway, address)
    await peer.send_raw(handshake(gateway.target("mallory"), *extra, **changed))
    head = (await peer.read_head()).decode()
    if head.startswith("HTTP/1.1 101 "):
        peer._answered = True
        await peer.close(1000, "")
    await peer.read_all()
    peer.drop()
    return int(head.split()[1]), head


async def connect(gateway: GatewayProcess, address: str | None = None) -> WebSocketPeer:
    """Connect from an address of this machine."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", gateway.port, local_addr=None if address is None else (address, 0)
    )
    return WebSocketPeer(reader, writer)


def addresses(row: Row) -> set[str]:
    """Return the addresses under which connections were refused, as far as logged."""
    return {one["address"] for one in row.entries if one["event"] == "refused"}


# ------------------------------------------------------------------------------- H7


@pytest.fixture
def strict(gateways: Gateways) -> GatewayProcess:
    return gateways({"gateway": {"allowed_origins": ORIGINS}})


@pytest.mark.parametrize(
    "origin",
    [
        "https://good.com",
        "https://GOOD.com",
        "https://a.good.com",
        "https://a.b.good.com",
        None,
    ],
)
async def test_h7_an_allowed_origin(strict: GatewayProcess, origin: str | None) -> None:
    extra = () if origin is None else (f"Origin: {origin}",)
    async with Row(strict, closes={1000: 1}):
        assert (await ask(strict, *extra))[0] == SWITCHING


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.com",
        "null",
        "",
        "https://good.com.evil.com",
        "https://evilgood.com",
        "http://good.com",
        "https://good.com:8443",
        "https://.good.com",
        "https://a..good.com",
        "https://evil.com/.good.com",
        "https://evil.com#.good.com",
        "https://good.com@evil.com",
    ],
)
async def test_h7_another_origin(strict: GatewayProcess, origin: str) -> None:
    async with Row(strict, refusals={403: 1}):
        assert (await ask(strict, f"Origin: {origin}"))[0] == 403


async def test_h7_two_origins(strict: GatewayProcess) -> None:
    async with Row(strict, refusals={400: 1}):
        good = "Origin: https://good.com"
        assert (await ask(strict, good, good))[0] == 400


# ------------------------------------------------------------------------------- H8


@pytest.fixture
def behind(gateways: Gateways) -> GatewayProcess:
    """One that trusts a proxy, and lets each address try twice."""
    limit = {
        "enabled": True,
        "global_rps": 1_000,
        "global_burst": 1_000,
        "per_ip_rps": 1,
        "per_ip_burst": 2,
    }
    gateway = {"trusted_proxies": [PROXY], "handshake_limit": limit}
    return gateways({"gateway": gateway})


FORGED = [
    ("Host: evil.com",),
    ("X-Forwarded-For: 203.0.113.7",),
    ("X-Forwarded-For: 127.0.0.7",),
    ("Forwarded: for=203.0.113.7;host=evil.com",),
    ("X-Real-IP: 203.0.113.7", "True-Client-IP: 203.0.113.7"),
    ("X-Forwarded-For: " + ",".join(["1.1.1.1"] * 1_000),),
]


@pytest.mark.parametrize("fields", FORGED)
async def test_h8_an_untrusted_peer(
    behind: GatewayProcess, fields: tuple[str, ...]
) -> None:
    # Each row comes from an address of its own, for it spends what that one has.
    address = f"127.0.1.{FORGED.index(fields) + 1}"
    changed = {"host": "evil.com"} if fields[0].startswith("Host") else {}
    extra = () if changed else fields
    row = Row(behind, closes={1000: 2}, refusals={429: 1})
    async with row:
        for expected in (SWITCHING, SWITCHING, 429):
            status, _ = await ask(behind, *extra, address=address, **changed)
            assert status == expected
    assert addresses(row) <= {address}


@pytest.mark.parametrize(
    ("number", "field"),
    [
        (1, "X-Forwarded-For: fe80::1%eth0"),
        (2, "X-Forwarded-For: garbage"),
        (3, 'Forwarded: for="_hidden"'),
    ],
)
async def test_h8_garbage_from_the_proxy_itself(
    behind: GatewayProcess, number: int, field: str
) -> None:
    # What it says of nobody counts under its own address, which has this much only.
    row = Row(behind)
    async with row:
        statuses = [(await ask(behind, field, address=PROXY))[0] for _ in range(4)]
        let_in = statuses.count(SWITCHING)
        row.expect(closes={1000: let_in} if let_in else {}, refusals={429: 4 - let_in})
        assert let_in <= 3
        assert set(statuses) <= {SWITCHING, 429}
    assert addresses(row) <= {PROXY}


async def test_h8_the_limiters_key_is_not_the_clients(behind: GatewayProcess) -> None:
    client = "203.0.113.9"
    row = Row(behind, closes={1000: 2}, refusals={429: 3})
    async with row:
        statuses = [
            (await ask(behind, f"X-Forwarded-For: {n}.1.1.1, {client}", address=PROXY))[
                0
            ]
            for n in range(5)
        ]
        assert statuses == [101, 101, 429, 429, 429]
    assert addresses(row) <= {client}


async def test_h8_clients_of_a_proxy_are_told_apart(behind: GatewayProcess) -> None:
    async with Row(behind, closes={1000: 5}):
        for n in range(5):
            field = f"X-Forwarded-For: 198.51.100.{n}"
            assert (await ask(behind, field, address=PROXY))[0] == SWITCHING


async def test_h8_one_ipv6_network_is_one_client(behind: GatewayProcess) -> None:
    async with Row(behind, closes={1000: 2}, refusals={429: 1}):
        for n, expected in enumerate((SWITCHING, SWITCHING, 429)):
            field = f"X-Forwarded-For: 2001:db8::{n + 1:x}"
            assert (await ask(behind, field, address=PROXY))[0] == expected


# ------------------------------------------------------------------------------- H2


@pytest.fixture
def capped(gateways: Gateways) -> GatewayProcess:
    changes: dict[str, Any] = {
        "max_handshakes": TOTAL,
        "max_handshakes_per_ip": PER_ADDRESS,
        "handshake_timeout_ms": 60_000,
    }
    return gateways({"gateway": changes})


async def silent(
    gateway: GatewayProcess, count: int, address: str, *, refused: int
) -> tuple[list[WebSocketPeer], set[str]]:
    """Open sockets that say nothing.

    Returns:
        Those that are kept, and the answers that the others got.
    """
    peers = [await connect(gateway, address) for _ in range(count)]
    answers = {asyncio.create_task(one.read_all()): one for one in peers}
    done: set[asyncio.Task[bytes]] = set()
    async with asyncio.timeout(20):
        while len(done) < refused:
            done, _ = await asyncio.wait(answers, timeout=0.01)
    for answer in answers.keys() - done:
        answer.cancel()
    for answer in done:
        answers.pop(answer).drop()
    heads = {one.result().decode().partition("\r\n")[0] for one in done}
    return list(answers.values()), heads


async def honest(gateway: GatewayProcess) -> tuple[float, int]:
    """Connect as one should, and again where that is what one is told.

    Returns:
        The seconds that it took, and how often it was refused.
    """
    began = time.monotonic()
    for refused in range(100):
        status, head = await ask(gateway)
        if status == SWITCHING:
            return time.monotonic() - began, refused
        assert "Retry-After: 1" in head
    raise AssertionError("it never got in")


async def test_h2_sockets_of_one_address_that_say_nothing(
    capped: GatewayProcess,
) -> None:
    over = 500 - PER_ADDRESS
    async with Row(capped, closes={1000: 1}, refusals={429: over}, fast_enough=MANY):
        kept, heads = await silent(capped, 500, "127.0.2.1", refused=over)
        assert len(kept) == PER_ADDRESS
        assert heads == {"HTTP/1.1 429 Too Many Requests"}
        # The address has as many as it may; another is let in at once.
        seconds, again = await honest(capped)
        assert seconds < (1.0 if FULL else 3.0)
        assert again == 0
        for peer in kept:
            peer.drop()


async def test_h2_sockets_of_many_addresses_that_say_nothing(
    capped: GatewayProcess,
) -> None:
    over = 100
    row = Row(capped, fast_enough=MANY)
    async with row:
        first, _ = await silent(capped, PER_ADDRESS, "127.0.3.1", refused=0)
        second, _ = await silent(capped, PER_ADDRESS, "127.0.3.2", refused=0)
        kept, heads = await silent(capped, over, "127.0.3.3", refused=over)
        # All have as many as they may, which is told, and nothing is kept of the rest.
        assert (len(first) + len(second), kept) == (TOTAL, [])
        assert heads == {"HTTP/1.1 503 Service Unavailable"}
        for peer in first + second:
            peer.drop()
        # It may be a moment until their end is noted.
        seconds, again = await honest(capped)
        assert seconds < (1.0 if FULL else 3.0)
        row.expect(closes={1000: 1}, refusals={503: over + again})
