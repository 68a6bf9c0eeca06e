from __future__ import annotations

import struct
from enum import IntFlag
from typing import Any

import pytest

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
    optional,
    scaled,
    u8,
    u16,
    u32,
)


class Buttons(IntFlag):
    JUMP = 1
    FIRE = 2
    BOTH = 3


class Wide(IntFlag):
    HUGE = 256


@pytest.mark.parametrize("name", SCALARS)
def test_ranges_are_those_of_struct(name: str) -> None:
    scalar = SCALARS[name]
    assert struct.calcsize(f"<{scalar.code}") == scalar.size
    if scalar.range is None:
        return
    struct.pack(f"<2{scalar.code}", scalar.range[0], scalar.range[-1])
    for beyond in (scalar.range[0] - 1, scalar.range[-1] + 1):
        with pytest.raises(struct.error):
            struct.pack(f"<{scalar.code}", beyond)


@pytest.mark.parametrize(
    ("field", "expected", "text"),
    [
        (u32(), Field("u32"), "u32"),
        (
            scaled(i32(), places=3),
            Field("i32", places=3),
            "i32, 3 decimal places",
        ),
        (array(u16(), 4), Field("u16", count=4), "u16[4]"),
        (optional(u8(), default=None), Field("u8", optional=True), "u8, optional"),
        (
            # BOTH is a name of two bits, and none of its own.
            optional(array(bitmask(u8(), Buttons), 2), default=None),
            Field("u8", bits={"JUMP": 1, "FIRE": 2}, count=2, optional=True),
            "u8[2], bits JUMP FIRE, optional",
        ),
        (
            array(scaled(i16(), places=1), 3),
            Field("i16", places=1, count=3),
            "i16[3], 1 decimal place",
        ),
    ],
)
def test_declared_fields(field: Any, expected: Field, text: str) -> None:
    assert field == expected
    assert str(field) == text


@pytest.mark.parametrize(
    ("field", "size", "code"),
    [(Field("u8"), 1, "B"), (Field("f64", count=3), 24, "3d")],
)
def test_sizes_and_formats(field: Field, size: int, code: str) -> None:
    assert (field.size, field.format) == (size, code)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: scaled(u8, places=1), "is no field"),  # type: ignore[arg-type]
        (lambda: scaled(f32(), places=1), "made of an integer, not f32"),  # type: ignore[arg-type]
        (lambda: scaled(i32(), places=0), "1 place or more, not 0"),
        (lambda: scaled(scaled(i32(), places=1), places=1), "is no plain number"),
        (lambda: bitmask(i8(), Buttons), "unsigned integer, not i8"),
        (lambda: bitmask(f64(), Buttons), "unsigned integer, not f64"),  # type: ignore[arg-type]
        (lambda: bitmask(u8(), Wide), "Wide.HUGE does not fit in u8"),
        (lambda: array(array(u8(), 2), 2), r"single numbers, not u8\[2\]"),
        (lambda: array(optional(u8(), default=None), 2), "not u8, optional"),
        (lambda: array(u8(), 0), "1 number or more, not 0"),
        (lambda: array(7, 2), "7 is no field"),
        (lambda: optional(optional(u8(), default=None), default=None), "already"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(declare: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        declare()
