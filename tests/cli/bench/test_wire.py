from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from wsprism_cli.bench.wire import (
    SMALLEST,
    TIME_MASK,
    FrameReader,
    TokenCounter,
    TokenReader,
    chat_message,
    close_code,
    frame,
    history_message,
    hot_message,
    ping_message,
    token,
)
from wsprism_core.protocol.envelope import decode_json
from wsprism_core.protocol.hotframe import decode_hot_frame

numbers = st.tuples(
    st.integers(0, TIME_MASK), st.integers(0, 255), st.integers(0, 65_535)
)
#: What stands between two tokens: anything that does not end in half a mark.
between = st.binary(max_size=40).map(lambda data: data.replace(b"~", b"-"))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return data cut at some places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    ends = [*places, len(data)]
    return [data[a:b] for a, b in zip([0, *places], ends, strict=True)]


@given(
    st.lists(st.tuples(between, numbers), max_size=12),
    between,
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_tokens_are_found_however_the_bytes_come(
    sent: list[tuple[bytes, tuple[int, int, int]]], end: bytes, cuts: list[int]
) -> None:
    data = b"".join(text + token(*told) for text, told in sent) + end
    reader = TokenReader()
    found = [one for piece in pieces(data, cuts) for one in reader.feed(piece)]
    told = [(one >> 24, one >> 16 & 0xFF, one & 0xFFFF) for one in found]
    assert told == [told for _, told in sent]


def received(data: bytes) -> tuple[Opcode, bytes]:
    """Return what a server makes of a frame."""
    protocol = ServerProtocol(state=OPEN)
    protocol.receive_data(data)
    (event,) = protocol.events_received()
    assert not isinstance(event, Request)
    return event.opcode, bytes(event.data)  # type: ignore[union-attr]


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_a_server_understands_the_frames(length: int) -> None:
    payload = random.Random(length).randbytes(length)
    assert received(frame(2, payload)) == (Opcode.BINARY, payload)


@given(numbers, st.integers(SMALLEST, 300))
def test_a_chat_message_is_one(told: tuple[int, int, int], size: int) -> None:
    before, behind = chat_message("hall", size)
    opcode, payload = received(before + token(*told) + behind)
    envelope = decode_json(payload)
    assert opcode is Opcode.TEXT
    assert (envelope.svc, envelope.type, envelope.room) == ("chat", "send", "hall")
    assert envelope.data["msg"].startswith(token(*told).decode())
    assert len(envelope.data["msg"]) == size


def test_a_question_for_a_page_is_one() -> None:
    _, payload = received(history_message("hall"))
    envelope = decode_json(payload)
    assert (envelope.svc, envelope.type, envelope.room) == ("chat", "history", "hall")
    assert envelope.data == {"limit": 100}


def test_a_ping_is_one() -> None:
    before, behind = ping_message()
    _, payload = received(before + token(1, 2, 3) + behind)
    envelope = decode_json(payload)
    assert (envelope.svc, envelope.type) == ("sys", "ping")
    assert envelope.data == {"client_ts": token(1, 2, 3).decode()}


def test_an_event_is_one() -> None:
    before, behind = hot_message(2, 7, 40)
    _, payload = received(before + token(1, 2, 3) + behind)
    event = decode_hot_frame(payload)
    assert (event.svc_id, event.opcode, event.alias, event.seq) == (1, 2, 7, None)
    assert event.payload == token(1, 2, 3) + b"." * 14


def test_an_input_is_one_when_its_number_is_put_in() -> None:
    before, behind = hot_message(1, 7, SMALLEST)
    numbers = (9).to_bytes(4, "little") + (7).to_bytes(4, "little")
    _, payload = received(before + numbers + token(1, 2, 3) + behind)
    told = decode_hot_frame(payload)
    assert (told.opcode, told.seq, told.alias) == (1, 9, 7)
    assert told.payload == token(1, 2, 3)


def test_the_close_frame_at_the_end_says_why() -> None:
    close = b"\x88\x06\x0f\xa1slow"
    assert close_code(b"\x81\x01x" + close) == 4001
    assert close_code(close + b"x") is None
    assert close_code(b"") is None


def server_frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, length])
    elif length < 65_536:
        head = bytes([0x80 | opcode, 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 127]) + length.to_bytes(8, "big")
    return head + payload


#: Runs of frames: how many, of what length, and whether there are tokens in them. Those
#: with a token have other lengths than those without.
runs_of_frames = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.sampled_from([26, 60, 99, 126, 300]).map(lambda length: (length, True))
        | st.sampled_from([0, 30, 98, 200]).map(lambda length: (length, False)),
    ),
    max_size=12,
)


@given(runs_of_frames, st.lists(st.integers(0, 20_000), max_size=12), st.booleans())
def test_frames_with_a_token_are_counted_however_the_bytes_come(
    runs: list[tuple[int, tuple[int, bool]]], cuts: list[int], mixed: bool
) -> None:
    frames = []
    for count, (length, has_token) in runs:
        payload = (token(1, 2, 3) if has_token else b"").ljust(length, b".")
        frames += [(payload, has_token)] * count
    if mixed:
        random.Random(1).shuffle(frames)
    data = b"".join(server_frame(1, payload) for payload, _ in frames)
    counter = TokenCounter()
    counted = sum(counter.feed(piece) for piece in pieces(data, cuts))
    assert counted == sum(has_token for _, has_token in frames)


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 9]), st.sampled_from([0, 3, 125, 126, 70_000]))
    ),
    st.lists(st.integers(0, 300_000), max_size=8),
)
def test_frames_are_found_however_the_bytes_come(
    sent: list[tuple[int, int]], cuts: list[int]
) -> None:
    data = b"".join(server_frame(opcode, b"x" * length) for opcode, length in sent)
    reader = FrameReader()
    found = [one for piece in pieces(data, cuts) for one in reader.feed(piece)]
    assert [(opcode, len(payload)) for opcode, payload in found] == sent
    assert reader.rest() == b""


def test_bytes_that_are_held_come_first() -> None:
    reader = FrameReader()
    reader.hold(b"\x81\x02h")
    assert list(reader.feed(b"i")) == [(1, b"hi")]
