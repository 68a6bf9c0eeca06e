from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from support.peers import client_frame
from support.transport_host import EchoHost
from wsprism_core.protocol.layout import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from wsprism_core.testing.clock import VirtualClock
from wsprism_core.transports import websocket
from wsprism_core.transports.frames import (
    WEBSOCKET_FRAMING,
    WEBSOCKET_WIRES,
    WIRE_BY_SUBPROTOCOL,
    FrameParser,
    whole_message,
)
from wsprism_core.transports.handshake import Handshake
from wsprism_core.transports.port import Link, Receiver
from wsprism_core.transports.turns import ReadingTurns
from wsprism_core.transports.websocket import WebSocketLink, WebSocketTransport


def opened(sink: Callable[[Frame], None] = lambda frame: None) -> FrameParser:
    return FrameParser(sink, 1 << 20)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
    ],
)
def test_headers_of_each_length(size: int, header: str) -> None:
    payload = b"x" * size
    assert WEBSOCKET_FRAMING.text(payload) == bytes.fromhex(header) + payload


def test_headers_of_each_kind() -> None:
    assert WEBSOCKET_FRAMING.binary(b"ab") == b"\x82\x02ab"
    assert WEBSOCKET_FRAMING.ping(b"ab") == b"\x89\x02ab"
    assert WEBSOCKET_FRAMING.pong(b"ab") == b"\x8a\x02ab"


def test_wires_are_made_once() -> None:
    assert WIRE_BY_SUBPROTOCOL[None] is WEBSOCKET_WIRES["json"]
    assert WIRE_BY_SUBPROTOCOL[SUBPROTOCOL_JSON] is WEBSOCKET_WIRES["json"]
    assert WIRE_BY_SUBPROTOCOL[SUBPROTOCOL_MSGPACK] is WEBSOCKET_WIRES["msgpack"]
    wire = WEBSOCKET_WIRES["msgpack"]
    assert wire.frame_text(b"\x80") == b"\x82\x01\x80"


def test_frames_are_handed_over_one_by_one() -> None:
    taken: list[tuple[Opcode, bytes, int]] = []
    parser = opened(
        lambda frame: taken.append((frame.opcode, bytes(frame.data), parser.partial))
    )
    first, second = client_frame(1, b"one"), client_frame(9, b"two")
    parser.receive_data(first + second[:3])
    parser.receive_data(second[3:])
    assert taken == [(Opcode.TEXT, b"one", 3), (Opcode.PING, b"two", 0)]
    assert parser.events_received() == []
    # A ping is the link's to answer.
    assert parser.data_to_send() == []


def test_bytes_of_a_partial_frame_are_counted() -> None:
    parser = opened()
    assert parser.partial == 0
    whole = client_frame(2, b"x" * 1000)
    for end in (1, 2, 3, 500):
        parser.receive_data(whole[parser.partial : end])
        assert parser.partial == end
    parser.receive_data(whole[500:] + whole[:10])
    assert parser.partial == 10


def test_a_sink_that_raises_fails_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(frame: Frame) -> None:
        raise RuntimeError("a bug")

    parser = opened(broken)
    parser.receive_data(client_frame(1, b"one"))
    assert parser.close_sent is not None
    assert parser.close_sent.code == 1011
    assert "a bug" in caplog.text
    caplog.clear()


def test_no_message_reaches_the_library_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    parser = opened()
    parser.receive_data(client_frame(1, b"secret"))
    parser.dispose()
    assert caplog.text == ""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(client_frame(1, b"x")[:3], id="half a frame"),
        pytest.param(client_frame(8, b""), id="a close"),
        pytest.param(client_frame(3, b""), id="a protocol error"),
        pytest.param(client_frame(1, b"x", fin=False), id="half a message"),
    ],
)
def test_a_parser_is_freed_without_the_collector(data: bytes) -> None:
    parser = opened()
    parser.sink = parser.__repr__  # type: ignore[assignment]  # a cycle
    parser.sink = None if not data else lambda frame: None
    parser.receive_data(data)
    gone = weakref.ref(parser)
    parser.dispose()
    del parser
    assert gone() is None


# ------------------------------------------------------------ whole messages, skimmed


class Quiet:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.heard_of: list[tuple[object, ...]] = []

    def text(self, payload: bytes) -> None:
        self.heard_of.append(("text", payload))

    def binary(self, payload: bytes) -> None:
        self.heard_of.append(("binary", payload))

    def heard(self) -> None:
        """A fragment or a ping; which of them the parser saw is nobody's business."""

    def pong(self) -> None:
        self.heard_of.append(("pong",))

    def control(self, data: bytes) -> None:
        self.heard_of.append(("control", data))

    def pause(self) -> None:
        raise AssertionError

    def resume(self) -> None:
        raise AssertionError

    def closed(self, code: int, reason: str) -> None:
        self.heard_of.append(("closed", code))


class NoSocket(asyncio.Transport):
    """Takes everything and says nothing."""

    def write(self, data: object) -> None:
        """Forget it."""

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Forget it."""

    def close(self) -> None:
        """Forget it."""

    def set_protocol(self, protocol: object) -> None:
        """Forget it."""

    def resume_reading(self) -> None:
        """Forget it."""

    def pause_reading(self) -> None:
        """Forget it."""


def hear(chunks: list[bytes], *, limit: int, skims: bool) -> list[tuple[object, ...]]:
    """Return what a receiver is told of bytes that come in these pieces."""
    home = WebSocketTransport()
    home.host = EchoHost()
    home.host.after = lambda seconds, work: VirtualClock().after(seconds, work)  # type: ignore[method-assign]
    soon: deque[Callable[[], None]] = deque()
    home.loop = cast(
        "asyncio.AbstractEventLoop",
        SimpleNamespace(time=lambda: 0.0, call_soon=soon.append),
    )
    home.turns = ReadingTurns(home.loop)
    link = WebSocketLink(home, Handshake(b"", None, ()))
    receiver = Quiet()

    class Leave:
        max_message_bytes = limit

        def open(self, link: Link) -> Receiver:
            return receiver

        def release(self) -> None:
            raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        if not skims:
            patch.setattr(websocket, "whole_message", lambda *args: None)
            patch.setattr(websocket, "may_become_whole", lambda *args: False)
        link.take_over(NoSocket(), b"", Leave(), b"")
        for chunk in chunks:
            link.data_received(chunk)
            while soon:
                soon.popleft()()
    link.connection_lost(None)
    return receiver.heard_of


payloads = st.one_of(st.binary(max_size=140), st.text(max_size=140).map(str.encode))
frames = st.one_of(
    st.builds(client_frame, st.sampled_from([1, 2]), payloads),
    st.builds(client_frame, st.sampled_from([0, 1, 2, 3, 8, 9, 10]), payloads),
    st.builds(client_frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans()),
    st.builds(client_frame, st.just(1), payloads, rsv=st.sampled_from([1, 2, 4])),
    st.binary(max_size=6),
)


@settings(max_examples=300)
@given(
    pieces=st.lists(frames, max_size=8),
    cuts=st.lists(st.integers(0, 600), max_size=6),
    limit=st.sampled_from([10, 125, 126, 1_000]),
)
def test_what_is_skimmed_is_what_the_parser_would_have_said(
    pieces: list[bytes], cuts: list[int], limit: int
) -> None:
    data = b"".join(pieces)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(places) if a < b]
    skimmed = hear(chunks, limit=limit, skims=True)
    assert skimmed == hear(chunks, limit=limit, skims=False)


def test_whole_messages_never_reach_the_parser() -> None:
    data = client_frame(1, b"{}") + client_frame(2, b"x" * 60_000)
    assert whole_message(data, 0, 65_536) == (Opcode.TEXT, b"{}", 8)
    found = whole_message(data, 8, 65_536)
    assert found == (Opcode.BINARY, b"x" * 60_000, len(data))
    pong = client_frame(10, b"beat")
    assert whole_message(pong, 0, 65_536) == (Opcode.PONG, b"beat", len(pong))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        b"\x81\x02hi",
        client_frame(1, b"hello")[:-1],
        client_frame(1, b"x" * 70_000),
        client_frame(1, b"x" * 101),
        client_frame(9, b""),
        client_frame(1, b"x", fin=False),
        client_frame(1, b"x", rsv=4),
    ],
    # Masks are random, and would be in the names.
    ids=range(9),
)
def test_anything_else_is_for_the_parser(data: bytes) -> None:
    assert whole_message(data, 0, 100) is None


def test_a_long_pong_is_for_the_parser_to_refuse() -> None:
    assert whole_message(client_frame(10, b"x" * 126), 0, 1_000) is None
