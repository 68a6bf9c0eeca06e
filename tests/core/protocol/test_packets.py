from __future__ import annotations

import copy
import inspect
import json
import pickle
import struct
import sys
from enum import IntFlag
from pathlib import Path
from types import new_class
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.fields import (
    SCALARS,
    Field,
    array,
    bitmask,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    optional,
    scaled,
    u8,
    u16,
    u32,
    u64,
)
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.protocol.packets import Packet

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "packets.json").read_text()
)


class Buttons(IntFlag):
    JUMP = 1
    FIRE = 2
    CROUCH = 4


class Flags(IntFlag):
    HALTED = 1
    LAST = 2**63


class Ready(Packet):
    """No bytes at all."""


class Scalars(Packet):
    a_u8: int = u8()
    a_u16: int = u16()
    a_u32: int = u32()
    a_u64: int = u64()
    a_i8: int = i8()
    a_i16: int = i16()
    a_i32: int = i32()
    a_i64: int = i64()
    a_f32: float = f32()
    a_f64: float = f64()


class Move(Packet):
    tick: int = u32()
    x: int = scaled(i32(), places=3)
    heading: float = f32()
    buttons: int = bitmask(u8(), Buttons)
    path: tuple[int, ...] = array(u16(), 4)
    boost: int | None = optional(u8(), default=None)
    spin: int | None = optional(scaled(i16(), places=1), default=None)


class Quote(Packet):
    price: int = scaled(i64(), places=8)
    volumes: tuple[int, ...] = array(scaled(u64(), places=2), 2)
    flags: int = bitmask(u64(), Flags)
    greeks: tuple[float, ...] = array(f64(), 2)
    levels: tuple[int, ...] | None = optional(
        array(scaled(i8(), places=1), 3), default=None
    )


PACKETS: dict[str, type[Packet]] = {
    packet.__name__: packet for packet in (Ready, Scalars, Move, Quote)
}
MOVE_HEX = "07000000 dc050000 0000003f 03 0100 0200 0300 ffff"


def move(**changes: Any) -> Move:
    values = {"tick": 7, "x": 1500, "heading": 0.5, "buttons": 3}
    return Move(**{**values, "path": (1, 2, 3, 65535), **changes})


def rows(group: str) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in VECTORS[group]]


def packet_of(row: dict[str, Any]) -> Packet:
    """Build a row's packet; integers of 64 bits stand in it as text."""
    cls = PACKETS[row["packet"]]

    def value(field: Field, item: Any) -> Any:
        if isinstance(item, list):
            return tuple(value(field, each) for each in item)
        is_text = isinstance(item, str) and field.type in {"u64", "i64"}
        return int(item) if is_text else item

    return cls(
        **{key: value(cls.fields[key], row["values"][key]) for key in cls.fields}
    )


# The vectors


@pytest.mark.parametrize("name", PACKETS)
def test_declarations_are_those_of_the_vectors(name: str) -> None:
    def as_data(key: str, field: Field) -> dict[str, Any]:
        row: dict[str, Any] = {"name": key, "type": field.type}
        if field.bits is not None:
            wide = field.scalar.size == 8
            row["bits"] = {
                bit: str(value) if wide and value > 2**53 else value
                for bit, value in field.bits.items()
            }
        extra = {"places": field.places, "count": field.count}
        row |= {word: item for word, item in extra.items() if item is not None}
        return row | ({"optional": True} if field.optional else {})

    declared = [as_data(key, field) for key, field in PACKETS[name].fields.items()]
    assert declared == VECTORS["packets"][name]


@pytest.mark.parametrize("row", rows("valid"))
def test_vector(row: dict[str, Any]) -> None:
    payload = bytes.fromhex(row["hex"])
    packet = packet_of(row)
    assert packet.pack() == payload
    assert type(packet).unpack(payload) == packet


@pytest.mark.parametrize("row", rows("unreadable"))
def test_unreadable_vector(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=row["packet"]) as caught:
        PACKETS[row["packet"]].unpack(bytes.fromhex(row["hex"]))
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert caught.value.strike


@pytest.mark.parametrize("row", rows("unwritable"))
def test_unwritable_vector(row: dict[str, Any]) -> None:
    packet = packet_of(row)
    with pytest.raises(ValueError, match=f"^{row['names']}"):
        packet.pack()
    with pytest.raises(ValueError, match=f"^{row['names']}"):
        packet.pack_into(bytearray(100))


# Reading


def test_unpack_at_an_offset_reads_the_rest_of_the_buffer() -> None:
    frame = memoryview(bytes.fromhex("01010100" + MOVE_HEX))
    assert Move.unpack_from(frame, 4) == move()
    assert Move.unpack_from(bytearray(frame), 4) == move()


def test_unpack_with_a_length_leaves_what_follows() -> None:
    two = memoryview(move().pack() + move(tick=8, boost=1).pack())
    assert Move.unpack_from(two, 0, 21) == move()
    assert Move.unpack_from(two, 21, 22) == move(tick=8, boost=1)


@pytest.mark.parametrize(
    ("offset", "length"), [(1, 21), (0, 22), (22, 21), (0, 20), (22, None), (-22, None)]
)
def test_unpack_beyond_the_buffer_is_malformed(offset: int, length: int | None) -> None:
    with pytest.raises(Malformed):
        Move.unpack_from(move().pack(), offset, length)


def test_a_wrong_length_is_named() -> None:
    with pytest.raises(Malformed) as caught:
        Move.unpack(b"abc")
    assert caught.value.msg == "Move has 21 or 22 or 24 bytes, not 3"


def test_a_float_that_is_not_finite_is_named() -> None:
    payload = bytearray(move().pack())
    struct.pack_into("<f", payload, 8, float("nan"))
    with pytest.raises(Malformed) as caught:
        Move.unpack(payload)
    assert caught.value.msg == "Move.heading is not finite"


def test_reading_keeps_nothing_of_the_buffer() -> None:
    buffer = bytearray(move().pack())
    packet = Move.unpack_from(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert packet == move()
    buffer.clear()  # a view that was still held would forbid it


@given(st.binary(max_size=90))
def test_any_bytes_are_a_packet_or_malformed(payload: bytes) -> None:
    for packet in PACKETS.values():
        try:
            read = packet.unpack(payload)
        except Malformed:
            continue
        assert read.pack() == payload


# Writing


def test_pack_into_writes_in_place_and_says_how_much() -> None:
    buffer = bytearray(b"\xee" * 30)
    assert move(boost=9).pack_into(buffer, 4) == 22
    assert bytes(buffer) == (
        b"\xee" * 4 + bytes.fromhex(MOVE_HEX) + b"\x09" + b"\xee" * 4
    )
    assert move().pack_into(memoryview(buffer)) == 21
    assert buffer.startswith(bytes.fromhex(MOVE_HEX))


@pytest.mark.parametrize("offset", [1, 21, 100])
def test_pack_into_too_short_a_buffer(offset: int) -> None:
    with pytest.raises(ValueError, match=r"^Move: .*buffer"):
        move().pack_into(bytearray(21), offset)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tick": 2**32}, "Move.tick: 4294967296 is not in 0..4294967295"),
        ({"tick": 1.0}, "Move.tick: 1.0 is no integer"),
        (
            {"x": -(2**31) - 1},
            "Move.x: -2147483.649 is not in -2147483.648..2147483.647",
        ),
        ({"heading": 1e39}, "Move.heading: 1e+39 is too large for f32"),
        ({"heading": float("nan")}, "Move.heading: nan is not finite"),
        ({"heading": float("inf")}, "Move.heading: inf is not finite"),
        ({"heading": 10**400}, f"Move.heading: {10**400} is too large for f32"),
        ({"heading": "up"}, "Move.heading: 'up' is no number"),
        ({"path": (1, 2, 3)}, "Move.path: 3 numbers, not 4"),
        ({"path": (1, 2, -1, 4)}, "Move.path: -1 is not in 0..65535"),
        ({"path": "abcd"}, "Move.path: 'abcd' is no tuple of 4"),
        ({"spin": 1}, "Move.spin is set while boost before it is None"),
    ],
)
def test_what_does_not_fit_is_named_with_its_range(
    changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match="Move") as caught:
        move(**changes).pack()
    assert str(caught.value) == text


# Values


def test_fields_are_given_by_position_or_name() -> None:
    packet = Move(
        7, 1500, 0.5, Buttons.JUMP | Buttons.FIRE, (1, 2, 3, 65535), spin=None
    )
    assert packet == move()
    assert packet.boost is None
    assert str(inspect.signature(Move)) == (
        "(tick, x, heading, buttons, path, boost=None, spin=None)"
    )


def test_type_checkers_know_the_constructor_and_the_attributes() -> None:
    # An ignored error that is none is one for `mypy --strict`.
    with pytest.raises(TypeError):
        Move(tick=1)  # type: ignore[call-arg]
    packet = Move("7", 1, 1.0, 0, ())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        packet.spin + 1  # type: ignore[operator]
    total: int = packet.x + packet.buttons
    heading: float = packet.heading
    assert (total, heading) == (1, 1.0)


def test_bits_are_tested_with_their_names() -> None:
    packet = Move.unpack(move(buttons=0x82).pack())
    assert type(packet.buttons) is int
    assert packet.buttons & Buttons.FIRE
    assert not packet.buttons & Buttons.JUMP
    assert packet.buttons == 0x82


def test_reading_masks_leaves_nothing_behind_in_the_enum() -> None:
    before = len(Flags._value2member_map_)
    for number in range(100):
        Quote.unpack(Quote(1, (1, 1), number << 20, (0.0, 0.0)).pack())
    assert len(Flags._value2member_map_) == before


def test_packets_of_one_class_are_equal_by_value() -> None:
    class Other(Packet):
        tick: int = u32()

    class Twin(Packet):
        tick: int = u32()

    assert move() == move()
    assert move() != move(boost=0)
    assert Twin(1) == Twin(1)
    assert Twin(1) != Other(1)
    assert Twin(1) != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(move())


def test_packets_can_be_changed_copied_and_pickled() -> None:
    packet = move()
    packet.tick += 1
    assert packet == move(tick=8)
    assert copy.copy(packet) == packet
    assert pickle.loads(pickle.dumps(packet)) == packet


def test_packets_are_small() -> None:
    packet = move()
    assert not hasattr(packet, "__dict__")
    assert sys.getsizeof(packet) <= 16 + 8 * len(Move.fields) + 16
    with pytest.raises(AttributeError):
        packet.jump = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, "Move(tick=7, x=1500e-3, heading=0.5, "),
        ({}, "path=(1, 2, 3, 65535), boost=None, spin=None)"),
        ({}, " buttons=JUMP|FIRE, "),
        ({"buttons": 0x84}, " buttons=CROUCH|0x80, "),
        ({"buttons": 0}, " buttons=0, "),
        ({"spin": -5}, "spin=-5e-1)"),
        ({"tick": "?", "buttons": "?"}, "tick='?'"),
    ],
)
def test_repr(changes: dict[str, Any], part: str) -> None:
    assert part in repr(move(**changes))


def test_packets_match_by_position() -> None:
    match move():
        case Move(tick, x):
            assert (tick, x) == (7, 1500)
        case _:
            pytest.fail("no match")


# Declarations


def test_sizes_and_fields_are_documented() -> None:
    assert (Ready.size, Ready.sizes) == (0, (0,))
    assert (Scalars.size, Scalars.sizes) == (42, (42,))
    assert (Move.size, Move.sizes) == (24, (21, 22, 24))
    assert (Quote.size, Quote.sizes) == (51, (48, 51))
    with pytest.raises(TypeError):
        Move.fields["new"] = Field("u8")  # type: ignore[index]


def test_fields_of_the_base_come_first() -> None:
    class Header(Packet):
        LIMIT: ClassVar[int] = 3
        tick: int = u32()

    class Shot(Header):
        power: int = u8()

        def doubled(self) -> int:
            return 2 * self.power

    shot = Shot(1, 2)
    assert shot.pack() == bytes.fromhex("0100000002")
    assert Shot.unpack(shot.pack()) == shot
    assert (shot.LIMIT, shot.doubled()) == (3, 4)
    assert Header.sizes == (4,)


def test_a_constructor_of_ones_own_is_kept() -> None:
    class Stamp(Packet):
        ms: int = u32()

        def __init__(self, seconds: float) -> None:
            self.ms = int(seconds * 1000)

    assert Stamp(1.5).pack() == bytes.fromhex("dc050000")
    assert Stamp.unpack(bytes.fromhex("dc050000")).ms == 1500


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"_x": Field("u8")}, r"Bad\._x: a field's name"),
        ({"größe": Field("u8")}, r"Bad\.größe: a field's name"),
        ({"class": Field("u8")}, r"Bad\.class: a field's name"),
        ({"pack": Field("u8")}, r"Bad\.pack: the name is taken"),
        ({"sizes": Field("u8")}, r"Bad\.sizes: the name is taken"),
        ({"self": Field("u8")}, r"Bad\.self: the name is taken"),
        ({"tick": Field("u8")}, r"Bad\.tick: the name is taken"),
        (
            {"a": Field("u8", optional=True), "b": Field("u8")},
            r"Bad\.b follows a, so it must be optional",
        ),
        ({"__annotations__": {"x": "int"}}, r"Bad\.x is annotated, but it is no field"),
        ({"x": 1, "__annotations__": {"x": "int"}}, r"Bad\.x is annotated"),
    ],
)
def test_a_packet_that_makes_no_sense_is_refused(
    body: dict[str, Any], text: str
) -> None:
    class Base(Packet):
        tick: int = u32()

    with pytest.raises(TypeError, match=text):
        new_class("Bad", (Base,), exec_body=lambda namespace: namespace.update(body))


# Any declaration


@st.composite
def declarations(draw: st.DrawFn) -> list[Field]:
    fields = draw(
        st.lists(
            st.builds(
                Field,
                st.sampled_from(sorted(SCALARS)),
                count=st.none() | st.integers(1, 5),
            ),
            max_size=6,
        )
    )
    first_optional = draw(st.integers(0, len(fields)))
    return [
        Field(field.type, count=field.count, optional=number >= first_optional)
        for number, field in enumerate(fields)
    ]


def declare(name: str, fields: dict[str, Field], base: Any = Packet) -> Any:
    return new_class(name, (base,), exec_body=lambda body: body.update(fields))


def numbers(field: Field) -> st.SearchStrategy[Any]:
    allowed = field.scalar.range
    if allowed is not None:
        return st.integers(allowed[0], allowed[-1])
    width = 8 * field.scalar.size
    return st.floats(
        allow_nan=False, allow_infinity=False, width=64 if width > 32 else 32
    )


@given(declarations(), st.data())
def test_any_declaration_reads_and_writes_what_struct_does(
    declared: list[Field], data: st.DataObject
) -> None:
    namespace = {f"f{number}": field for number, field in enumerate(declared)}
    cls = declare("Any", namespace)
    required = sum(not field.optional for field in declared)
    present = declared[: data.draw(st.integers(required, len(declared)))]
    values = [
        tuple(data.draw(st.lists(numbers(f), min_size=f.count, max_size=f.count)))
        if f.count
        else data.draw(numbers(f))
        for f in present
    ]
    expected = b"".join(
        struct.pack(f"<{f.format}", *(value if f.count else [value]))
        for f, value in zip(present, values, strict=True)
    )
    packet = cls(*values)
    assert packet.pack() == expected
    assert cls.unpack(expected) == packet
    shifted = bytearray(len(expected) + 3)
    assert packet.pack_into(shifted, 3) == len(expected)
    assert cls.unpack_from(memoryview(shifted), 3) == packet
    assert len(expected) in cls.sizes
