from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator

import pytest
from websockets.frames import Frame, Opcode

from support.peers import client_frame, handshake
from wsprism_core.protocol.layout import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from wsprism_core.transports.frames import (
    WEBSOCKET_FRAMING,
    WEBSOCKET_WIRES,
    WIRE_BY_SUBPROTOCOL,
    FrameParser,
)
from wsprism_core.transports.handshake import accept_handshake, read_handshake


def shake_hands(parser: FrameParser, raw: bytes) -> None:
    found = read_handshake(parser, raw)
    assert found is not None
    accept_handshake(parser, found[0])


def opened() -> FrameParser:
    parser = FrameParser()
    shake_hands(parser, handshake())
    return parser


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
    parser = opened()
    taken: list[tuple[Opcode, bytes, int]] = []
    parser.sink = lambda frame: taken.append(
        (frame.opcode, bytes(frame.data), parser.partial)
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
    parser = opened()

    def broken(frame: Frame) -> None:
        raise RuntimeError("a bug")

    parser.sink = broken
    parser.receive_data(client_frame(1, b"one"))
    assert parser.close_sent is not None
    assert parser.close_sent.code == 1011
    assert "a bug" in caplog.text
    caplog.clear()


def test_no_ticket_reaches_the_library_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    parser = FrameParser()
    shake_hands(parser, handshake("/v1/ws?ticket=secret"))
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
