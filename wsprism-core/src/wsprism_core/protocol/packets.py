"""Packets: payloads of a fixed layout, declared once.

A packet's fields follow one another in the order of declaration, little-endian and
without padding::

    class Move(Packet):
        tick: int = u32()
        heading: float = f32()
        boost: int | None = optional(u8(), default=None)

    Move(tick=7, heading=0.5).pack()        # 8 bytes; 9 with a boost
    Move.unpack_from(memoryview(frame), 4)  # the rest of the frame, behind its header

From the same declaration come the reference page and the JavaScript reader and writer.

A payload that is no such packet raises `Malformed`, hence `BAD_REQUEST` and a strike:
of another length than `Packet.sizes` has, or with a float that is NaN or infinite. Bits
of a bitmask that have no name are no error, since a newer peer may know them; they are
kept.

What reads and writes is compiled when the class is created: for each number of optional
fields present one `struct.Struct`, and a function that makes no object but the values.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from keyword import iskeyword
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, TypeAlias, dataclass_transform

from wsprism_core.protocol import _packet_code as code
from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.fields import (
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

__all__ = ("Packet",)

Buffer: TypeAlias = bytes | bytearray | memoryview

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class _PacketType(type):
    """Takes the fields out of a class body and compiles what reads and writes them."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]
    ) -> _PacketType:
        own = {key: item for key, item in namespace.items() if isinstance(item, Field)}
        inherited: dict[str, Field] = {}
        for base in bases:
            inherited |= getattr(base, "fields", {})
        fields = inherited | own
        for key in own:
            _check_name(name, key, bases)
            del namespace[key]  # it would be in the way of the slot
        _check_order(name, fields)
        _check_annotations(name, namespace, fields)
        forms = code.layouts(fields)
        namespace.setdefault("__init__", code.compile_init(fields))
        namespace |= {
            "__slots__": tuple(own),
            "__match_args__": tuple(fields),
            "fields": MappingProxyType(fields),
            "sizes": tuple(form.struct.size for form in forms),
            "size": forms[-1].struct.size,
            "_readers": {form.struct.size: code.compile_reader(form) for form in forms},
            "_pack": code.compile_pack(forms),
            "_pack_into": code.compile_pack_into(forms),
        }
        return super().__new__(mcs, name, bases, namespace)


def _check_name(packet: str, key: str, bases: tuple[type, ...]) -> None:
    if not _NAME.match(key) or iskeyword(key):
        raise TypeError(
            f"{packet}.{key}: a field's name begins with a letter, has A-Z, a-z, 0-9"
            " and _ only, and is no keyword"
        )
    if key == "self" or any(hasattr(base, key) for base in bases):
        raise TypeError(f"{packet}.{key}: the name is taken")


def _check_order(packet: str, fields: Mapping[str, Field]) -> None:
    after = None
    for key, field in fields.items():
        if field.optional:
            after = key
        elif after:
            raise TypeError(f"{packet}.{key} follows {after}, so it must be optional")


def _check_annotations(
    packet: str, namespace: Mapping[str, Any], fields: Mapping[str, Field]
) -> None:
    # Type checkers take every annotated name for an argument of the constructor.
    for key, annotation in namespace.get("__annotations__", {}).items():
        if key not in fields and "ClassVar" not in str(annotation):
            raise TypeError(f"{packet}.{key} is annotated, but it is no field")


@dataclass_transform(
    field_specifiers=(
        u8,
        u16,
        u32,
        u64,
        i8,
        i16,
        i32,
        i64,
        f32,
        f64,
        scaled,
        bitmask,
        array,
        optional,
    )
)
class Packet(metaclass=_PacketType):
    """The base of all packets.

    A packet is a small mutable value with one attribute for each field; packets of one
    class with equal fields are equal. A packet may inherit from another one, whose
    fields come first. Values are checked when they are packed, not when they are set.

    Attributes:
        fields: The fields by name, in their order.
        sizes: The lengths in bytes that a payload may have, ascending; more than one
            where fields are optional.
        size: The greatest of them.

    Raises:
        TypeError: At the declaration: a name that is taken, an annotation without a
            field, or a field after an optional one that is not optional itself.
    """

    fields: ClassVar[Mapping[str, Field]]
    sizes: ClassVar[tuple[int, ...]]
    size: ClassVar[int]
    _readers: ClassVar[Mapping[int, Callable[..., Any]]]
    _pack: ClassVar[Callable[..., bytes]]
    _pack_into: ClassVar[Callable[..., int]]

    @classmethod
    def unpack(cls, payload: Buffer) -> Self:
        """Return the packet that a payload is, all of it.

        Raises:
            Malformed: It is none.
        """
        reader = cls._readers.get(len(payload))
        if reader is None:
            raise _wrong_length(cls, len(payload))
        packet: Self = reader(cls, payload, 0)
        return packet

    @classmethod
    def unpack_from(
        cls, buffer: Buffer, offset: int = 0, length: int | None = None
    ) -> Self:
        """Return the packet that stands in a buffer.

        Args:
            buffer: Bytes; of a memoryview, one of format `B`.
            offset: Where the packet begins, in bytes.
            length: How long it is; None is all the rest of the buffer.

        Raises:
            Malformed: There is none.
        """
        if length is None:
            length = len(buffer) - offset
        reader = cls._readers.get(length)
        if reader is None:
            raise _wrong_length(cls, length)
        try:
            packet: Self = reader(cls, buffer, offset)
        except struct.error:
            text = f"{cls.__name__}: no {length} bytes at {offset}"
            raise Malformed(text) from None
        return packet

    def pack(self) -> bytes:
        """Return the payload.

        Raises:
            ValueError: A field's value does not fit; the text says which and why.
        """
        try:
            return self._pack()
        except _PACK_ERRORS as error:
            raise ValueError(_explain(self, error)) from None

    def pack_into(self, buffer: bytearray | memoryview, offset: int = 0) -> int:
        """Write the payload into a buffer and return how many bytes that took.

        Raises:
            ValueError: A field's value does not fit, or the buffer ends before it. What
                the buffer holds in that place is undefined then.
        """
        try:
            return self._pack_into(buffer, offset)
        except _PACK_ERRORS as error:
            raise ValueError(_explain(self, error)) from None

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.fields)

    def __repr__(self) -> str:
        shown = (
            f"{name}={field.show(getattr(self, name))}"
            for name, field in self.fields.items()
        )
        return f"{type(self).__name__}({', '.join(shown)})"


#: What `struct` and the compiled checks raise where a value does not fit.
_PACK_ERRORS: Final = (struct.error, TypeError, ValueError, OverflowError)


def _wrong_length(cls: type[Packet], length: int) -> Malformed:
    sizes = " or ".join(map(str, cls.sizes))
    return Malformed(f"{cls.__name__} has {sizes} bytes, not {length}")


def _explain(packet: Packet, error: Exception) -> str:
    """Return which field of a packet does not fit and why, else what was raised."""
    name = type(packet).__name__
    absent = None
    for key, field in packet.fields.items():
        value = getattr(packet, key)
        if field.optional and value is None:
            absent = absent or key
        elif absent:
            return f"{name}.{key} is set while {absent} before it is None"
        elif problem := field.problem(value):
            return f"{name}.{key}: {problem}"
    return f"{name}: {error}"
