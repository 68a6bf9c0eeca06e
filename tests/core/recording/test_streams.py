from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core import Delivery, Inbound, Opcode, Outbound, Service
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.protocol.codecs import JSON, MSGPACK
from wsprism_core.protocol.envelope import inbound, outbound
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.realtime.lanes import DEFAULT_LANES
from wsprism_core.recording.streams import Comparison, Difference, Sent, split
from wsprism_core.transports.framed import TCP_FRAMING
from wsprism_core.transports.frames import WEBSOCKET_FRAMING

LAB = Service(
    name="lab",
    svc_id=200,
    inbound=(Inbound(name="ask"), Inbound(name="dig", lane="bulk")),
    outbound=(
        Outbound(name="said"),
        Outbound(name="tick", lane="market", delivery=Delivery.LATEST),
    ),
    opcodes=(
        Opcode(number=1, name="MOVE", lane="realtime"),
        Opcode(number=2, name="DUMP", lane="bulk"),
    ),
)
LANES = tuple(lane.name for lane in DEFAULT_LANES)
kinds = st.sampled_from(["text", "binary", "ping", "pong"])


def frame(framing: Any, sent: Sent) -> bytes:
    framed: bytes = getattr(framing, sent.kind)(sent.payload)
    return framed


@given(st.lists(st.builds(Sent, kinds, st.binary(max_size=200))))
@pytest.mark.parametrize("framing", [WEBSOCKET_FRAMING, TCP_FRAMING])
def test_what_was_joined_is_split(framing: Any, several: list[Sent]) -> None:
    data = b"".join(frame(framing, sent) for sent in several)
    assert list(split(framing.name, data)) == several


@pytest.mark.parametrize("framing", [WEBSOCKET_FRAMING, TCP_FRAMING])
@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536])
def test_every_length_of_a_header(framing: Any, size: int) -> None:
    sent = Sent("binary", bytes(size))
    assert list(split(framing.name, frame(framing, sent) * 2)) == [sent, sent]


@pytest.mark.parametrize("data", [b"\x81", b"\x83\x00", b"\x00\x00\x00"])
@pytest.mark.parametrize("framing", ["websocket", "tcp"])
def test_what_is_no_frame_is_refused(framing: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="no frame at 0"):
        list(split(framing, data))


def text(svc: str, type: str, **fields: Any) -> Sent:
    return Sent("text", JSON.encode(outbound(svc, type, **fields)))


def packed(svc: str, type: str, **fields: Any) -> Sent:
    return Sent("binary", MSGPACK.encode(outbound(svc, type, **fields)))


def hot(opcode: int, seq: int | None = None) -> Sent:
    return Sent("binary", encode_hot_frame(200, opcode, b"x", seq=seq))


class Two:
    """A comparison of one session, over WebSocket."""

    def __init__(self) -> None:
        self.both = Comparison(Catalog([LAB], DEFAULT_LANES), LANES)
        self.both.open(1, "websocket", "1", "user:ann")

    def asks(self, payload: bytes, *, is_text: bool = True) -> None:
        self.both.heard(1, payload, is_text=is_text)

    def turn(self, at: float, expected: list[Sent], got: list[Sent]) -> None:
        for sent in expected:
            self.both.expect(1, frame(WEBSOCKET_FRAMING, sent))
        for sent in got:
            self.both.got(1, frame(WEBSOCKET_FRAMING, sent))
        self.both.settle(at)

    def first(self) -> Difference | None:
        self.both.finish()
        return self.both.first

    def lane_of(self, sent: Sent) -> str:
        """Return the lane in which a message is missed."""
        self.turn(1.0, [sent], [])
        missed = self.first()
        assert missed is not None
        return missed.lane


@pytest.mark.parametrize(
    ("sent", "lane"),
    [
        (text("lab", "said"), "interactive"),
        (packed("lab", "tick"), "market"),
        (text("lab", "said", ref=1), "interactive"),
        (text("lab", "said", ref=2), "bulk"),
        (text("sys", "ack", ref=2), "bulk"),
        (packed("sys", "error", ref=2), "bulk"),
        (text("sys", "error", ref=3), "realtime"),
        (text("sys", "error", ref=4), "control"),
        (text("sys", "error", ref=5), "control"),
        (text("sys", "error"), "answers"),
        (text("sys", "error", ref=99), "answers"),
        (text("sys", "pong", ref=2), "control"),
        (text("sys", "lost", data={"lane": "bulk"}), "bulk"),
        (text("room", "members", ref=2), "interactive"),
        (text("room", "presence"), "interactive"),
        (text("lab", "unknown"), "answers"),
        (hot(1), "realtime"),
        (hot(2), "bulk"),
        (hot(0, 3), "realtime"),
        (hot(0, 98), "answers"),
        (hot(77), "answers"),
        (Sent("ping", b""), "control"),
        (Sent("pong", b"x"), "control"),
        (Sent("text", b"{"), "control"),
    ],
)
def test_the_lane_of_a_message(sent: Sent, lane: str) -> None:
    two = Two()
    two.asks(JSON.encode(inbound("lab", "ask", seq=1)))
    two.asks(MSGPACK.encode(inbound("lab", "dig", seq=2)), is_text=False)
    two.asks(encode_hot_frame(200, 1, b"", seq=3), is_text=False)
    two.asks(JSON.encode({"svc": "lab", "type": "ask", "seq": 4, "wrong": 1}))
    two.asks(JSON.encode(inbound("sys", "ping", seq=5)))
    assert two.lane_of(sent) == lane


def test_each_lane_is_compared_by_itself() -> None:
    two = Two()
    two.turn(1.0, [hot(1), text("lab", "said", data=1)], [])
    two.turn(2.0, [], [text("lab", "said", data=1), hot(1)])
    assert two.first() is None
    assert two.both.messages == 2


def test_the_earliest_difference_is_told() -> None:
    two = Two()
    two.turn(1.0, [text("lab", "said", data=0)], [text("lab", "said", data=0)])
    two.turn(2.0, [text("lab", "said", data=1)], [])
    two.turn(3.0, [hot(1)], [hot(2)])
    two.turn(4.0, [], [hot(2), hot(1)])
    assert two.first() == Difference(
        at=2.0,
        session="1",
        user="user:ann",
        lane="interactive",
        index=1,
        expected='{"v":1,"svc":"lab","type":"said","data":1}',
        got=None,
    )
    assert two.both.differing == 2


def test_behind_a_difference_a_lane_is_left_alone() -> None:
    two = Two()
    two.turn(1.0, [text("lab", "said", data=1)], [text("lab", "said", data=2)])
    for at in range(2, 50):
        two.turn(float(at), [text("lab", "said", data=at)], [])
    first = two.first()
    assert first is not None
    assert (first.at, first.index) == (1.0, 0)
    assert two.both.differing == 1


def test_a_close_is_compared() -> None:
    two = Two()
    two.both.expect_close(1, 4001, "you read too slowly")
    two.both.got_close(1, 4001, "you read too slowly")
    two.both.settle(1.0)
    two.both.expect_close(1, 1001, "draining")
    two.both.close(1)
    two.both.settle(2.0)
    first = two.both.first
    assert first is not None
    assert (first.lane, first.expected, first.got) == (
        "control",
        "close 1001 draining",
        None,
    )


def test_what_is_said_of_nobody_is_nothing() -> None:
    two = Two()
    two.both.got(2, b"x")
    two.both.expect(2, b"x")
    two.both.heard(2, b"x", is_text=True)
    two.both.settle(1.0)
    assert two.first() is None


def test_a_long_message_is_cut() -> None:
    assert len(str(Sent("text", b"x" * 10_000))) == 503
    assert "opcode=1" in str(hot(1))
