"""Fields: what packets are declared with.

A field stands on the right of an annotated name in a `Packet`, as `field()` does in a
dataclass::

    tick: int = u32()
    x: int = scaled(i32(), places=3)
    buttons: int = bitmask(u8(), Buttons)
    path: tuple[int, ...] = array(u16(), 4)
    boost: int | None = optional(u8(), default=None)

Each function here is typed as the value that the attribute holds, so that type checkers
compare it with the annotation and know the constructor; what it returns is a `Field`.

An exact decimal is held as its **mantissa**, the integer on the wire: with `places=3`,
1.5 is 1500. Integers compare and add exactly, cost nothing to read, depend on no
context of `decimal`, and are the same in JavaScript. `wsprism_core.protocol.decimals`
converts, and never rounds.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from math import isfinite
from operator import index
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar, cast

from wsprism_core.protocol.decimals import to_decimal

__all__ = (
    "SCALARS",
    "Field",
    "Scalar",
    "array",
    "bitmask",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "optional",
    "scaled",
    "u8",
    "u16",
    "u32",
    "u64",
)

T = TypeVar("T")


class Scalar(NamedTuple):
    """A number on the wire: its `struct` code, bytes, and range; None for floats."""

    code: str
    size: int
    range: range | None


#: By name; ranges are those of the wire, ends excluded as in any `range`.
SCALARS: Final[Mapping[str, Scalar]] = {
    "u8": Scalar("B", 1, range(2**8)),
    "u16": Scalar("H", 2, range(2**16)),
    "u32": Scalar("I", 4, range(2**32)),
    "u64": Scalar("Q", 8, range(2**64)),
    "i8": Scalar("b", 1, range(-(2**7), 2**7)),
    "i16": Scalar("h", 2, range(-(2**15), 2**15)),
    "i32": Scalar("i", 4, range(-(2**31), 2**31)),
    "i64": Scalar("q", 8, range(-(2**63), 2**63)),
    "f32": Scalar("f", 4, None),
    "f64": Scalar("d", 8, None),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a packet, as declared.

    Args:
        type: A name in `SCALARS`.
        places: Decimal places of a scaled decimal, else None.
        bits: The named bits of a bitmask by name, else None.
        count: How many numbers a fixed array has; None is a single number.
        optional: Whether shorter packets may end before it.
    """

    type: str
    places: int | None = None
    bits: Mapping[str, int] | None = None
    count: int | None = None
    optional: bool = False

    @property
    def scalar(self) -> Scalar:
        """The number that it is made of."""
        return SCALARS[self.type]

    @property
    def is_float(self) -> bool:
        """Whether it is made of floats."""
        return self.scalar.range is None

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return self.scalar.size * (self.count or 1)

    @property
    def format(self) -> str:
        """Its part of a `struct` format."""
        return f"{self.count or ''}{self.scalar.code}"

    def __str__(self) -> str:
        text = self.type if self.count is None else f"{self.type}[{self.count}]"
        if self.places is not None:
            text += f", {self.places} decimal place{'s' * (self.places > 1)}"
        if self.bits is not None:
            text += f", bits {' '.join(self.bits)}"
        return f"{text}, optional" if self.optional else text

    def show(self, value: object) -> str:
        """Return a value as a packet's `repr` has it: `1500e-3`, `JUMP|FIRE|0x80`."""
        if value is None or self.count is not None:
            return repr(value)
        if self.places is not None:
            return f"{value!r}e-{self.places}"
        if self.bits is None or not isinstance(value, int):
            return repr(value)
        rest = int(value)
        shown = [name for name, bit in self.bits.items() if rest & bit]
        for bit in self.bits.values():
            rest &= ~bit
        if rest or not shown:
            shown.append(f"{rest:#x}" if rest else "0")
        return "|".join(shown)

    def problem(self, value: object) -> str | None:
        """Return why a value does not fit, in words; None where it does."""
        if self.count is None:
            return self._number_problem(value)
        if not isinstance(value, tuple | list):
            return f"{value!r} is no tuple of {self.count}"
        if len(value) != self.count:
            return f"{len(value)} numbers, not {self.count}"
        problems = map(self._number_problem, value)
        return next((problem for problem in problems if problem), None)

    def _number_problem(self, value: object) -> str | None:
        allowed = self.scalar.range
        if allowed is None:
            try:
                finite = isfinite(value)  # type: ignore[arg-type]  # that is the test
                struct.pack(f"<{self.scalar.code}", value)
            except (TypeError, struct.error):
                return f"{value!r} is no number"
            except OverflowError:
                return f"{value!r} is too large for {self.type}"
            return None if finite else f"{value!r} is not finite"
        try:
            number = index(value)  # type: ignore[arg-type]  # that is the test
        except TypeError:
            return f"{value!r} is no integer"
        if number in allowed:
            return None
        low, high = allowed[0], allowed[-1]
        if self.places is None:
            return f"{number} is not in {low}..{high}"
        decimals = [str(to_decimal(end, self.places)) for end in (number, low, high)]
        return "{} is not in {}..{}".format(*decimals)


def u8() -> int:
    """Return an unsigned integer of 8 bits."""
    return cast("int", Field("u8"))


def u16() -> int:
    """Return an unsigned integer of 16 bits."""
    return cast("int", Field("u16"))


def u32() -> int:
    """Return an unsigned integer of 32 bits."""
    return cast("int", Field("u32"))


def u64() -> int:
    """Return an unsigned integer of 64 bits; a BigInt in JavaScript."""
    return cast("int", Field("u64"))


def i8() -> int:
    """Return a signed integer of 8 bits."""
    return cast("int", Field("i8"))


def i16() -> int:
    """Return a signed integer of 16 bits."""
    return cast("int", Field("i16"))


def i32() -> int:
    """Return a signed integer of 32 bits."""
    return cast("int", Field("i32"))


def i64() -> int:
    """Return a signed integer of 64 bits; a BigInt in JavaScript."""
    return cast("int", Field("i64"))


def f32() -> float:
    """Return an IEEE 754 number of 32 bits; finite, as numbers are in JSON.

    A Python float is rounded to the nearest, so that 0.1 comes back as 0.10000000149.
    """
    return cast("float", Field("f32"))


def f64() -> float:
    """Return an IEEE 754 number of 64 bits; finite, as numbers are in JSON."""
    return cast("float", Field("f64"))


def scaled(of: int, *, places: int) -> int:
    """Return an exact decimal: an integer that counts units of `10 ** -places`.

    Args:
        of: The integer that travels, such as `i64()`.
        places: Decimal places, 1 or more.

    Raises:
        TypeError: `of` is no plain integer, or `places` is not positive.
    """
    field = _plain(of)
    if field.scalar.range is None:
        raise TypeError(f"a scaled decimal is made of an integer, not {field}")
    if places < 1:
        raise TypeError(f"a scaled decimal has 1 place or more, not {places}")
    return cast("int", replace(field, places=places))


def bitmask(of: int, names: type[IntFlag]) -> int:
    """Return a bitmask whose bits have names.

    The attribute is a plain `int`, to be tested as in `move.buttons & Buttons.FIRE`; an
    `IntFlag` would keep every combination that a client ever sent. Bits without a name
    come from newer peers: they are kept, and mean nothing here.

    Args:
        of: The unsigned integer that travels, such as `u8()`.
        names: The bits; members of more than one bit are no names of their own.

    Raises:
        TypeError: `of` is no plain unsigned integer, or a bit does not fit in it.
    """
    field = _plain(of)
    allowed = field.scalar.range
    if allowed is None or allowed[0] < 0:
        raise TypeError(f"a bitmask is made of an unsigned integer, not {field}")
    bits = {member.name or "": member.value for member in names}
    for name, bit in bits.items():
        if bit not in allowed:
            raise TypeError(f"{names.__name__}.{name} does not fit in {field}")
    return cast("int", replace(field, bits=MappingProxyType(bits)))


def array(of: T, count: int) -> tuple[T, ...]:
    """Return a fixed array: always `count` numbers, in a tuple.

    Args:
        of: What it is made of: an integer, a float, a scaled decimal or a bitmask.
        count: How many, 1 or more.

    Raises:
        TypeError: `of` is an array or optional, or `count` is not positive.
    """
    field = _field(of)
    if field.count is not None or field.optional:
        raise TypeError(f"an array is made of single numbers, not {field}")
    if count < 1:
        raise TypeError(f"an array has 1 number or more, not {count}")
    return cast("tuple[T, ...]", replace(field, count=count))


def optional(of: T, *, default: None) -> T | None:
    """Return a field that shorter packets end before, and is then None.

    Only optional fields may follow it. This is how a packet grows: older peers go on
    to send the shorter form.

    Args:
        of: Any other field.
        default: Always None; type checkers read from it that a constructor's caller
            may leave the field out.

    Raises:
        TypeError: `of` is optional already.
    """
    field = _field(of)
    if field.optional:
        raise TypeError(f"{field} is optional already")
    return cast("T | None", replace(field, optional=True))


def _field(of: object) -> Field:
    if not isinstance(of, Field):
        raise TypeError(f"{of!r} is no field; fields are written with (), as in u8()")
    return of


def _plain(of: object) -> Field:
    field = _field(of)
    if field != Field(field.type):
        raise TypeError(f"{field} is no plain number")
    return field
