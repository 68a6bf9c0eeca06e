"""Rows W2 to W9: frames that nobody should send."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
import zlib

import pytest

from support.gateway_process import PATIENT, GatewayProcess, Gateways
from support.oracle import MIB, SECRET, SLACK, Row
from support.peers import (
    END,
    Got,
    StreamPeer,
    TcpPeer,
    WebSocketPeer,
    client_frame,
    read_to_end,
)
from wsprism_core.protocol.framing import encode_frame
from wsprism_core.protocol.layout import FrameKind

MAX_MESSAGE = 65_536
MAX_FRAGMENTS = 4_096
# In seconds; short, so that nobody waits for them long.
MESSAGE_TIMEOUT = 1.0
CLOSE_TIMEOUT = 0.5

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture
def gateway(gateways: Gateways) -> GatewayProcess:
    return gateways(
        {
            "gateway": {
                "message_timeout_ms": round(1000 * MESSAGE_TIMEOUT),
                "close_timeout_ms": round(1000 * CLOSE_TIMEOUT),
                # Clients may compress; what they get here is read as it is.
                "deflate": {"enabled": True, "min_bytes": 1_000_000},
            }
        }
    )


async def closing(peer: StreamPeer, *, within: float = 0.5) -> Got:
    """Return the close that comes in time, whatever comes before it."""
    async with asyncio.timeout(within + SLACK):
        while (got := await peer.frame()).kind not in ("close", "end"):
            pass
    return got


async def goodbye(peer: StreamPeer) -> None:
    """Leave as one should."""
    await peer.close(1000, "")
    assert (await closing(peer)).code == 1000


async def echo(peer: WebSocketPeer, data: bytes = b'"yes"') -> None:
    """See that the session goes on."""
    await peer.send("text", echo_text(data))
    got = await peer.frame()
    assert got.kind == "text", got
    assert b'"echoed"' in got.payload, got
    assert data in got.payload


def echo_text(data: bytes) -> bytes:
    return b'{"svc":"probe","type":"echo","data":' + data + b"}"


async def send_all(peer: StreamPeer, data: bytes) -> None:
    """Send what the gateway may stop reading in the middle of."""
    with contextlib.suppress(ConnectionError):
        await peer.send_raw(data)


async def send_for_ever(peer: StreamPeer, data: bytes) -> None:
    while True:
        await peer.send_raw(data)


def declared(size: int, opcode: int = TEXT) -> bytes:
    """Return the header of a frame of so many bytes, and none of them."""
    return struct.pack("!BBQ4s", 0x80 | opcode, 0xFF, size, b"mask")


# ------------------------------------------------------------------------------- W2


@pytest.mark.parametrize("size", [2**63 - 1, 2**64 - 1, 30 * 1024 * 1024])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_w2_declared_length(
    gateway: GatewayProcess, size: int, opcode: int
) -> None:
    async with Row(gateway, closes={1009: 1}) as row:
        peer = await row.connect()
        await peer.send_raw(declared(size, opcode))
        assert (await closing(peer)).code == 1009
        assert row.peak_growth < 2 * MIB


async def test_w2_declared_length_before_the_ticket(gateway: GatewayProcess) -> None:
    async with Row(gateway, refusals={1009: 1}) as row:
        peer = row.keep(await WebSocketPeer.open(gateway.port, tls=None))
        await peer.send_raw(declared(8 * 1024 + 1))
        assert (await closing(peer)).code == 1009
        assert row.peak_growth < 2 * MIB


# ------------------------------------------------------------------------------- W3


def bomb(compressed: int) -> bytes:
    """Return about so many bytes that inflate to a thousand times as many."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    # What a sync flush ends with stays away at the end of a message (RFC 7692, 7.2.1).
    return (block * (compressed // len(block) + 1))[:-4]


def in_fragments(opcode: int, payload: bytes, count: int, *, rsv: int = 0) -> bytes:
    size = len(payload) // count + 1
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return b"".join(
        client_frame(
            0 if n else opcode, part, fin=n == len(parts) - 1, rsv=0 if n else rsv
        )
        for n, part in enumerate(parts)
    )


RSV1 = 4
BOMBS = {
    "its header is over the limit": client_frame(TEXT, bomb(300_000), rsv=RSV1),
    "one frame": client_frame(TEXT, bomb(60_000), rsv=RSV1),
    "4000 fragments": in_fragments(TEXT, bomb(60_000), 4_000, rsv=RSV1),
}


@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("how", BOMBS)
async def test_w3_deflate_bomb(
    gateway: GatewayProcess, how: str, takeover: bool
) -> None:
    offer = DEFLATE if takeover else DEFLATE + "; client_no_context_takeover"
    async with Row(gateway, closes={1009: 1}) as row:
        peer = await row.connect("mallory", offer)
        await send_all(peer, BOMBS[how])
        assert (await closing(peer)).code == 1009
        assert row.peak_growth < 2 * MIB


async def test_w3_deflate_bomb_before_the_ticket(gateway: GatewayProcess) -> None:
    async with Row(gateway, refusals={1009: 1}) as row:
        peer = row.keep(await WebSocketPeer.open(gateway.port, DEFLATE, tls=None))
        await peer.send_raw(client_frame(TEXT, bomb(6_000), rsv=RSV1))
        assert (await closing(peer)).code == 1009
        assert row.peak_growth < 2 * MIB


async def test_w3_a_message_that_leans_on_the_one_before(
    gateway: GatewayProcess,
) -> None:
    # Clients are told to start afresh; one that does not is not understood.
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    message = echo_text(b'"' + bytes(range(65, 91)) * 20 + b'"')
    first, second = (
        (squeeze.compress(message) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for _ in range(2)
    )
    async with Row(gateway, closes={1002: 1}) as row:
        peer = await row.connect("mallory", DEFLATE)
        await peer.send_raw(client_frame(TEXT, first, rsv=RSV1))
        assert b'"echoed"' in (await peer.frame()).payload
        await peer.send_raw(client_frame(TEXT, second, rsv=RSV1))
        assert (await closing(peer)).code == 1002


# ------------------------------------------------------------------------------- W4


@pytest.mark.parametrize("payload", [b"x", b""], ids=["one byte", "empty"])
async def test_w4_fragments(gateway: GatewayProcess, payload: bytes) -> None:
    first = client_frame(TEXT, payload, fin=False)
    more = client_frame(0, payload, fin=False)
    async with Row(gateway, closes={1009: 1}) as row:
        peer = await row.connect()
        await peer.send_raw(first + more * (MAX_FRAGMENTS - 2))
        await peer.send("ping", b"still here")
        assert await peer.frame() == Got("pong", b"still here")
        await send_all(peer, more * 100_000)
        assert (await closing(peer)).code == 1009
        assert row.peak_growth < 2 * MIB


@pytest.mark.parametrize("trickle", [False, True], ids=["idle", "trickle"])
async def test_w4_a_message_that_never_ends(
    gateway: GatewayProcess, trickle: bool
) -> None:
    async with Row(gateway, closes={1008: 1}) as row:
        peer = await row.connect()
        began = time.monotonic()
        await peer.send_raw(client_frame(TEXT, SECRET.encode(), fin=False))
        closed = asyncio.ensure_future(closing(peer, within=MESSAGE_TIMEOUT))
        while trickle and not closed.done():
            # No fragment moves the deadline.
            await send_all(peer, client_frame(0, b"", fin=False))
            await asyncio.wait([closed], timeout=0.1)
        assert (await closed).code == 1008
        assert time.monotonic() - began >= MESSAGE_TIMEOUT


# ------------------------------------------------------------------------------- W5


async def test_w5_unfinished_bytes(gateways: Gateways) -> None:
    gateway = gateways(PATIENT)
    limit = PATIENT["gateway"]["max_unfinished_bytes"]
    size = MAX_MESSAGE - 3
    kept = limit // size
    message = echo_text(b'"' + b"x" * (MAX_MESSAGE - len(echo_text(b'""'))) + b'"')
    begin = client_frame(TEXT, message[:size], fin=False)
    end = client_frame(0, message[size:])
    rounds = 2
    closes = {1013: rounds * (100 - kept), 1000: rounds * kept}
    async with Row(gateway, closes=closes) as row:
        # What was held is given back: the second time there is as much room.
        for _ in range(rounds):
            peers = [await row.connect() for _ in range(100)]
            for place, peer in enumerate(peers):
                await peer.send_raw(begin)
                if place < kept:
                    await peer.send("ping", b"")
                    assert await peer.frame() == Got("pong")
                else:
                    assert (await closing(peer)).code == 1013
            assert row.peak_growth < 1.5 * limit
            # Those that came first are not harmed.
            for peer in peers[:kept]:
                await peer.send_raw(end)
                assert b'"echoed"' in (await peer.frame()).payload
                await goodbye(peer)


# ------------------------------------------------------------------------------- W6


@pytest.mark.parametrize("kind", ["ping", "pong"])
async def test_w6_control_frames_of_a_reader(
    gateway: GatewayProcess, kind: str
) -> None:
    async with Row(gateway, closes={1008: 1}) as row:
        peer = await row.connect()
        await send_all(peer, peer.framed(kind, SECRET.encode()) * 500)
        assert (await closing(peer)).code == 1008


@pytest.mark.parametrize("kind", ["ping", "pong"])
async def test_w6_control_frames_of_one_who_never_reads(
    gateway: GatewayProcess, kind: str
) -> None:
    async with Row(gateway, closes={1008: 1}) as row:
        peer = await row.connect()
        flood = peer.framed(kind, b"x" * 125) * 8_000
        began = time.monotonic()
        # In the end the flood finds the socket gone.
        with pytest.raises(ConnectionError):
            await send_for_ever(peer, flood)
        assert time.monotonic() - began < CLOSE_TIMEOUT + SLACK
        assert row.peak_growth < 8 * MIB


async def test_w6_closes(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        await send_all(peer, peer.framed("close", struct.pack("!H", 1000)) * 10_000)
        assert (await closing(peer)).code == 1000


async def test_w6_a_byte_a_segment(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        cpu = gateway.cpu_seconds()
        data = b'"' + b"x" * 4_000 + b'"'
        for byte in client_frame(TEXT, echo_text(data)):
            await peer.send_raw(bytes([byte]))
        assert data in (await peer.frame()).payload
        # Some 4,000 reads.
        assert gateway.cpu_seconds() - cpu < 1.0
        await goodbye(peer)


# ------------------------------------------------------------------------------- W7


def close_frame(payload: bytes) -> bytes:
    return client_frame(CLOSE, payload)


WRONG_CODES = (0, 999, 1004, 1005, 1006, 1015, 5000)
ILLEGAL: dict[str, tuple[int, bytes]] = {
    "not masked": (1002, client_frame(TEXT, b"{}", mask=False)),
    **{
        f"rsv{4 - rsv.bit_length()}": (1002, client_frame(TEXT, b"{}", rsv=rsv))
        for rsv in (4, 2, 1)
    },
    **{
        f"opcode {opcode}": (1002, client_frame(opcode, b""))
        for opcode in (*range(3, 8), *range(11, 16))
    },
    "a ping over 125 bytes": (1002, client_frame(PING, bytes(126))),
    "a ping in fragments": (1002, client_frame(PING, b"", fin=False)),
    "a continuation of nothing": (1002, client_frame(0, b"")),
    "a message within another": (1002, client_frame(TEXT, b"", fin=False) * 2),
    "a close of one byte": (1002, close_frame(b"\x03")),
    **{
        f"close code {code}": (1002, close_frame(struct.pack("!H", code)))
        for code in WRONG_CODES
    },
    "a reason that is no text": (1007, close_frame(b"\x03\xe8\xff\xff")),
    "text that is none": (1007, client_frame(TEXT, b"\xff")),
    "half a character at the end": (
        1007,
        client_frame(TEXT, b"\xe2", fin=False) + client_frame(0, b"\x82"),
    ),
}


@pytest.mark.parametrize("name", ILLEGAL)
async def test_w7_illegal_frame(gateway: GatewayProcess, name: str) -> None:
    code, frame = ILLEGAL[name]
    async with Row(gateway, closes={code: 1}) as row:
        peer = await row.connect()
        # What follows is not read as frames any more: the close comes first.
        await peer.send_raw(frame + client_frame(TEXT, echo_text(b'"late"')))
        got = await peer.frame()
        assert (got.kind, got.code) == ("close", code)
        assert got.payload


# ------------------------------------------------------------------------------- W8


async def test_w8_data_after_a_close(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        close = peer.framed("close", struct.pack("!H", 1000))
        await peer.send_raw(close + peer.framed("text", echo_text(b'"late"')))
        assert await read_to_end(peer) == [Got("close", b"", 1000)]


async def test_w8_a_close_within_a_message(gateway: GatewayProcess) -> None:
    # RFC 6455 lets it pass; `websockets` takes it for an error, and it ends the same.
    async with Row(gateway, closes={1002: 1}) as row:
        peer = await row.connect()
        await peer.send_raw(client_frame(TEXT, SECRET.encode(), fin=False))
        await peer.close(1000, "")
        await peer.send_raw(client_frame(0, b"", fin=True))
        frames = await read_to_end(peer)
        assert [(got.kind, got.code) for got in frames] == [("close", 1002)]


async def test_w8_two_closes(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        first, second = (
            peer.framed("close", struct.pack("!H", code)) for code in (1000, 3000)
        )
        await peer.send_raw(first + second)
        assert await read_to_end(peer) == [Got("close", b"", 1000)]


async def test_w8_a_reset_within_a_frame(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1006: 1}) as row:
        peer = await row.connect()
        await peer.send_raw(client_frame(TEXT, SECRET.encode())[:-1])
        peer.reset()


@pytest.mark.parametrize("within", [False, True], ids=["between frames", "in a frame"])
async def test_w8_half_close(gateway: GatewayProcess, within: bool) -> None:
    async with Row(gateway, closes={1006: 1}) as row:
        peer = await row.connect()
        if within:
            await peer.send_raw(client_frame(TEXT, SECRET.encode())[:-1])
        peer.send_eof()
        assert await peer.frame() == END


async def test_w8_closes_from_both_sides(gateway: GatewayProcess) -> None:
    # Both are under way at once: the gateway's for what is illegal, and the peer's.
    async with Row(gateway, closes={1002: 1}) as row:
        peer = await row.connect()
        await peer.send_raw(ILLEGAL["not masked"][1])
        await peer.close(1000, "")
        frames = await read_to_end(peer)
        assert [(got.kind, got.code) for got in frames] == [("close", 1002)]


# ------------------------------------------------------------------------------- W9

AUTH = b'{"svc":"sys","type":"auth","data":{"tenant":"main","ticket":"dev:mallory"}}'
PREFIXES = {
    "nothing": (1002, b"\0\0\0\0"),
    "4 GiB": (1009, b"\xff\xff\xff\xff"),
    "negative": (1009, b"\x80\0\0\0"),
    "no such kind": (1002, b"\0\0\0\2\x63."),
    "10 MB without a prefix": (1009, b"A" * 10_000_000),
}


async def tcp_peer(row: Row, *, authenticated: bool) -> TcpPeer:
    peer = await TcpPeer.connect(row.gateway.tcp_port)
    row.keep(peer)
    if authenticated:
        await peer.send("text", AUTH)
        assert b'"authed"' in (await peer.frame()).payload
    return peer


def ending(gateway: GatewayProcess, authenticated: bool, code: int) -> Row:
    """Return a row that ends a session, or what has not become one."""
    if authenticated:
        return Row(gateway, closes={code: 1})
    return Row(gateway, refusals={code: 1})


either = pytest.mark.parametrize(
    "authenticated", [True, False], ids=["session", "before the ticket"]
)


@either
@pytest.mark.parametrize("name", PREFIXES)
async def test_w9_prefix(
    gateway: GatewayProcess, name: str, authenticated: bool
) -> None:
    code, data = PREFIXES[name]
    async with ending(gateway, authenticated, code) as row:
        peer = await tcp_peer(row, authenticated=authenticated)
        await send_all(peer, data)
        got = await closing(peer)
        if len(data) < MAX_MESSAGE:
            assert (got.kind, got.code) == ("close", code)
        assert row.peak_growth < 2 * MIB


async def test_w9_prefix_in_four_packets(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await tcp_peer(row, authenticated=True)
        for byte in encode_frame(FrameKind.TEXT, echo_text(b'"whole"')):
            await peer.send_raw(bytes([byte]))
        assert b'"whole"' in (await peer.frame()).payload
        await goodbye(peer)


@either
@pytest.mark.parametrize("trickle", [False, True], ids=["silence", "trickle"])
async def test_w9_a_prefix_and_then(
    gateway: GatewayProcess, trickle: bool, authenticated: bool
) -> None:
    async with ending(gateway, authenticated, 1008) as row:
        peer = await tcp_peer(row, authenticated=authenticated)
        await peer.send_raw(b"\0\0\x10\0\1")
        closed = asyncio.ensure_future(closing(peer, within=MESSAGE_TIMEOUT))
        while trickle and not closed.done():
            await send_all(peer, b"{")
            await asyncio.wait([closed], timeout=0.1)
        assert (await closed).code == 1008


async def test_w9_control_frames(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1008: 1}) as row:
        peer = await tcp_peer(row, authenticated=True)
        await send_all(peer, peer.framed("ping", SECRET.encode()) * 500)
        assert (await closing(peer)).code == 1008
