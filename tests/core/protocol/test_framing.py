from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import CloseCode, FrameKind

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tcp.json").read_text())
LIMIT = 32

Frames = list[tuple[FrameKind, bytes]]

frames_within_limit = st.lists(
    st.tuples(st.sampled_from(FrameKind), st.binary(max_size=LIMIT)), max_size=6
)
#: Bytes that often are frames, with now and then one that is none.
nearly_streams = st.lists(
    st.builds(
        lambda length, kind, payload: length.to_bytes(4, "big") + kind + payload,
        st.integers(0, LIMIT + 3),
        st.sampled_from([b"\1", b"\2", b"\5", b"\6", b""]),
        st.binary(max_size=LIMIT),
    )
    | st.builds(encode_frame, st.sampled_from(FrameKind), st.binary(max_size=LIMIT)),
    max_size=5,
).map(b"".join)


def run(
    pieces: Iterable[bytes], max_bytes: int = LIMIT
) -> tuple[Frames, FramingError | None, FrameDecoder]:
    """Feed a stream; return its frames and the error that ended it."""
    decoder = FrameDecoder(max_bytes)
    frames: Frames = []
    for piece in pieces:
        try:
            frames += decoder.feed(piece)
        except FramingError as error:
            return frames + error.frames, error, decoder
    return frames, None, decoder


def one_by_one(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["name"]) for row in VECTORS["streams"]]
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
def test_vector(row: dict[str, Any], whole: bool) -> None:
    stream = bytes.fromhex(row["hex"])
    frames, error, decoder = run(
        [stream] if whole else one_by_one(stream), row["max_bytes"]
    )
    assert frames == [
        (FrameKind(frame["kind"]), bytes.fromhex(frame["hex"]))
        for frame in row["frames"]
    ]
    assert (error.code if error else None) == row.get("error")
    if error is None:
        assert decoder.partial is row["partial"]


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["name"]) for row in VECTORS["closes"]]
)
def test_close_vector(row: dict[str, Any]) -> None:
    payload = bytes.fromhex(row["hex"])
    if "error" in row:
        with pytest.raises(FramingError) as caught:
            decode_close(payload)
        assert caught.value.code == row["error"]
    else:
        assert decode_close(payload) == (row["code"], row["reason"])
        assert encode_close(row["code"], row["reason"]) == payload


@given(frames_within_limit)
def test_round_trip(frames: Frames) -> None:
    stream = b"".join(encode_frame(kind, payload) for kind, payload in frames)
    got, error, decoder = run([stream])
    assert (got, error, decoder.partial) == (frames, None, False)
    assert all(type(kind) is FrameKind for kind, _ in got)
    assert all(type(payload) is bytes for _, payload in got)


@given(nearly_streams | st.binary(max_size=80), st.data())
def test_how_the_stream_is_cut_makes_no_difference(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    whole_frames, whole_error, _ = run([stream])
    for way in (pieces, one_by_one(stream)):
        frames, error, _ = run(way)
        assert frames == whole_frames
        assert str(error) == str(whole_error)


@given(st.integers(0, 2**16 - 1), st.text(max_size=40))
def test_close_round_trip(code: int, reason: str) -> None:
    assert decode_close(encode_close(code, reason)) == (code, reason)


@given(st.binary(max_size=8))
def test_any_close_decodes_or_is_refused(payload: bytes) -> None:
    try:
        code, reason = decode_close(payload)
    except FramingError:
        return
    assert encode_close(code, reason) == payload


def test_frames_before_an_error_still_count() -> None:
    decoder = FrameDecoder(LIMIT)
    good = encode_frame(FrameKind.TEXT, b"{}")
    with pytest.raises(FramingError) as caught:
        decoder.feed(good + good + bytes(4))
    assert caught.value.frames == [(FrameKind.TEXT, b"{}")] * 2


def test_after_an_error_nothing_is_taken_any_more() -> None:
    decoder = FrameDecoder(LIMIT)
    with pytest.raises(FramingError):
        decoder.feed(bytes(4))
    with pytest.raises(FramingError) as caught:
        decoder.feed(encode_frame(FrameKind.TEXT, b"{}"))
    assert caught.value.frames == []


def test_a_frame_over_the_limit_goes_on_where_the_limit_is_raised() -> None:
    decoder = FrameDecoder(4)
    with pytest.raises(FramingError):
        decoder.feed(encode_frame(FrameKind.TEXT, b"12345"))
    decoder.max_bytes = 5
    assert decoder.feed(b"") == [(FrameKind.TEXT, b"12345")]


def test_the_limit_may_change_between_frames_and_within_one() -> None:
    decoder = FrameDecoder(4)
    frame = encode_frame(FrameKind.TEXT, b"12345678")
    decoder.max_bytes = 8
    assert decoder.feed(frame) == [(FrameKind.TEXT, b"12345678")]
    decoder.feed(frame[:-1])
    decoder.max_bytes = 7
    with pytest.raises(FramingError) as caught:
        decoder.feed(frame[-1:])
    assert caught.value.code == CloseCode.MESSAGE_TOO_BIG


def test_a_length_is_judged_before_the_kind_arrives() -> None:
    with pytest.raises(FramingError) as caught:
        FrameDecoder(8).feed(b"\0\0\0\x0a")
    assert str(caught.value) == "1009: a frame over 8 bytes"


def test_a_claimed_length_costs_no_memory() -> None:
    decoder = FrameDecoder(2**31)
    tracemalloc.start()
    try:
        decoder.feed(b"\x7f\xff\xff\xff\x02" + bytes(100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_one_byte_at_a_time_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        pieces = one_by_one(encode_frame(FrameKind.BINARY, bytes(size)))
        decoder = FrameDecoder(size)
        start = time.process_time()
        for piece in pieces:
            decoder.feed(piece)
        return time.process_time() - start

    small = min(seconds(20_000) for _ in range(3))
    large = min(seconds(160_000) for _ in range(3))
    # Eight times the bytes: about 8 where it is linear, 64 where it is quadratic.
    assert large / small < 24
