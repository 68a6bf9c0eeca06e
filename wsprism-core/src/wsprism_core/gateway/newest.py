"""Where the newest counts: what of a sender's messages never gets to the service.

A message is outdated for one of three reasons. It is `superseded` where it waited for
an async handler and a newer one took its place, `stale` where a newer number was there
before it, `duplicate` where its own was. Each is counted, and acknowledged to whoever
asked for an answer: its sender need not send it again. That was no fault, so it is no
error. A text acknowledgement says which it was, as `data {"dropped": "stale"}`.

The newest number of each type and opcode stands in the membership of its room, or in
the session outside of any. So there are never more of them than types and opcodes that
declare it, and they end with the membership or the session.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from wsprism_core.gateway.egress import Egress, Origin
from wsprism_core.gateway.inbound import FrameEntry, TextEntry, field_of
from wsprism_core.metrics import Metrics
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.serial import HALF_RANGE, is_newer
from wsprism_core.realtime.rooms import Membership
from wsprism_core.realtime.session import Session

__all__ = ("Newest", "forget_number", "waiting_key")

_DUPLICATE: Final = "duplicate"
_STALE: Final = "stale"
_SUPERSEDED: Final = "superseded"


class Newest:
    """Drops what is outdated.

    Args:
        egress: What acknowledges it.
        metrics: Where it is counted.
    """

    def __init__(self, egress: Egress, metrics: Metrics) -> None:
        self._egress = egress
        self._metrics = metrics

    def drops_frame(self, entry: FrameEntry, origin: Origin) -> bool:
        """Whether a frame is outdated; if not, its number counts from now on."""
        seq, room, session = origin.ref, origin.room, origin.session
        if seq is None:
            return False
        holder = session if room is None else session.memberships[room]
        numbers = holder.newest
        if numbers is None:
            numbers = holder.newest = {}
        newest = numbers.get(entry)
        # Between two numbers there is a wrap once in a long while.
        if newest is None or 0 < seq - newest < HALF_RANGE or is_newer(seq, newest):
            numbers[entry] = seq
            origin.counted = entry
            return False
        self._drop(entry, origin, _DUPLICATE if seq == newest else _STALE)
        return True

    def drops_text(self, entry: TextEntry, origin: Origin) -> bool:
        """Whether a text message is outdated; if not, its number counts from now on."""
        seq, holder = origin.ref, _holder(origin.session, origin.room)
        if seq is None or holder is None:
            return False
        numbers = holder.newest
        if numbers is None:
            numbers = holder.newest = {}
        newest = numbers.get(entry)
        # 53 bits are never used up, so they do not wrap.
        if newest is None or seq > newest:
            numbers[entry] = seq
            origin.counted = entry
            return False
        self._drop(entry, origin, _DUPLICATE if seq == newest else _STALE)
        return True

    def supersede(self, entry: TextEntry, origin: Origin) -> None:
        """Drop a message that waited: a newer one has taken its place."""
        self._drop(entry, origin, _SUPERSEDED)

    def _drop(self, entry: FrameEntry | TextEntry, origin: Origin, reason: str) -> None:
        self._metrics.outdated[origin.session.tenant, entry.svc, reason] += 1
        origin.ack = {"dropped": reason}
        self._egress.finish(origin)


def forget_number(origin: Origin) -> None:
    """Let a message that was refused be sent again under its number."""
    key, seq = origin.counted, origin.ref
    if key is None or seq is None:
        return
    holder = _holder(origin.session, origin.room)
    numbers = None if holder is None else holder.newest
    if numbers is not None and numbers.get(key) == seq:
        # What is older than it stays stale.
        numbers[key] = seq - 1


def waiting_key(entry: TextEntry, message: Envelope) -> Hashable | None:
    """Return what a message stands for while it waits; None where it is all its own."""
    if not entry.latest:
        return None
    if entry.key is None:
        return entry, message.room
    value = field_of(message.data, entry.key)
    if not isinstance(value, str | int | float):
        return None
    return entry, message.room, value


def _holder(session: Session, room: str | None) -> Session | Membership | None:
    """Return what keeps the numbers of a room, or those outside of any."""
    # A plugin may have ended the membership meanwhile.
    return session if room is None else session.memberships.get(room)
