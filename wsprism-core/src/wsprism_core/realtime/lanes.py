"""Lanes: the priorities of an outbox, and the delivery classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ("DEFAULT_LANES", "Delivery", "Lane", "order_lanes")

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Delivery(StrEnum):
    """What happens to a message while its reader's socket takes no bytes.

    While the socket takes bytes, every message of every class is sent.
    """

    #: Waits in order; at the lane's bound the session is closed 4001, never dropped.
    RELIABLE = "reliable"
    #: Replaces its elder of the same key, in place.
    LATEST = "latest"
    #: Waits in a ring; at the bound the oldest goes, and is counted.
    VOLATILE = "volatile"


@dataclass(frozen=True, slots=True)
class Lane:
    """One priority in every outbox, with its bounds.

    Args:
        name: How manifests name it.
        max_bytes: What may wait in it, in bytes on the wire.
        max_messages: What may wait in it, in messages.
        max_message_bytes: The largest single message, since a message under way cannot
            be interrupted.
        after: For a plugin's own lane: the default lane that it comes right after.
    """

    name: str
    max_bytes: int
    max_messages: int
    max_message_bytes: int = 1 * MIB
    after: str | None = None


#: In strict order, the most urgent first.
DEFAULT_LANES: Final = (
    Lane("control", 64 * KIB, 256),
    Lane("realtime", 256 * KIB, 1024),
    Lane("market", 1 * MIB, 4096),
    Lane("interactive", 1 * MIB, 1024),
    Lane("bulk", 4 * MIB, 4096),
)


def order_lanes(named: Iterable[Lane] = ()) -> tuple[Lane, ...]:
    """Return the default lanes with those that plugins named put between them.

    Lanes behind the same default lane keep the order in which they are given.

    Raises:
        ValueError: A lane's name is taken, or `after` names no default lane.
    """
    order = {lane.name: [lane] for lane in DEFAULT_LANES}
    taken = set(order)
    for lane in named:
        if lane.name in taken:
            raise ValueError(f"lane {lane.name!r} is declared twice")
        if lane.after not in order:
            known = ", ".join(order)
            raise ValueError(
                f"lane {lane.name!r} comes after {lane.after!r}, none of {known}"
            )
        taken.add(lane.name)
        order[lane.after].append(lane)
    return tuple(lane for group in order.values() for lane in group)
