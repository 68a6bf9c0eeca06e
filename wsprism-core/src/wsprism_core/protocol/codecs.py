"""JSON and MessagePack: payload bytes from and to plain values.

Both carry the same values, which are those of JSON: None, bool, 64-bit integers, finite
floats, strings, lists, and dicts with string keys. What one client sends in one codec
goes out to others in the other, so each direction refuses what the other codec could
not carry: a message that was taken in never fails on its way out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]
import orjson

from wsprism_core.protocol.errors import Malformed

__all__ = (
    "CODECS",
    "JSON",
    "MAX_DEPTH",
    "MAX_OUTBOUND_DEPTH",
    "MSGPACK",
    "JsonCodec",
    "MsgpackCodec",
    "load_json",
    "load_msgpack",
)

#: How many lists and objects a client's message may nest, the envelope counted. What
#: is left up to `MAX_OUTBOUND_DEPTH` is for what services wrap around it.
MAX_DEPTH: Final = 128
#: How many levels the codecs encode at least; the bound is orjson's own.
MAX_OUTBOUND_DEPTH: Final = 254

_ARRAY16: Final = b"\xdc"
_ARRAY32: Final = b"\xdd"
_JSON_OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)


class JsonCodec:
    """Envelopes as JSON in text messages."""

    name: str = "json"
    is_text: bool = True

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        """Return the payload, compact UTF-8.

        Tuples travel as lists, enums as their values.

        Raises:
            ValueError: It holds what JSON cannot carry: bytes, NaN, an integer of more
                than 64 bits, a key that is no string, too many levels.
        """
        try:
            payload = orjson.dumps(envelope, option=_JSON_OPTIONS)
        except TypeError as error:
            raise ValueError(str(error)) from error
        # orjson writes NaN and the infinities as null and says nothing.
        if b"null" in payload:
            json.dumps(envelope, allow_nan=False, default=str)
        return payload


class MsgpackCodec:
    """Envelopes as MessagePack maps in binary messages."""

    name: str = "msgpack"
    is_text: bool = False

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        """Return the payload.

        Raises:
            ValueError: It holds what JSON cannot carry; see `JsonCodec.encode`.
        """
        JSON.encode(envelope)
        packed: bytes = msgpack.packb(envelope, default=_as_json)
        return packed


#: The codec of `wsprism.v1.json`.
JSON: Final = JsonCodec()
#: The codec of `wsprism.v1.msgpack`.
MSGPACK: Final = MsgpackCodec()
#: By name.
CODECS: Final[Mapping[str, JsonCodec | MsgpackCodec]] = {
    codec.name: codec for codec in (JSON, MSGPACK)
}


def load_json(payload: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text (RFC 8259).

    Raises:
        Malformed: It is no JSON, or nests deeper than `max_depth`.
    """
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"bad JSON: {error.msg} at character {error.pos}") from None
    if len(payload) > 2 * max_depth:  # each level takes two brackets
        _check_depth(value, payload, max_depth)
    return value


def load_msgpack(payload: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of one MessagePack object that JSON could carry as well.

    Raises:
        Malformed: It is no MessagePack, holds what JSON cannot carry (bytes, an
            extension, NaN, a key that is no string), or nests deeper than `max_depth`.
    """
    try:
        if _ARRAY16 in payload or _ARRAY32 in payload:
            _check_claims(payload)
        value = msgpack.unpackb(payload)
        text = JSON.encode(value)
    except (ValueError, msgpack.OutOfData) as error:
        # Some of msgpack's errors have no text.
        reason = str(error) or type(error).__name__
        raise Malformed(f"bad MessagePack: {reason}") from None
    if len(text) > 2 * max_depth:
        _check_depth(value, text, max_depth)
    return value


def _check_depth(value: Any, text: bytes, max_depth: int) -> None:
    """Refuse a value, of which `text` is the JSON, that nests too deep."""
    if text.count(b"{") + text.count(b"[") <= max_depth:
        return  # as most messages
    level = [value]
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in (dict, list)
        ]
        if not level:
            return
    raise Malformed(f"nested deeper than {max_depth} levels")


def _check_claims(payload: bytes) -> None:
    """Refuse an array that claims more elements than follow.

    msgpack allocates an array at its claimed length: hundreds of them, nested in a few
    KiB, would cost many MiB. Skipping runs the same parser and makes no object.
    """
    unpacker = msgpack.Unpacker(read_size=len(payload), max_buffer_size=len(payload))
    unpacker.feed(payload)
    unpacker.skip()


def _as_json(value: Any) -> Any:
    """Return what orjson makes of a value that msgpack does not know: an enum."""
    return orjson.loads(orjson.dumps(value, option=_JSON_OPTIONS))
