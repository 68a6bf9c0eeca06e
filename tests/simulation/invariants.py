"""What must hold at every step of a simulation, and what it is called when it does not.

The page `docs/explanation/simulation.md` has one row for each name, with the bug that
shows that it can fail.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ("EXPLAINED", "Invariant", "Violation")


class Invariant(StrEnum):
    """Something that must hold."""

    BOUNDS = "bounds"
    SOCKET = "socket"
    FLUSH = "flush"
    RELIABLE = "reliable"
    ONCE = "once"
    FIFO = "fifo"
    LANES = "lanes"
    FLOOR = "floor"
    RANGES = "ranges"
    NUMBERS = "numbers"
    ORDER = "order"
    LATEST = "latest"
    VOLATILE = "volatile"
    PULLED = "pulled"
    RECOVERY = "recovery"
    RESUME = "resume"
    ENCODE_ONCE = "encode-once"
    TENANTS = "tenants"
    LEFT = "left"
    ANSWERS = "answers"
    COUNTERS = "counters"
    CLOSES = "closes"
    PLUGINS = "plugins"
    REMAINS = "remains"


#: Each in a sentence.
EXPLAINED: Final = {
    Invariant.BOUNDS: "What waits in a lane is within the lane's bounds, in messages "
    "and in bytes, and the outbox knows how many bytes it is; no message is larger "
    "than its lane takes.",
    Invariant.SOCKET: "Nothing is written to a socket that is full, and a session that "
    "has stalled gets no write over 16 KiB but a single message.",
    Invariant.FLUSH: "When a turn ends and the socket takes bytes, nothing waits.",
    Invariant.RELIABLE: "No reliable message is missing.",
    Invariant.ONCE: "What is written was posted to this session, and is written once.",
    Invariant.FIFO: "Messages of one session and lane leave in the order of posting.",
    Invariant.LANES: "A lower lane's bytes leave only while the lanes above are empty "
    "or its floor is due.",
    Invariant.FLOOR: "A lane that waits gets a message for each 64 KiB sent above it.",
    Invariant.RANGES: "A `sys.lost` stands where the missing messages stood and covers "
    "them exactly; ranges that touch are one; nothing recoverable is missing without.",
    Invariant.NUMBERS: "A member has every number of a room from its `sys.joined` on, "
    "in a message or in a range; who goes on from an earlier one has everything since.",
    Invariant.ORDER: "All members see one order of what is sent to a room, and one "
    "message under each number.",
    Invariant.LATEST: "The newest of a key replaces its elder in place, a reader that "
    "is fast enough gets each one, and no older one comes after a newer.",
    Invariant.VOLATILE: "What was received of a volatile type and what was told as "
    "lost is what was sent.",
    Invariant.PULLED: "What is pulled is asked for when it can be written and not "
    "before, in the place of its marker; no marker is forgotten.",
    Invariant.RECOVERY: "Who joins again is told rightly whether all that he missed "
    "can be had.",
    Invariant.RESUME: "Who comes back within the window goes on in its session and "
    "its rooms, and gets everything behind the last number that it has; who comes "
    "later, or had said goodbye, begins anew and is told so.",
    Invariant.ENCODE_ONCE: "A broadcast is encoded once for each wire.",
    Invariant.TENANTS: "Nobody gets anything of another tenant.",
    Invariant.LEFT: "Nothing of a room comes after `sys.left`, nor before "
    "`sys.joined`.",
    Invariant.ANSWERS: "Who asks gets one answer, after the effects that it reports.",
    Invariant.COUNTERS: "The counters of each lane say what happened in it.",
    Invariant.CLOSES: "A session is closed 4001 when a lane has no room for what may "
    "not be dropped or its socket misses the write deadline, and only then; a client "
    "that reads and answers is not closed.",
    Invariant.PLUGINS: "No plugin raises anything.",
    Invariant.REMAINS: "When everybody has gone there is no session, room, membership "
    "or timer left.",
}


class Violation(AssertionError):
    """Something did not hold.

    Attributes:
        invariant: What.
        told: What was seen instead.
    """

    def __init__(self, invariant: Invariant, told: str) -> None:
        super().__init__(invariant, told)
        self.invariant = invariant
        self.told = told

    def __str__(self) -> str:
        return f"{self.invariant}: {self.told}\n  ({EXPLAINED[self.invariant]})"
