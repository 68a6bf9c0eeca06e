"""TCP framing on a raw socket (HARDENING's W9), and what it asks of the host."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import pytest

from support.peers import Got, read_to_end
from support.transport_host import EchoGrant, EchoHost
from support.transport_stage import ManualTimers, Stage, running, tcp
from wsprism_core.protocol.framing import encode_close
from wsprism_core.transports.framed import TCP_FRAMING, TCP_WIRES
from wsprism_core.transports.tcp import TcpLink


@pytest.fixture
async def socket_stage(host: EchoHost) -> AsyncIterator[Stage]:
    async with running(tcp(), host) as stage:
        yield stage


def test_frames_have_a_length_and_a_kind() -> None:
    assert TCP_FRAMING.text(b"ab") == bytes.fromhex("00000003 01") + b"ab"
    assert TCP_FRAMING.binary(b"") == bytes.fromhex("00000001 02")
    assert TCP_FRAMING.ping(b"a") == bytes.fromhex("00000002 03") + b"a"
    assert TCP_FRAMING.pong(b"a") == bytes.fromhex("00000002 04") + b"a"


def test_an_envelope_in_messagepack_is_a_binary_frame() -> None:
    assert TCP_WIRES["msgpack"].frame_text(b"\x80") == TCP_FRAMING.binary(b"\x80")
    assert TCP_WIRES["json"].frame_text(b"{}") == TCP_FRAMING.text(b"{}")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(b"\x00\x00\x00\x00", 1002, id="length 0"),
        pytest.param(b"\xff\xff\xff\xff", 1009, id="length 2^32-1"),
        pytest.param(struct.pack(">i", -5), 1009, id="negative length"),
        pytest.param(struct.pack(">I", 64 * 1024 + 2), 1009, id="one over the limit"),
        pytest.param(b"\x00\x00\x00\x01\x00", 1002, id="kind 0"),
        pytest.param(b"\x00\x00\x00\x01\x06", 1002, id="kind 6"),
        pytest.param(TCP_FRAMING.ping(b"x" * 126), 1002, id="long ping"),
        pytest.param(TCP_FRAMING.pong(b"x" * 126), 1002, id="long pong"),
        pytest.param(b"\x00\x00\x00\x02\x05x", 1002, id="close of one byte"),
        pytest.param(
            b"\x00\x00\x00\x7f\x05\x03\xe8" + b"x" * 124,
            1002,
            id="close over 125 bytes",
        ),
        pytest.param(b"\x00\x00\x00\x04\x05\x03\xe8\xff", 1007, id="bad reason"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 1009, id="HTTP"),
        pytest.param(b"x" * 10_000_000, 1009, id="10 MB of nothing"),
    ],
)
async def test_a_bad_frame_closes_at_its_prefix(
    socket_stage: Stage, raw: bytes, code: int
) -> None:
    peer = await socket_stage.connect()
    await peer.send("text", b"before")
    await peer.send_raw(raw)
    before, close = await read_to_end(peer)
    assert before == Got("text", b"before")
    assert close.code == code
    assert [entry[1] for entry in socket_stage.host.log.of("closed")] == [code]
    peer.drop()


async def test_a_prefix_may_come_in_four_packets(socket_stage: Stage) -> None:
    peer = await socket_stage.connect()
    for byte in TCP_FRAMING.text(b"x")[:4]:
        await peer.send_raw(bytes([byte]))
        await socket_stage.settle()
    await peer.send_raw(TCP_FRAMING.text(b"x")[4:])
    assert await peer.frame() == Got("text", b"x")


async def test_a_prefix_and_silence_has_a_deadline(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer = await socket_stage.connect()
    await peer.send_raw(b"\x00\x00")
    await socket_stage.settle()
    timers.advance(socket_stage.host.timeouts.message)
    (close,) = await read_to_end(peer)
    assert close.code == 1008
    peer.drop()


async def test_a_silent_connection_has_none(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer = await socket_stage.connect()
    await socket_stage.settle()
    # How long a client may take to authenticate is the core's business.
    assert timers.pending == 0
    await peer.send("text", b"x")
    assert await peer.frame() == Got("text", b"x")


async def test_while_undecided_little_is_read(socket_stage: Stage) -> None:
    undecided = socket_stage.host.undecided = []
    peer = await socket_stage.connect()
    await peer.send("text", b"x")
    await socket_stage.settle()
    link = next(
        link
        for link in socket_stage.stream.connections
        if isinstance(link, TcpLink) and link._early
    )
    assert link._socket is not None
    assert not link._socket.is_reading()
    undecided[0](EchoGrant(socket_stage.host))
    assert link._socket.is_reading()
    assert await peer.frame() == Got("text", b"x")


async def test_frames_behind_a_bad_one_are_not_heard(socket_stage: Stage) -> None:
    peer = await socket_stage.connect()
    await peer.send_raw(b"\x00\x00\x00\x00" + TCP_FRAMING.text(b"x"))
    assert len(await read_to_end(peer)) == 1
    assert not socket_stage.host.log.of("text")
    peer.drop()


async def test_what_a_failed_peer_still_sends_is_not_kept(socket_stage: Stage) -> None:
    peer = await socket_stage.connect()
    await socket_stage.host.log.until("open")
    link = socket_stage.host.receiver.link
    await peer.send_raw(b"\x00\x00\x00\x00")
    await socket_stage.host.log.until("closed")
    for _ in range(20):
        await peer.send_raw(b"\xff" * 60_000)
    await socket_stage.settle()
    assert isinstance(link, TcpLink)
    assert len(link._decoder._buffer) < 10
    peer.drop()


async def test_garbage_after_a_close_is_no_close(
    socket_stage: Stage, timers: ManualTimers
) -> None:
    peer = await socket_stage.connect()
    await socket_stage.host.log.until("open")
    socket_stage.host.receiver.link.close(4000, "over")
    await peer.send_raw(b"\xff" * 1000)
    await peer.send("close", encode_close(4000, ""))
    await socket_stage.settle()
    assert len(socket_stage.stream.connections) == 2
    timers.advance(socket_stage.host.timeouts.close)
    peer.drop()
