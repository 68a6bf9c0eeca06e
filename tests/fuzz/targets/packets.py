"""Packets: one that is taken is packed to the same bytes."""

from __future__ import annotations

from contextlib import suppress
from enum import IntFlag

from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.fields import (
    array,
    bitmask,
    f32,
    f64,
    i32,
    i64,
    optional,
    scaled,
    u8,
    u16,
)
from wsprism_core.protocol.packets import Packet


class Buttons(IntFlag):
    JUMP = 1
    FIRE = 2


class Everything(Packet):
    """A packet with a field of every kind."""

    kind: int = u8()
    buttons: int = bitmask(u16(), Buttons)
    price: int = scaled(i64(), places=4)
    place: tuple[float, ...] = array(f32(), 2)
    exact: float = f64()
    more: int | None = optional(i32(), default=None)
    path: tuple[int, ...] | None = optional(array(u8(), 3), default=None)


def target(data: bytes) -> None:
    with suppress(ProtocolError):
        packet = Everything.unpack(data)
        assert packet.pack() == data
        assert repr(packet)
    with suppress(ProtocolError):
        Everything.unpack_from(data, data[0] if data else 0)
    for size in Everything.sizes:
        with suppress(ProtocolError):
            Everything.unpack_from(data, 1, size)
