from __future__ import annotations

import enum
import tracemalloc
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgpack  # type: ignore[import-untyped]
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import scalars, values
from wsprism_core.protocol.codecs import (
    CODECS,
    JSON,
    MAX_DEPTH,
    MAX_OUTBOUND_DEPTH,
    MSGPACK,
    load_json,
    load_msgpack,
)
from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.wire import Codec


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Shape(enum.Enum):
    ROUND = "round"


@dataclass
class Point:
    x: int


#: What a service might hand over, right or wrong.
anything = st.recursive(
    scalars
    | st.sampled_from(
        [Colour.RED, Size.BIG, Shape.ROUND, Point(1), uuid.UUID(int=1), b"", object]
    )
    | st.floats()
    | st.integers()
    | st.binary(max_size=2)
    | st.text(st.characters(categories=["Cs", "Ll"]), max_size=2)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=2) | st.integers() | st.sampled_from(Colour),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
#: What MessagePack can say, much of which JSON cannot.
msgpack_values = st.recursive(
    scalars
    | st.floats()
    | st.binary(max_size=2)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=2))
    | st.builds(msgpack.Timestamp, st.integers(0, 2**32)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=2) | st.integers(0, 3) | st.binary(max_size=1),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
#: Heads that claim and nest, floats, and a little of everything else.
msgpack_noise = st.lists(
    st.sampled_from(
        [
            *(b"\x81\xa1a", b"\x91", b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x01"),
            *(b"\xcb\x7f\xf8" + bytes(6), b"\xc4\x00", b"\xd6\xff" + bytes(4)),
            *(b"\xc0", b"\xc1", b"\xa1\xff", b"\x01", b"\x90", b"\xc7\x00\x01"),
            b"\xdf\xff\xff\xff\xff",
        ]
    )
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)
json_noise = st.lists(
    st.sampled_from([*'{}[]",:0-1.e\\ ', "null", "true", "NaN", '"a":', "\\ud800"]),
    max_size=16,
).map(lambda parts: "".join(parts).encode())


def array(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def is_log_safe(error: Malformed) -> bool:
    """Whether it is one short line of ASCII, whatever the client sent."""
    return error.msg.isascii() and error.msg.isprintable() and len(error.msg) <= 120


def check_decodes_and_encodes(load: Callable[[bytes], Any], payload: bytes) -> None:
    """Check that bytes are refused, or make a value that both codecs carry."""
    try:
        value = load(payload)
    except Malformed as error:
        value = error
    if isinstance(value, Malformed):
        assert value.code is ErrorCode.BAD_REQUEST
        assert is_log_safe(value)
    else:
        assert load_json(JSON.encode({"data": value})) == {"data": value}
        assert load_msgpack(MSGPACK.encode({"data": value})) == {"data": value}


def test_codecs_by_name() -> None:
    codecs: dict[str, Codec] = dict(CODECS)  # they fit the port of the encoder
    assert codecs == {"json": JSON, "msgpack": MSGPACK}
    assert JSON.is_text
    assert not MSGPACK.is_text


@given(values)
def test_both_codecs_carry_every_value(value: Any) -> None:
    message = {"data": value}
    assert load_json(JSON.encode(message)) == message
    assert load_msgpack(MSGPACK.encode(message)) == message


@given(anything)
def test_what_one_codec_encodes_the_other_does_too_and_the_same(value: Any) -> None:
    results = []
    for codec, load in ((JSON, load_json), (MSGPACK, load_msgpack)):
        try:
            payload = codec.encode({"data": value})
        except ValueError:
            results.append(ValueError)
        else:
            results.append(load(payload))
    assert results[0] == results[1]


@given(msgpack_noise | st.binary(max_size=40) | msgpack_values.map(msgpack.packb))
def test_what_msgpack_decodes_to_encodes_in_both_codecs(payload: bytes) -> None:
    check_decodes_and_encodes(load_msgpack, payload)


@given(json_noise | st.binary(max_size=40) | values.map(orjson.dumps))
def test_what_json_decodes_to_encodes_in_both_codecs(payload: bytes) -> None:
    check_decodes_and_encodes(load_json, payload)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (" \t\r\n[ ] ", []),
        ('{"":0}', {"": 0}),
        ('{"a":1,"a":2}', {"a": 2}),
        ('{"__proto__":{}}', {"__proto__": {}}),
        ("-0", 0),
        ("-0.0", -0.0),
        ("1E+2", 100.0),
        ("1e-999", 0.0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551616", 2.0**64),
        ("0." + "9" * 1000, 1.0),
        (r'"\u0000\/\b\f\n\r\t\"\\"', '\0/\b\f\n\r\t"\\'),
        (r'"\uD834\udd1e"', "\U0001d11e"),
        ('"\u2028\ufeff\uffff\x7f"', "\u2028\ufeff\uffff\x7f"),
        ('"' + "[{" * 500 + '"', "[{" * 500),
    ],
)
def test_json_accepted(text: str, value: Any) -> None:
    result = load_json(text.encode())
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"[1 2]",
        b"[1,]",
        b"[,1]",
        b'{"a":1,}',
        b'{"a"}',
        b"{a:1}",
        b"{1:2}",
        b"'a'",
        b'"a',
        b'"\t"',
        rb'"\x41"',
        rb'"\u12"',
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        rb'{"\ud800":1}',
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"1e",
        b"0x1",
        b"1_000",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 100_000,
        b"TRUE",
        b"nul",
        b"// x\n1",
        b"1 1",
        b"{}\0",
        b"\x0c{}",
        b"\xc2\xa0{}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=lambda payload: ascii(payload[:20]),
)
def test_json_refused(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        load_json(payload)
    assert is_log_safe(caught.value)


@pytest.mark.parametrize(
    ("load", "encode"),
    [(load_json, orjson.dumps), (load_msgpack, msgpack.packb)],
    ids=["json", "msgpack"],
)
@pytest.mark.parametrize("width", [0, 1000])
def test_nesting_is_bounded(
    load: Callable[[bytes], Any], encode: Callable[[Any], bytes], width: int
) -> None:
    siblings: list[Any] = [[]] * width
    deepest = [*siblings, array(MAX_DEPTH - 1)]
    assert load(encode(deepest)) == deepest
    with pytest.raises(Malformed, match="nested deeper than 128 levels"):
        load(encode([*siblings, {"a": array(MAX_DEPTH - 1)}]))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xc1", "FormatError"),
        (b"\x91" * 2000, "StackError"),
        (b"\xa1\xff", "invalid start byte"),
        (b"\xc0\xc0", "extra data"),
        (b"\xc4\x01a", "not JSON serializable: bytes"),
        (b"\x81\x01\x01", "int is not allowed for map key"),
        (b"\xcb\x7f\xf8" + bytes(6), "not JSON compliant"),
    ],
)
def test_a_refusal_of_msgpack_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        load_msgpack(payload)
    assert is_log_safe(caught.value)


@pytest.mark.parametrize("levels", [300, 600, 2000, 100_000])
def test_nesting_beyond_what_the_libraries_bear_is_refused(levels: int) -> None:
    with pytest.raises(Malformed):
        load_msgpack(b"\x91" * levels + b"\x90")
    with pytest.raises(Malformed):
        load_json(b"[" * levels + b"]" * levels)


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_there_is_room_to_wrap_the_deepest_message(codec: Codec) -> None:
    codec.encode({"data": array(MAX_OUTBOUND_DEPTH - 1)})
    with pytest.raises(ValueError, match="Recursion limit"):
        codec.encode({"data": array(MAX_OUTBOUND_DEPTH + 10)})
    assert MAX_OUTBOUND_DEPTH - MAX_DEPTH > 100


@pytest.mark.parametrize("head", [b"\xdc\x7f\xff", b"\xdd\x00\x00\x7f\xff"])
def test_claimed_counts_allocate_nothing(head: bytes) -> None:
    # Each array claims 32,767 elements, fewer than there are bytes, and gets one.
    payload = head * 100 + b"\xc0" * 33_000
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            load_msgpack(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        [None, {"a": float("nan")}],
        2**64,
        -(2**63) - 1,
        b"bytes",
        bytearray(b"bytes"),
        {1: 2},
        {Colour.RED: 1},
        "\ud800",
        {"\ud800": 1},
        {1, 2},
        Point(1),
        datetime(2020, 1, 1, tzinfo=UTC),
        Ellipsis,
    ],
    ids=repr,
)
@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_what_cannot_be_encoded_is_a_value_error(codec: Codec, value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        codec.encode({"data": value})


@pytest.mark.parametrize(
    ("value", "sent"),
    [((1, (2,)), [1, [2]]), (Colour.RED, "red"), (Size.BIG, 3), (Shape.ROUND, "round")],
)
def test_tuples_and_enums_travel_as_plain_values(value: Any, sent: Any) -> None:
    assert load_json(JSON.encode({"data": value})) == {"data": sent}
    assert load_msgpack(MSGPACK.encode({"data": value})) == {"data": sent}


@pytest.mark.parametrize(
    "text",
    [
        "%s%n{0.__class__}${jndi:x}",
        "<script>alert(1)</script>",
        "\x1b[31mred\x1b[0m",
        "line\r\nline\u2028line\u0085",
        "\0",
        "\u202eright to left",
        "cafe\u0301",
        "\ufdd0\uffff\U0010ffff",
        "z\u0351\u036a\u0363algo" * 50,
        "'; DROP TABLE rooms; --",
    ],
)
def test_naughty_strings_come_back_as_they_were(text: str) -> None:
    message = {"data": {text: [text]}}
    assert load_json(JSON.encode(message)) == message
    assert load_msgpack(MSGPACK.encode(message)) == message
