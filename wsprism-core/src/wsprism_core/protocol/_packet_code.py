"""The functions of one packet class, written out from its fields and compiled.

This is how `dataclasses` makes its methods: a loop over the fields would cost several
times what `struct` itself does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.fields import Field

__all__ = (
    "Layout",
    "compile_init",
    "compile_pack",
    "compile_pack_into",
    "compile_reader",
    "layouts",
)


class Layout(NamedTuple):
    """A packet with a certain number of its optional fields.

    Args:
        struct: Its bytes.
        present: The fields in it.
        absent: The optional fields that are not.
    """

    struct: struct.Struct
    present: Mapping[str, Field]
    absent: tuple[str, ...]


def layouts(fields: Mapping[str, Field]) -> tuple[Layout, ...]:
    """Return every layout, from the shortest to the whole."""
    names = tuple(fields)
    required = sum(not field.optional for field in fields.values())
    return tuple(
        Layout(
            struct.Struct("<" + "".join(fields[name].format for name in names[:end])),
            {name: fields[name] for name in names[:end]},
            names[end:],
        )
        for end in range(required, len(names) + 1)
    )


def compile_init(fields: Mapping[str, Field]) -> Callable[..., None]:
    """Return `__init__`: fields by position or name, optional ones None if left out."""
    arguments = (
        f"{name}=None" if field.optional else name for name, field in fields.items()
    )
    body = (f"self.{name} = {name}" for name in fields)
    return _function("__init__", ("self", *arguments), body, {})


def compile_reader(layout: Layout) -> Callable[..., Any]:
    """Return `read(cls, buffer, offset)`, which makes a packet.

    It raises `Malformed` where a float is not finite, and `struct.error` where the
    buffer ends before the packet does.
    """
    names = {
        "new": object.__new__,
        "unpack_from": layout.struct.unpack_from,
        "isfinite": isfinite,
        "Malformed": Malformed,
    }
    return _function("read", ("cls", "buffer", "offset"), _reader_body(layout), names)


def _reader_body(layout: Layout) -> Iterator[str]:
    yield "self = new(cls)"
    if any(field.count for field in layout.present.values()):
        yield "values = unpack_from(buffer, offset)"
        at = 0
        for name, field in layout.present.items():
            end = at + (field.count or 1)
            yield f"self.{name} = values[{f'{at}:{end}' if field.count else at}]"
            at = end
    elif layout.present:
        targets = "".join(f"self.{name}, " for name in layout.present)
        yield f"{targets}= unpack_from(buffer, offset)"
    for name in layout.absent:
        yield f"self.{name} = None"
    for name, field in layout.present.items():
        if field.is_float:
            yield f"if not {_finite(name, field)}:"
            yield f"    raise Malformed(f'{{cls.__name__}}.{name} is not finite')"
    yield "return self"


def compile_pack(forms: Iterable[Layout]) -> Callable[..., bytes]:
    """Return `_pack(self)`, which makes bytes.

    Where a value does not fit it raises `ValueError` or what `struct` does.
    """
    names = {f"pack_{form.struct.size}": form.struct.pack for form in forms}
    body = _writer_body(forms, "return pack_{size}({values})")
    return _function("_pack", ("self",), body, {**names, "isfinite": isfinite})


def compile_pack_into(forms: Iterable[Layout]) -> Callable[..., int]:
    """Return `_pack_into(self, buffer, offset)`, which returns the number of bytes.

    It raises as `compile_pack` has it, and also where the buffer is too short.
    """
    names = {f"pack_into_{form.struct.size}": form.struct.pack_into for form in forms}
    call = "pack_into_{size}(buffer, offset, {values}); return {size}"
    body = _writer_body(forms, call)
    arguments = ("self", "buffer", "offset")
    return _function("_pack_into", arguments, body, {**names, "isfinite": isfinite})


def _writer_body(forms: Iterable[Layout], call: str) -> Iterator[str]:
    """Yield a branch for each layout, the longest first, that ends in the call."""
    for form in sorted(forms, key=lambda form: form.struct.size, reverse=True):
        optional = [name for name, field in form.present.items() if field.optional]
        yield f"if self.{optional[-1]} is not None:" if optional else "if True:"
        for name, field in form.present.items():
            if field.count:
                # `struct` counts the whole: 3 and 5 would pass for 4 and 4.
                yield f"    if len(self.{name}) != {field.count}: raise ValueError"
            if field.is_float:
                yield f"    if not {_finite(name, field)}: raise ValueError"
        values = ", ".join(
            f"*self.{name}" if field.count else f"self.{name}"
            for name, field in form.present.items()
        )
        yield "    " + call.format(size=form.struct.size, values=values)


def _finite(name: str, field: Field) -> str:
    if field.count:
        return f"all(map(isfinite, self.{name}))"
    return f"isfinite(self.{name})"


def _function(
    name: str, arguments: Iterable[str], body: Iterable[str], names: dict[str, Any]
) -> Callable[..., Any]:
    lines = "".join(f"    {line}\n" for line in body) or "    pass\n"
    exec(f"def {name}({', '.join(arguments)}):\n{lines}", names)
    function: Callable[..., Any] = names[name]
    return function
