from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.errors import Malformed, ProtocolError
from wsprism_core.protocol.hotframe import (
    HotFrame,
    decode_hot_frame,
    decode_outbound_hot_frame,
    encode_hot_frame,
)
from wsprism_core.protocol.layout import HOT_HEADER_FIELDS, ErrorCode, HotFlag

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "hotframe.json").read_text()
)
DECODERS = {"inbound": decode_hot_frame, "outbound": decode_outbound_hot_frame}
ROWS = [
    pytest.param(direction, row, id=f"{direction}: {row['name']}")
    for direction in DECODERS
    for row in VECTORS[direction]
]

u8 = st.integers(0, 2**8 - 1)
u32 = st.integers(0, 2**32 - 1)
maybe_u32 = st.none() | u32
#: Bytes that often are a frame: version, numbers, a flag byte of few bits, fields.
nearly_frames = st.builds(
    lambda head, flags, rest: bytes([1, *head, flags]) + rest,
    st.binary(min_size=2, max_size=2),
    st.integers(0, 31),
    st.binary(max_size=20),
)


@pytest.mark.parametrize(("direction", "row"), ROWS)
def test_vector(direction: str, row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"])
    if "error" in row:
        with pytest.raises(ProtocolError) as caught:
            DECODERS[direction](data)
        error = caught.value
        assert row["error"] == {
            "code": error.code,
            "strike": error.strike,
            "ref": error.ref,
        }
        return
    expected = dict(row["frame"])
    payload = bytes.fromhex(expected.pop("payload"))
    frame = HotFrame(payload=payload, **expected)
    assert DECODERS[direction](data) == frame
    assert encoded(frame) == data


def encoded(frame: HotFrame) -> bytes:
    return encode_hot_frame(
        frame.svc_id,
        frame.opcode,
        frame.payload,
        seq=frame.seq,
        ack_requested=frame.ack_requested,
        alias=frame.alias,
        sender=frame.sender,
    )


@given(u8, u8, st.binary(max_size=64), maybe_u32, st.booleans(), maybe_u32, maybe_u32)
def test_round_trip(
    svc_id: int,
    opcode: int,
    payload: bytes,
    seq: int | None,
    ack: bool,
    alias: int | None,
    sender: int | None,
) -> None:
    ack = ack and seq is not None
    data = encode_hot_frame(
        svc_id,
        opcode,
        payload,
        seq=seq,
        ack_requested=ack,
        alias=alias,
        sender=sender,
    )
    flags = (
        (HotFlag.SEQ if seq is not None else 0)
        | (HotFlag.ACK_REQUESTED if ack else 0)
        | (HotFlag.ROOM if alias is not None else 0)
        | (HotFlag.SENDER if sender is not None else 0)
    )
    frame = decode_outbound_hot_frame(data)
    assert frame == HotFrame(svc_id, opcode, flags, payload, seq, alias, sender)
    assert frame.ack_requested is ack
    if sender is None:
        assert decode_hot_frame(data) == frame


@given(st.binary(max_size=32) | nearly_frames)
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for decode in DECODERS.values():
        try:
            frame = decode(data)
        except ProtocolError:
            continue
        assert encoded(frame) == data
        assert frame.room is None


@given(u8, nearly_frames)
def test_version_is_checked_before_everything_else(v: int, data: bytes) -> None:
    for size in range(1, len(data) + 1):
        changed = bytes([v]) + data[1:size]
        try:
            decode_hot_frame(changed)
            code = None
        except ProtocolError as error:
            code = error.code
        assert (code is ErrorCode.UNSUPPORTED_VERSION) == (v != 1)


def test_header_follows_the_layout() -> None:
    values = {"seq": 0x11111111, "room": 0x22222222, "sender": 0x33333333}
    data = encode_hot_frame(
        5,
        6,
        b"!",
        seq=values["seq"],
        alias=values["room"],
        sender=values["sender"],
    )
    optional = [field.name for field in HOT_HEADER_FIELDS if field.flag is not None]
    expected = b"".join(values[name].to_bytes(4, "little") for name in optional)
    assert data == bytes([1, 5, 6, 0x0D]) + expected + b"!"


@pytest.mark.parametrize(
    "fields",
    [
        {"svc_id": 256},
        {"svc_id": -1},
        {"opcode": 256},
        {"seq": 2**32},
        {"seq": -1},
        {"alias": 2**32},
        {"sender": 2**32},
        {"ack_requested": True},
    ],
    ids=str,
)
def test_what_does_not_fit_is_not_encoded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fit|seq"):
        encode_hot_frame(**{"svc_id": 1, "opcode": 1, "payload": b"", **fields})


def test_only_a_short_frame_is_a_strike() -> None:
    with pytest.raises(Malformed):
        decode_hot_frame(bytes.fromhex("01010101"))
    with pytest.raises(ProtocolError) as caught:
        decode_hot_frame(bytes.fromhex("0101010801000000"))
    assert not caught.value.strike
