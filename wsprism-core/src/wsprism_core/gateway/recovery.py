"""Recovery: what a member missed of a room, fetched from history as its lanes drain.

A client names the last number that it saw and the epoch in which it saw it. It gets
every message since, or is told why not: never a part of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from wsprism_core.gateway.catalog import Catalog
from wsprism_core.history.retention import ENVELOPE_BYTES, as_json
from wsprism_core.protocol.envelope import numbered
from wsprism_core.realtime.backlog import Lost, Pull
from wsprism_core.realtime.channel import Channel
from wsprism_core.realtime.rooms import Room
from wsprism_core.realtime.wire import Outgoing

__all__ = ("Missed", "RecoveryBounds", "Refused", "judge", "pulls")

#: Messages asked of history at a time.
_STRIDE: Final = 64


class Refused(StrEnum):
    """Why nothing is recovered."""

    EPOCH_CHANGED = "epoch_changed"
    TOO_OLD = "too_old"
    TOO_MANY = "too_many"
    NOT_RECOVERABLE = "not_recoverable"


@dataclass(frozen=True, slots=True)
class RecoveryBounds:
    """How much one client may fetch at once.

    Args:
        messages: Above it, it is `too_many`; so it is at 0 for whoever missed anything.
        bytes: The same in bytes, about as they are in JSON.
    """

    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Missed:
    """The last message that a client saw, by its own account.

    Args:
        epoch: The room's epoch then.
        seq: Its number, 0 where it has seen none.
    """

    epoch: str
    seq: int


def judge(
    channel: Channel,
    missed: Missed,
    bounds: RecoveryBounds,
    spend: Callable[[int], bool],
) -> Refused | None:
    """Say why not all of what was missed can be had; None where it can.

    Args:
        channel: The room.
        missed: What the client saw last.
        bounds: How much it may fetch at once.
        spend: Takes so many messages from what the client may fetch over time, and says
            whether there were as many. It is asked before anything is read, for who
            is refused may ask again at once.
    """
    # A number ahead of the room's own was never given in this epoch.
    if missed.epoch != channel.epoch or missed.seq > channel.seq:
        return Refused.EPOCH_CHANGED
    count = channel.seq - missed.seq
    if not count:
        return None
    if missed.seq + 1 < channel.oldest:
        return Refused.TOO_OLD
    if count > bounds.messages or not spend(count):
        return Refused.TOO_MANY
    if channel.size_since(missed.seq) > bounds.bytes:
        return Refused.TOO_MANY
    # Where nothing is said, a store may forget by the clock alone.
    held = channel.history(before=None, after=missed.seq, limit=1)
    if not held or held[0]["seq"] > missed.seq + 1:
        return Refused.TOO_OLD
    return None


def pulls(room: Room, missed: Missed, catalog: Catalog) -> Sequence[Pull]:
    """Return markers for what was missed, one for each lane that it rides.

    What is live waits behind them, and nothing is in two of them.
    """
    return [
        Pull(lane, _Replay(room, lane, missed.seq, catalog), room=room, replay=True)
        for lane in catalog.recoverable_lanes
    ]


def _size(message: Mapping[str, Any]) -> int:
    """Return how many bytes a message of history takes, about, in JSON."""
    return ENVELOPE_BYTES + len(as_json(message["data"]))


class _Replay:
    """What one member missed of one room, on one lane.

    It ends with what the room's head was when it was asked for; what came later is
    live, and waits behind it.
    """

    __slots__ = ("_after", "_catalog", "_head", "_lane", "_room")

    def __init__(self, room: Room, lane: int, after: int, catalog: Catalog) -> None:
        self._room = room
        self._lane = lane
        self._after = after
        self._head = room.channel.seq
        self._catalog = catalog

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        """Return the next of what was missed, and whether there is more."""
        found: list[Outgoing] = []
        size = 0
        while self._after < self._head and size < budget:
            limit = min(_STRIDE, self._head - self._after)
            held = self._room.channel.history(
                before=None, after=self._after, limit=limit
            )
            first = held[0]["seq"] if held else self._head + 1
            if first > self._after + 1:
                # It was whole when it was promised, and history has moved on since.
                found.append(self._gone(self._after + 1, min(first - 1, self._head)))
                size += ENVELOPE_BYTES
                self._after = min(first - 1, self._head)
                continue
            for message in held:
                if size >= budget:
                    break
                self._after = message["seq"]
                outgoing = self._message(message)
                if outgoing is not None:
                    found.append(outgoing)
                    size += _size(message)
        return found, self._after < self._head

    def _message(self, message: Mapping[str, Any]) -> Outgoing | None:
        """Return a message that was missed; None where it rides another lane."""
        svc, type, seq = message["svc"], message["type"], message["seq"]
        route = self._catalog.type(svc, type)
        if route.lane != self._lane:
            return None
        name = self._room.name
        return Outgoing(
            route.lane,
            room=self._room,
            svc=svc,
            seq=seq,
            envelope=numbered(svc, type, name, seq, message["ts"], message["data"]),
        )

    def _gone(self, from_seq: int, to_seq: int) -> Outgoing:
        lost = Lost(
            "room", self._room, self._room.name, self._catalog.lane_names[self._lane]
        )
        lost.add(from_seq)
        lost.add(to_seq)
        return Outgoing(self._lane, room=self._room, envelope=lost.envelope())
