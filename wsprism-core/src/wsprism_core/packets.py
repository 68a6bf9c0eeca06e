"""Payloads of a fixed layout: packets, their fields, and exact decimals.

With the root package this is the public API for plugin authors.
"""

from __future__ import annotations

from wsprism_core.protocol.decimals import to_decimal, to_mantissa
from wsprism_core.protocol.fields import (
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
from wsprism_core.protocol.packets import Packet

__all__ = (
    "Packet",
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
    "to_decimal",
    "to_mantissa",
    "u8",
    "u16",
    "u32",
    "u64",
)
