"""Lanes: the priorities of an outbox, and the delivery classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

__all__ = ("DEFAULT_LANES", "Delivery", "Lane", "bound_lanes", "order_lanes")

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
    #: Has only a marker that waits; what the reader gets is asked of a source when its
    #: socket can take it. See `wsprism_core.Pull`.
    PULLED = "pulled"


@dataclass(frozen=True, slots=True)
class Lane:
    """One priority in every outbox, with its bounds.

    Args:
        name: How manifests name it.
        max_bytes: What may wait in it, in bytes on the wire.
        max_messages: What may wait in it, in messages.
        max_message_bytes: The largest single message, in bytes on the wire: one under
            way cannot be interrupted, and holds up what is more urgent. A service that
            sends a larger one has made an error.
        after: For a plugin's own lane: the default lane that it comes right after.
    """

    name: str
    max_bytes: int
    max_messages: int
    max_message_bytes: int = 64 * KIB
    after: str | None = None


#: In strict order, the most urgent first.
DEFAULT_LANES: Final = (
    Lane("control", 64 * KIB, 256),
    Lane("realtime", 256 * KIB, 1024),
    Lane("market", 1 * MIB, 4096),
    Lane("interactive", 1 * MIB, 1024, max_message_bytes=128 * KIB),
    Lane("bulk", 4 * MIB, 4096, max_message_bytes=128 * KIB),
)


def bound_lanes(
    lanes: Iterable[Lane], bounds: Mapping[str, Mapping[str, Any]]
) -> tuple[Lane, ...]:
    """Return lanes with some of their bounds changed.

    Args:
        lanes: The gateway's lanes.
        bounds: By a lane's name: `max_bytes`, `max_messages`, `max_message_bytes`.

    Raises:
        ValueError: There is no lane of that name.
    """
    found = {lane.name: lane for lane in lanes}
    for name, changes in bounds.items():
        if name not in found:
            raise ValueError(f"no lane is named {name!r}; there are {', '.join(found)}")
        found[name] = replace(found[name], **changes)
    return tuple(found.values())


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
