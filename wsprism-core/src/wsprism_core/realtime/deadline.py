"""The write deadline: who reads nothing, or next to nothing, is no reader.

A session whose socket is full is watched until nothing waits for it any more. It is a
slow consumer where its transport takes not one byte for so long, or less than so many
bytes a second over ten seconds: a reader of one byte a second is never silent, and
would hold its backlog forever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wsprism_core.realtime.wheel import Deadline, Wheel

if TYPE_CHECKING:
    from wsprism_core.realtime.session import Session

__all__ = ("WriteDeadline",)

#: The time over which a rate is measured, in seconds.
RATE_SECONDS: Final = 10.0
#: How many looks fall into the shorter of the two times.
LOOKS: Final = 4


class _Watch:
    """What is known of one session's progress, in ticks of the wheel."""

    __slots__ = ("began", "began_with", "progress", "taken")

    def __init__(self, tick: int, taken: int) -> None:
        #: When bytes were taken last, and how many there were in all.
        self.progress = tick
        self.taken = taken
        #: Where the time over which the rate is measured began.
        self.began = tick
        self.began_with = taken


class WriteDeadline:
    """Looks at the sessions whose sockets are full.

    Args:
        wheel: Counts the time; it stands still while the event loop is blocked.
        silence: Seconds in which a transport must take something; 0 is forever.
        bytes_per_s: What it must take at least, over ten seconds; 0 is nothing.
        missed: Called with a slow consumer; it ends the session.
    """

    def __init__(
        self,
        wheel: Wheel,
        *,
        silence: float,
        bytes_per_s: int,
        missed: Callable[[Session], None],
    ) -> None:
        self._wheel = wheel
        self._missed = missed
        self._silence = silence
        self._bytes = bytes_per_s * RATE_SECONDS
        shorter = min(silence, RATE_SECONDS) if silence else RATE_SECONDS
        self._pause = shorter / LOOKS
        self._watched: dict[Session, _Watch] = {}
        self._next: Deadline | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, session: Session) -> None:
        """Look at a session until it is forgotten."""
        if session not in self._watched and (self._silence or self._bytes):
            self._watched[session] = _Watch(self._wheel.ticks, session.taken)
            if self._next is None:
                self._next = self._wheel.after(self._pause, self._look)

    def forget(self, session: Session) -> None:
        """Look at a session no more: nothing waits for it, or it is over."""
        self._watched.pop(session, None)

    def _look(self) -> None:
        now = self._wheel.ticks
        late = [
            session
            for session, watch in self._watched.items()
            if self._is_late(session, watch, now)
        ]
        for session in late:
            self.forget(session)
            self._missed(session)
        more = bool(self._watched)
        self._next = self._wheel.after(self._pause, self._look) if more else None

    def _is_late(self, session: Session, watch: _Watch, now: int) -> bool:
        tick = self._wheel.tick
        taken = session.taken
        if taken != watch.taken:
            watch.taken = taken
            watch.progress = now
        elif self._silence and (now - watch.progress) * tick >= self._silence:
            return True
        if (now - watch.began) * tick >= RATE_SECONDS:
            if taken - watch.began_with < self._bytes:
                return True
            watch.began, watch.began_with = now, taken
        return False
