"""WebSocket frames as they should not be, and bounds on those that should."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from support.peers import (
    END,
    OPCODES,
    Got,
    WebSocketPeer,
    client_frame,
    read_to_end,
)
from support.transport_host import EchoHost
from support.transport_stage import ManualTimers, Stage, running
from wsprism_core.transports.bounds import InboundBounds
from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.websocket import WebSocketTransport

TEXT, BINARY, CONT, CLOSE, PING = (
    OPCODES[kind] for kind in ("text", "binary", "cont", "close", "ping")
)


def first_code(frames: list[Got]) -> int:
    """Return the code of the close that was the only thing sent."""
    (close,) = frames
    assert close.kind == "close"
    return close.code


# ----------------------------------------------------------- malformed frames


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(client_frame(TEXT, b"x", mask=False), 1002, id="not masked"),
        pytest.param(client_frame(TEXT, b"x", rsv=4), 1002, id="RSV1"),
        pytest.param(client_frame(TEXT, b"x", rsv=2), 1002, id="RSV2"),
        pytest.param(client_frame(TEXT, b"x", rsv=1), 1002, id="RSV3"),
        *(
            pytest.param(client_frame(opcode, b""), 1002, id=f"opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        pytest.param(client_frame(PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(client_frame(PING, b"", fin=False), 1002, id="ping in parts"),
        pytest.param(client_frame(CONT, b"x"), 1002, id="continuation of nothing"),
        pytest.param(client_frame(CLOSE, b"x"), 1002, id="close of one byte"),
        *(
            pytest.param(
                client_frame(CLOSE, struct.pack("!H", code)), 1002, id=f"close {code}"
            )
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
        ),
        pytest.param(client_frame(CLOSE, b"\x03\xe8\xff"), 1007, id="reason no UTF-8"),
        pytest.param(client_frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(
            client_frame(TEXT, b"", fin=False) + client_frame(TEXT, b""),
            1002,
            id="a message within a message",
        ),
        pytest.param(
            client_frame(TEXT, b"", fin=False) + client_frame(CLOSE, b"\x03\xe8"),
            1002,
            id="close within a message",
        ),
    ],
)
async def test_a_malformed_frame_closes(ws: Stage, frame: bytes, code: int) -> None:
    peer = await ws.connect()
    await peer.send_raw(frame + client_frame(TEXT, b"never heard"))
    assert first_code(await read_to_end(peer)) == code
    assert ws.host.log.of("closed")[0][1] == code
    assert not ws.host.log.of("text")


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 30_000_000, 65_537])
async def test_a_declared_length_is_refused_before_its_bytes(
    ws: Stage, length: int
) -> None:
    peer = await ws.connect()
    await ws.host.log.until("open")
    tracemalloc.start()
    await peer.send_raw(struct.pack("!BBQ", 0x82, 0x80 | 127, length))
    assert first_code(await read_to_end(peer)) == 1009
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


async def test_a_close_without_a_code_is_answered_by_the_same(ws: Stage) -> None:
    peer = await ws.connect()
    await peer.send("close", b"")
    assert await peer.frame() == Got("close", b"")
    assert await peer.frame() == END
    assert ws.host.log.of("closed") == [("closed", 1005, "")]


@pytest.mark.parametrize(
    "behind",
    [client_frame(TEXT, b"x"), client_frame(CLOSE, b""), b"\xff" * 1000],
    ids=["a message", "a close", "noise"],
)
async def test_nothing_counts_behind_a_close(ws: Stage, behind: bytes) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(CLOSE, b"\x03\xe8") + behind)
    assert await peer.frame() == Got("close", b"", 1000)
    assert await peer.frame() == END
    assert ws.host.log.of("closed") == [("closed", 1000, "")]
    assert not ws.host.log.of("text")


async def test_what_a_failed_peer_still_sends_is_dropped(ws: Stage) -> None:
    peer = await ws.connect()
    await peer.send("text", b"\xff")
    await ws.host.log.until("closed")
    for _ in range(20):
        await peer.send("binary", b"x" * 60_000)
    assert first_code(await read_to_end(peer)) == 1007


# ------------------------------------------------------------------ fragments


async def test_fragments_make_one_message(ws: Stage) -> None:
    peer = await ws.connect()
    text = "größer".encode()
    parts = [text[:3], b"", text[3:4], text[4:]]
    await peer.send_raw(client_frame(TEXT, parts[0], fin=False))
    await peer.send_raw(client_frame(PING, b"between"))
    assert await peer.frame() == Got("pong", b"between")
    for part in parts[1:-1]:
        await peer.send_raw(client_frame(CONT, part, fin=False))
    await peer.send_raw(client_frame(CONT, parts[-1]))
    assert await peer.frame() == Got("text", text)
    # Each fragment counts against idle.
    assert len(ws.host.log.of("heard")) == 1 + len(parts) - 1


async def test_bad_text_ends_at_the_fragment_that_makes_it_bad(ws: Stage) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(TEXT, b"good \xc3", fin=False))
    await peer.send_raw(client_frame(CONT, b"\x28", fin=False))
    assert first_code(await read_to_end(peer)) == 1007


async def test_the_limit_is_the_whole_messages(ws: Stage) -> None:
    ws.host.max_message_bytes = 1000
    peer = await ws.connect()
    for size, fin in ((600, False), (400, True)):
        opcode = CONT if fin else BINARY
        await peer.send_raw(client_frame(opcode, b"x" * size, fin=fin))
    assert await peer.frame() == Got("binary", b"x" * 1000)
    await peer.send_raw(client_frame(BINARY, b"x" * 600, fin=False))
    await peer.send_raw(client_frame(CONT, b"x" * 401))
    assert first_code(await read_to_end(peer)) == 1009


@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_fragments_of_a_message_are_bounded(ws: Stage, payload: bytes) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(BINARY, payload, fin=False))
    rest = client_frame(CONT, payload, fin=False) * 4094 + client_frame(CONT, payload)
    await peer.send_raw(rest)
    assert await peer.frame() == Got("binary", payload * 4096)
    await peer.send_raw(client_frame(BINARY, payload, fin=False))
    await peer.send_raw(client_frame(CONT, payload, fin=False) * 100_000)
    assert first_code(await read_to_end(peer)) == 1009
    assert ws.stream.unfinished.held == 0


async def test_an_empty_fragment_has_a_deadline(
    ws: Stage, timers: ManualTimers
) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(TEXT, b"", fin=False))
    await ws.host.log.until("heard")
    await ws.settle()
    timers.advance(ws.host.timeouts.message)
    assert first_code(await read_to_end(peer)) == 1008


async def test_fragments_are_held_in_the_pool(ws: Stage) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(BINARY, b"x" * 1000, fin=False))
    await ws.host.log.until("heard")
    await ws.settle()
    assert ws.stream.unfinished.held == 1000
    await peer.send_raw(client_frame(CONT, b"x" * 500)[:100])
    await ws.settle()
    assert ws.stream.unfinished.held == 1100
    peer.drop()
    await ws.host.log.until("closed")
    assert ws.stream.unfinished.held == 0


# -------------------------------------------------------------------- deflate


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    packed = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(b"\x00\x00\xff\xff")


@pytest.fixture
async def deflating(host: EchoHost) -> AsyncIterator[Stage]:
    transport = WebSocketTransport(port=0, deflate=Deflate(min_bytes=1_000_000))

    async def connect() -> WebSocketPeer:
        return await WebSocketPeer.open(
            transport.port, "Sec-WebSocket-Extensions: permessage-deflate", tls=None
        )

    async with running((transport, connect), host) as stage:
        yield stage


async def test_a_compressed_message_is_inflated(deflating: Stage) -> None:
    peer = await deflating.connect()
    for word in (b"one " * 100, b"two " * 100):
        packed = deflated(word)
        await peer.send_raw(client_frame(TEXT, packed, rsv=4))
        assert await peer.frame() == Got("text", word)
    half = len(packed) // 2
    await peer.send_raw(client_frame(TEXT, packed[:half], rsv=4, fin=False))
    await peer.send_raw(client_frame(CONT, packed[half:]))
    assert await peer.frame() == Got("text", word)


@pytest.mark.parametrize("pieces", [1, 4000])
async def test_a_deflate_bomb_is_stopped_at_the_limit(
    deflating: Stage, pieces: int
) -> None:
    bomb = deflated(b"\x00" * 50_000_000)
    deflating.host.max_message_bytes = 64 * 1024
    peer = await deflating.connect()
    size = -(-len(bomb) // pieces)
    parts = [bomb[start : start + size] for start in range(0, len(bomb), size)]
    last = len(parts) - 1
    raw = b"".join(
        client_frame(CONT if n else TEXT, part, rsv=0 if n else 4, fin=n == last)
        for n, part in enumerate(parts)
    )
    tracemalloc.start()
    await peer.send_raw(raw)
    assert first_code(await read_to_end(peer)) == 1009
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000 + 2 * len(raw)


async def test_nothing_is_inflated_that_was_not_agreed(ws: Stage) -> None:
    peer = await ws.connect()
    await peer.send_raw(client_frame(TEXT, deflated(b"x"), rsv=4))
    assert first_code(await read_to_end(peer)) == 1002


# --------------------------------------------------------------------- bounds


async def test_bounds_can_be_chosen(host: EchoHost) -> None:
    bounds = InboundBounds(max_fragments=2, control_frames_per_second=1)
    transport = WebSocketTransport(port=0, bounds=bounds)

    async def connect() -> WebSocketPeer:
        return await WebSocketPeer.open(transport.port, tls=None)

    async with running((transport, connect), host) as stage:
        peer = await stage.connect()
        await peer.send_raw(client_frame(TEXT, b"", fin=False))
        await peer.send_raw(client_frame(CONT, b"", fin=False))
        assert first_code(await read_to_end(peer)) == 1009
        peer = await stage.connect()
        await peer.send_raw(client_frame(PING, b"") * 2)
        frames = await read_to_end(peer)
        assert [frame.kind for frame in frames] == ["pong", "close"]


async def test_a_flood_of_pings_costs_no_memory(ws: Stage) -> None:
    peer = await ws.connect()
    await ws.host.log.until("open")
    flood = client_frame(PING, b"x" * 125) * 20_000
    tracemalloc.start()
    await peer.send_raw(flood)
    await ws.host.log.until("closed")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    assert len(ws.host.log.of("control")) == 100


async def test_a_whole_message_that_waits_for_its_turn_has_no_deadline(
    ws: Stage, timers: ManualTimers
) -> None:
    peer, link = await ws.open_link()
    message = peer.framed("text", b"a message")
    link.data_received(message[:3])
    assert ws.stream.unfinished.held == 3
    # Others have taken all that this turn has.
    while ws.stream.turns.take_text():
        pass
    link.data_received(message[3:])
    assert link.is_behind()
    assert ws.stream.unfinished.held == 0
    timers.advance(60.0)
    await ws.host.log.until("text")
    assert not link.is_behind()
    assert not ws.host.log.of("closed")
