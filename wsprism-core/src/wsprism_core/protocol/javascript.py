"""The protocol in JavaScript: constants, and a reader and a writer for each packet.

`module` returns the text of one ES module without dependencies, for browsers and Node.
What Python knows as attributes of a packet is a plain object there:

| field | JavaScript |
|---|---|
| u8 to u32, i8 to i32, f32, f64 | number |
| u64, i64 | BigInt |
| scaled decimal | its mantissa, as the integer that it is; `Packet.places` has the scale, `toDecimal` and `toMantissa` convert to and from text, exactly |
| bitmask | the integer; `Packet.bits` has the bits by name |
| array | Array |
| optional | null where absent |

Whatever Python refuses the module refuses too, as a `RangeError`.
"""  # noqa: E501  # a table's row is one line

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from wsprism_core.protocol import layout
from wsprism_core.protocol.fields import Field
from wsprism_core.protocol.packets import Packet

__all__ = ("module",)

#: The part of a `DataView` method's name that says what it reads and writes.
_KINDS: Final[Mapping[str, str]] = {
    "u8": "Uint8",
    "u16": "Uint16",
    "u32": "Uint32",
    "u64": "BigUint64",
    "i8": "Int8",
    "i16": "Int16",
    "i32": "Int32",
    "i64": "BigInt64",
    "f32": "Float32",
    "f64": "Float64",
}

#: What the packets' methods call; it reads as one piece of JavaScript.
_HELPERS: Final = """\
/** The decimal text of a mantissa, with all its places: (1500, 3) is "1.500". */
export function toDecimal(mantissa, places) {
  const digits = String(mantissa < 0 ? -mantissa : mantissa).padStart(places + 1, "0");
  const sign = mantissa < 0 ? "-" : "";
  return `${sign}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** The mantissa of a decimal text, as a BigInt: ("1.5", 3) is 1500n. Never rounds. */
export function toMantissa(text, places) {
  const match = /^([+-]?)([0-9]+)(?:[.]([0-9]+?)0*)?$/.exec(text);
  const [, sign, whole, decimals = ""] = match ?? [];
  if (!match || decimals.length > places) {
    throw new RangeError(`${text} is no decimal of ${places} places`);
  }
  return BigInt(sign + whole + decimals.padEnd(places, "0"));
}

function viewOf(bytes, offset, length, sizes, name) {
  if (!sizes.includes(length)) {
    throw new RangeError(`${name} has ${sizes.join(" or ")} bytes, not ${length}`);
  }
  if (offset < 0 || offset + length > bytes.byteLength) {
    throw new RangeError(`${name}: no ${length} bytes at ${offset}`);
  }
  return ArrayBuffer.isView(bytes)
    ? new DataView(bytes.buffer, bytes.byteOffset + offset, length)
    : new DataView(bytes, offset, length);
}

function sizeOf(packet, optional, sizes, name) {
  const absent = optional.findIndex((key) => packet[key] == null);
  if (absent < 0) return sizes[optional.length];
  const stray = optional.slice(absent).find((key) => packet[key] != null);
  if (stray !== undefined) {
    throw new RangeError(`${name}.${stray} is set while ${optional[absent]} is not`);
  }
  return sizes[absent];
}

function integer(value, low, high, name) {
  // Of the two kinds of integer, the bounds tell which one the field holds.
  const fits = typeof value === typeof low && value >= low && value <= high;
  if (!fits || (typeof value === "number" && !Number.isInteger(value))) {
    throw new RangeError(`${name}: ${value} is not in ${low}..${high}`);
  }
  return value;
}

function finite(value, name) {
  if (!Number.isFinite(value)) throw new RangeError(`${name}: ${value} is not finite`);
  return value;
}

function finite32(value, name) {
  finite(Math.fround(finite(value, name)), name);
  return value;
}

function list(values, count, name) {
  if (values?.length !== count) throw new RangeError(`${name} is no array of ${count}`);
  return Array.from(values); // in which holes are undefined, and refused
}
"""

#: What a packet may not be called: words of the language, and names that the module
#: uses itself.
_TAKEN: Final = frozenset(
    """
    arguments await break case catch class const continue debugger default delete do
    else enum eval export extends false finally for function if implements import in
    instanceof interface let new null package private protected public return static
    super switch this throw true try typeof undefined var void while with yield
    Array ArrayBuffer BigInt DataView Math Number Object RangeError String Uint8Array
    finite finite32 integer list sizeOf toDecimal toMantissa viewOf
    """.split()
)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def module(
    packets: Iterable[type[Packet]] = (),
    *,
    services: Mapping[str, int] = layout.SERVICE_IDS,
    opcodes: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """Return the text of the module.

    Args:
        packets: Those to read and write, each exported under its class's name.
        services: Service ids by service.
        opcodes: Opcodes by name, by service.

    Raises:
        ValueError: A packet's class has a name that is taken or none in JavaScript.
    """
    exports = {
        "PROTOCOL_VERSION": layout.PROTOCOL_VERSION,
        "WEBSOCKET_PATH": layout.WEBSOCKET_PATH,
        "SUBPROTOCOLS": layout.SUBPROTOCOLS,
        "HOT_HEADER_SIZE": layout.HOT_HEADER_SIZE,
        "OPCODE_ACK": layout.OPCODE_ACK,
        "EnvelopeFlag": layout.EnvelopeFlag.__members__,
        "HotFlag": layout.HotFlag.__members__,
        "FrameKind": layout.FrameKind.__members__,
        "ErrorCode": layout.ErrorCode.__members__,
        "CloseCode": layout.CloseCode.__members__,
        "RECONNECT_CLOSE_CODES": [code for code in layout.CloseCode if code.reconnect],
        "ServiceId": services,
        "Opcode": opcodes or {},
    }
    parts = ["// Made by wsprism_core.protocol.javascript; changes here are lost.\n"]
    parts += (
        f"export const {key} = {_frozen(item)};\n" for key, item in exports.items()
    )
    declared = tuple(packets)
    if declared:
        parts.append(f"\n{_HELPERS}")
    taken = _TAKEN.union(exports)
    for packet in declared:
        name = packet.__name__
        if name in taken or not _NAME.match(name):
            raise ValueError(f"no packet can be called {name!r} in the module")
        taken |= {name}
        parts += ("\n", *(f"{line}\n" for line in _packet(packet)))
    return "".join(parts)


def _packet(packet: type[Packet]) -> Iterator[str]:
    """Yield the lines of one packet's export."""
    name = packet.__name__
    fields = packet.fields
    offsets = dict(zip(fields, _offsets(fields.values()), strict=True))
    width = max(map(len, fields), default=0)
    yield "/**"
    yield f" * {name}: {' or '.join(map(str, packet.sizes))} bytes."
    for key, field in fields.items():
        yield f" * {offsets[key]:5}  {key:{width}}  {field}"
    yield " */"
    places = {key: field.places for key, field in fields.items() if field.places}
    bits = {key: _bits(field) for key, field in fields.items() if field.bits}
    yield f"export const {name} = Object.freeze({{"
    yield f"  size: {packet.size},"
    yield f"  sizes: {_frozen(packet.sizes)},"
    yield f"  places: {_frozen(places, '  ')},"
    yield f"  bits: {_frozen(bits, '  ')},"
    yield "  unpack(bytes, offset = 0, length = bytes.byteLength - offset) {"
    yield f'    const view = viewOf(bytes, offset, length, {name}.sizes, "{name}");'
    yield "    return {"
    for key, field in fields.items():
        value = _read(f"{name}.{key}", field, offsets[key])
        if field.optional:
            value = f"length > {offsets[key]} ? {value} : null"
        yield f"      {key}: {value},"
    yield "    };"
    yield "  },"
    optional = json.dumps([key for key, field in fields.items() if field.optional])
    size = f'sizeOf(packet, {optional}, {name}.sizes, "{name}")'
    yield "  pack(packet) {"
    yield f"    const bytes = new Uint8Array({size});"
    yield f"    {name}.packInto(packet, bytes);"
    yield "    return bytes;"
    yield "  },"
    yield "  packInto(packet, bytes, offset = 0) {"
    yield f"    const length = {size};"
    yield f'    const view = viewOf(bytes, offset, length, {name}.sizes, "{name}");'
    for key, field in fields.items():
        condition = f"if (length > {offsets[key]}) " if field.optional else ""
        yield f"    {condition}{_write(f'{name}.{key}', key, field, offsets[key])}"
    yield "    return length;"
    yield "  },"
    yield "});"


def _offsets(fields: Iterable[Field]) -> Iterator[int]:
    offset = 0
    for field in fields:
        yield offset
        offset += field.size


def _bits(field: Field) -> Mapping[str, int | _BigInt]:
    bits = field.bits or {}
    if field.scalar.size < 8:
        return bits
    return {name: _BigInt(bit) for name, bit in bits.items()}


def _read(label: str, field: Field, offset: int) -> str:
    at = f"{offset} + {field.scalar.size} * i" if field.count else f"{offset}"
    value = f"view.get{_KINDS[field.type]}({at}, true)"
    if field.is_float:
        value = f'finite({value}, "{label}")'
    if field.count:
        return f"Array.from({{ length: {field.count} }}, (_, i) => {value})"
    return value


def _write(label: str, key: str, field: Field, offset: int) -> str:
    setter = f"view.set{_KINDS[field.type]}"
    if not field.count:
        value = _checked(label, f"packet.{key}", field)
        return f"{setter}({offset}, {value}, true);"
    at = f"{offset} + {field.scalar.size} * i"
    value = _checked(label, "item", field)
    items = f'list(packet.{key}, {field.count}, "{label}")'
    return f"{items}.forEach((item, i) => {setter}({at}, {value}, true));"


def _checked(label: str, value: str, field: Field) -> str:
    allowed = field.scalar.range
    if allowed is None:
        check = "finite32" if field.type == "f32" else "finite"
        return f'{check}({value}, "{label}")'
    suffix = "n" if field.scalar.size == 8 else ""
    bounds = f"{allowed[0]}{suffix}, {allowed[-1]}{suffix}"
    return f'integer({value}, {bounds}, "{label}")'


class _BigInt(int):
    """An integer that is written as a BigInt."""


def _frozen(value: Any, indent: str = "") -> str:
    """Return a JavaScript expression of a constant, frozen all through."""
    if isinstance(value, Mapping) and value:
        deeper = f"{indent}  "
        rows = (
            f"{deeper}{_key(key)}: {_frozen(item, deeper)},\n"
            for key, item in value.items()
        )
        return f"Object.freeze({{\n{''.join(rows)}{indent}}})"
    if isinstance(value, list | tuple):
        return f"Object.freeze([{', '.join(map(_frozen, value))}])"
    if isinstance(value, _BigInt):
        return f"{int(value)}n"
    return "Object.freeze({})" if value == {} else json.dumps(value)


def _key(name: str) -> str:
    # Brackets, since "__proto__" as a plain key would set the prototype.
    return name if _NAME.match(name) else f"[{json.dumps(name)}]"
