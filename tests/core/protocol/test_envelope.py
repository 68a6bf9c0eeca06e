from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.codecs import JSON, MSGPACK, JsonCodec, MsgpackCodec
from wsprism_core.protocol.envelope import (
    Envelope,
    decode_json,
    decode_msgpack,
    decode_outbound_json,
    decode_outbound_msgpack,
    inbound,
    is_binary_envelope,
    outbound,
)
from wsprism_core.protocol.errors import Malformed, ProtocolError
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.protocol.layout import (
    ENVELOPE_FIELDS,
    MAX_SAFE_INTEGER,
    EnvelopeFlag,
    ErrorCode,
)

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "envelope.json").read_text()
)
DECODERS = {"json": decode_json, "msgpack": decode_msgpack}
OUTBOUND_DECODERS = {"json": decode_outbound_json, "msgpack": decode_outbound_msgpack}
WAYS: list[
    tuple[
        JsonCodec | MsgpackCodec,
        Callable[[bytes], Envelope],
        Callable[[bytes], dict[str, Any]],
    ]
] = [
    (JSON, decode_json, decode_outbound_json),
    (MSGPACK, decode_msgpack, decode_outbound_msgpack),
]

names = st.text(max_size=8)
rooms = st.from_regex(r"[A-Za-z0-9_.:@-]{1,128}", fullmatch=True)
sequences = st.integers(0, MAX_SAFE_INTEGER)
datas = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
#: Objects with the right names and often the wrong values.
nearly_envelopes = st.fixed_dictionaries(
    {},
    optional={
        "v": st.sampled_from([1, 1, 1, 1, 0, 2, True, 1.0, None, "1"]),
        "svc": names | st.just("chat") | st.none(),
        "type": names | st.just("send") | st.integers(-9, 9),
        "room": rooms | st.text(max_size=3) | st.none(),
        "seq": sequences | st.integers(-2, 2**64 - 1) | st.sampled_from([None, 1.0]),
        "flags": st.integers(0, 7) | st.integers(-1, 2**33) | st.none(),
        "data": datas,
        "other": st.none(),
    },
)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{row['codec']}: {row['name']}")
        for row in VECTORS["inbound"]
    ],
)
def test_inbound_vector(row: dict[str, Any]) -> None:
    decode = DECODERS[row["codec"]]
    payload = bytes.fromhex(row["hex"])
    if "error" in row:
        with pytest.raises(ProtocolError) as caught:
            decode(payload)
        error = caught.value
        assert row["error"] == {
            "code": error.code,
            "strike": error.strike,
            "ref": error.ref,
        }
    else:
        assert decode(payload) == Envelope(**row["fields"])


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["name"]) for row in VECTORS["outbound"]]
)
def test_outbound_vector(row: dict[str, Any]) -> None:
    fields = dict(row["fields"])
    made = outbound(**{name: fields[name] for name in fields if name != "v"})
    assert list(made.items()) == list(fields.items())
    assert JSON.encode(made).hex() == row["json"]
    assert MSGPACK.encode(made).hex() == row["msgpack"]
    for codec, decode in OUTBOUND_DECODERS.items():
        assert decode(bytes.fromhex(row[codec])) == fields


@given(
    names,
    names,
    st.none() | rooms,
    st.none() | sequences,
    st.booleans(),
    datas,
)
def test_inbound_round_trip(
    svc: str, kind: str, room: str | None, seq: int | None, ack: bool, data: Any
) -> None:
    ack = ack and seq is not None
    fields = inbound(svc, kind, room=room, seq=seq, ack_requested=ack, data=data)
    flags = EnvelopeFlag.ACK_REQUESTED if ack else 0
    for codec, decode, _ in WAYS:
        envelope = decode(codec.encode(fields))
        assert envelope == Envelope(svc, kind, room, seq, flags, data)
        assert envelope.ack_requested is ack


@given(
    names,
    names,
    st.fixed_dictionaries(
        {},
        optional={
            "room": rooms,
            "seq": sequences,
            "ref": sequences,
            "ts": sequences,
            "data": datas,
            "trace_id": names,
        },
    ),
)
def test_outbound_round_trip(svc: str, kind: str, optional: dict[str, Any]) -> None:
    fields = outbound(svc, kind, **optional)
    present = {name for name, value in optional.items() if value is not None}
    assert fields.keys() == {"v", "svc", "type", *present}
    for codec, _, decode_outbound in WAYS:
        assert decode_outbound(codec.encode(fields)) == fields


def test_fields_go_out_in_one_order() -> None:
    fields = outbound("a", "b", room="r", seq=0, ref=0, ts=0, data=0, trace_id="")
    assert list(fields) == [
        *("v", "svc", "type", "room", "seq", "ref", "ts", "data", "trace_id")
    ]
    assert set(fields) == {field.name for field in ENVELOPE_FIELDS if field.outbound}
    assert list(outbound("a", "b")) == ["v", "svc", "type"]


def test_a_client_sends_no_flags_where_it_asks_for_nothing() -> None:
    assert inbound("a", "b") == {"v": 1, "svc": "a", "type": "b"}
    assert inbound("a", "b", seq=0, ack_requested=True)["flags"] == 4


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(payload: bytes) -> None:
    for _, decode, decode_outbound in WAYS:
        for take in (decode, decode_outbound):
            try:
                take(payload)
            except ProtocolError:
                pass


@given(nearly_envelopes)
def test_both_codecs_judge_alike_and_whatever_decodes_goes_out_in_both(
    fields: dict[str, Any],
) -> None:
    verdicts = []
    for codec, decode, _ in WAYS:
        try:
            verdict: Any = decode(codec.encode(fields))
        except ProtocolError as error:
            verdict = (error.code, error.strike, error.ref, error.msg)
        verdicts.append(verdict)
    assert verdicts[0] == verdicts[1]
    if isinstance(envelope := verdicts[0], Envelope):
        relayed = outbound(
            envelope.svc,
            envelope.type,
            room=envelope.room,
            ref=envelope.seq,
            data={"message": envelope.data},
        )
        for codec, _, decode_outbound in WAYS:
            assert decode_outbound(codec.encode(relayed)) == relayed


@given(nearly_envelopes)
def test_the_rules_one_by_one(fields: dict[str, Any]) -> None:
    """The order of the rules, said a second time and more slowly."""

    def integer(name: str, most: int) -> bool:
        value = fields.get(name, 0)
        return type(value) is int and 0 <= value <= most

    ref = fields.get("seq") if integer("seq", MAX_SAFE_INTEGER) else None
    expected: tuple[ErrorCode, bool] | None = None
    bad = ErrorCode.BAD_REQUEST
    if type(fields.get("v", 1)) is not int:
        expected = (bad, True)
    elif fields.get("v", 1) != 1:
        expected = (ErrorCode.UNSUPPORTED_VERSION, False)
    elif (
        "other" in fields
        or not isinstance(fields.get("svc"), str)
        or not isinstance(fields.get("type"), str)
        or not isinstance(fields.get("room", ""), str)
        or not integer("seq", MAX_SAFE_INTEGER)
        or not integer("flags", 2**32 - 1)
    ):
        expected = (bad, True)
    elif "room" in fields and not (
        1 <= len(fields["room"]) <= 128
        and set(fields["room"])
        <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:@-")
    ):
        expected = (bad, False)
    elif fields.get("flags", 0) & 4 and "seq" not in fields:
        expected = (bad, False)

    if expected is None:
        assert decode_json(JSON.encode(fields)).svc == fields["svc"]
        return
    with pytest.raises(ProtocolError) as caught:
        decode_json(JSON.encode(fields))
    error = caught.value
    assert (error.code, error.strike, error.ref) == (*expected, ref)


@pytest.mark.parametrize(
    "name", ["a\r\nb", "\x1b[31m", "\0", "x" * 100_000, "\u202e", "'\"", "__proto__"]
)
def test_an_error_names_no_field_in_a_way_that_harms_a_log(name: str) -> None:
    for codec, decode, _ in WAYS:
        with pytest.raises(Malformed, match="unknown field") as caught:
            decode(codec.encode({"svc": "a", "type": "b", name: 1}))
        msg = caught.value.msg
        assert msg.isascii()
        assert msg.isprintable()
        assert len(msg) <= 400


def test_two_hundred_thousand_unknown_fields_are_one_error() -> None:
    fields = {f"k{number}": number for number in range(200_000)}
    with pytest.raises(Malformed, match="unknown field 'k0'"):
        decode_json(JSON.encode(fields))


def test_a_newer_gateway_may_add_fields() -> None:
    fields = {"v": 1, "svc": "sys", "type": "authed", "shard": 7}
    for codec, _, decode_outbound in WAYS:
        assert decode_outbound(codec.encode(fields)) == fields


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"v": 2, "svc": "a", "type": "b"}, ErrorCode.UNSUPPORTED_VERSION),
        ({"v": True, "svc": "a", "type": "b"}, ErrorCode.BAD_REQUEST),
        ({"v": 1, "type": "b"}, ErrorCode.BAD_REQUEST),
        ({"v": 1, "svc": "a", "type": None}, ErrorCode.BAD_REQUEST),
    ],
)
def test_a_client_refuses_what_is_no_envelope(
    fields: dict[str, Any], code: ErrorCode
) -> None:
    for codec, _, decode_outbound in WAYS:
        with pytest.raises(ProtocolError) as caught:
            decode_outbound(codec.encode(fields))
        assert caught.value.code is code
    with pytest.raises(Malformed, match="no object"):
        decode_outbound_json(b"[]")


def test_a_client_reads_what_wraps_the_deepest_message() -> None:
    deep = b'{"svc":"a","type":"b","data":' + b"[" * 127 + b"]" * 127 + b"}"
    relayed = outbound("a", "b", data={"message": decode_json(deep).data})
    for codec, _, decode_outbound in WAYS:
        assert decode_outbound(codec.encode(relayed)) == relayed


@given(st.binary(max_size=4))
def test_the_first_byte_tells_an_envelope_from_a_hot_frame(payload: bytes) -> None:
    assert is_binary_envelope(MSGPACK.encode({"a": payload.hex()}))
    assert not is_binary_envelope(encode_hot_frame(1, 1, payload))
    assert is_binary_envelope(b"\xdf" + payload)
    assert is_binary_envelope(b"\xde" + payload)
    assert not is_binary_envelope(b"")
    assert not is_binary_envelope(b"\x90" + payload)
