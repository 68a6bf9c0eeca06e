"""Rows W2 to W9: frames that nobody should send."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
import zlib

import pytest

from support.gateway_process import GatewayProcess
from support.oracle import FULL, MIB, SECRET, Row
from support.peers import END, Got, StreamPeer, TcpPeer, WebSocketPeer, client_frame
from wsprism_core.protocol.framing import encode_frame
from wsprism_core.protocol.layout import FrameKind

#: As the gateway's bounds are: the defaults but for the account of unfinished bytes.
MAX_MESSAGE = 65_536
MAX_FRAGMENTS = 4_096
MAX_UNFINISHED = 4 * MIB
MESSAGE_TIMEOUT = 1.0
AUTH_TIMEOUT = 1.5
CLOSE_TIMEOUT = 2.0

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


async def closing(peer: StreamPeer, *, within: float = 1.0) -> Got:
    """Return the close that comes in time, whatever comes before it."""
    async with asyncio.timeout(within):
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
