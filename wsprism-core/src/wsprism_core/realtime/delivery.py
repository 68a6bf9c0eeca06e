"""Delivery: post now, flush once at the end of the turn.

Posting a message to a session is one append to one of its lanes. The first post of a
turn of the event loop marks the session; at the end of the turn each marked session is
flushed with one write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from wsprism_core.realtime.backlog import LaneCounters, Pull
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.lanes import Lane
from wsprism_core.realtime.outbox import POSTED_LIMIT, Outbox, OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = ("DeliveryEngine",)

CLEAN, DIRTY, STALLED, CLOSED = OutboxState


class DeliveryEngine:
    """Posts messages to sessions and flushes them.

    Args:
        clock: When a turn ends.
        lanes: The gateway's lanes, in order.
        slow_consumer: Called at the end of the turn with each session whose reliable
            messages exceeded a bound; it closes the session.
    """

    def __init__(
        self,
        clock: Clock,
        lanes: tuple[Lane, ...],
        slow_consumer: Callable[[Session], None],
    ) -> None:
        self._clock = clock
        self.lanes = lanes
        self.counters = tuple(LaneCounters() for _ in lanes)
        self._slow_consumer = slow_consumer
        self._dirty: list[Session] = []
        self._overflowed: list[Session] = []
        self._flush_due = False

    def lane(self, name: str) -> int:
        """Return a lane's index.

        Raises:
            KeyError: There is no lane of that name.
        """
        for index, lane in enumerate(self.lanes):
            if lane.name == name:
                return index
        raise KeyError(name)

    def outbox(self) -> Outbox:
        """Return a new, empty outbox."""
        return Outbox(self.lanes, self.counters, self._clock.now)

    def post(self, session: Session, message: Outgoing) -> None:
        """Queue a message for one session.

        Raises:
            ValueError: Its data cannot be encoded; nothing is queued.
        """
        self._post((session,), message.form(session.wire))

    def post_form(self, session: Session, form: Form) -> None:
        """Queue a message that is bytes already."""
        self._post((session,), form)

    def broadcast(
        self,
        audience: Mapping[Wire, Iterable[Session]],
        message: Outgoing,
        exclude: str | None = None,
    ) -> None:
        """Queue a message for many sessions, encoded once per wire.

        Args:
            audience: The sessions, by their wire.
            message: The message.
            exclude: The id of a session that does not get it.

        Raises:
            ValueError: Its data cannot be encoded for one wire; nothing is queued.
        """
        forms = [(message.form(wire), group) for wire, group in audience.items()]
        for form, group in forms:
            if exclude is not None:
                group = [session for session in group if session.id != exclude]
            self._post(group, form)

    def pull(self, session: Session, pull: Pull) -> None:
        """Queue a marker; its source is asked when the session's socket can take it."""
        outbox = session.outbox
        if outbox.state is CLOSED:
            return
        outbox.pull(pull)
        if outbox.state is CLEAN:
            outbox.state = DIRTY
            self._dirty.append(session)
            self._schedule()

    def _post(self, sessions: Iterable[Session], form: Form) -> None:
        lane, size, dirty = form.passage.lane, form.size, self._dirty
        for session in sessions:
            outbox = session.outbox
            state = outbox.state
            if state is STALLED:
                if not outbox.offer(form):
                    self._overflow(session)
            elif state is not CLOSED:
                outbox.queues[lane].append(form)
                outbox.posted += size
                if state is CLEAN:
                    outbox.state = DIRTY
                    dirty.append(session)
                if outbox.posted > POSTED_LIMIT:
                    self.flush_session(session)
        if dirty or self._overflowed:
            self._schedule()

    def flush(self) -> None:
        """Write what every marked session has waiting, and cut the slow consumers."""
        self._flush_due = False
        dirty, self._dirty = self._dirty, []
        for session in dirty:
            if session.outbox.state is DIRTY:
                self.flush_session(session)
        # Cutting a session changes rooms, so no loop over members may be under way.
        overflowed, self._overflowed = self._overflowed, []
        for session in overflowed:
            self._slow_consumer(session)

    def flush_session(self, session: Session) -> None:
        """Write what one session has waiting, as far as its socket takes it."""
        if not session.outbox.flush(session.link, session):
            self._overflow(session)

    def send_now(self, session: Session) -> None:
        """Write what a session has waiting, without waiting for the end of the turn."""
        if session.outbox.state is DIRTY:
            self.flush_session(session)

    def let_go(self, session: Session, room: object) -> None:
        """See to it that nothing of a room follows: send it now or forget it."""
        self.send_now(session)
        session.outbox.drop_room(room)

    def pause(self, session: Session) -> None:
        """Note that a session's socket takes nothing."""
        if not session.outbox.stall():
            self._overflow(session)

    def resume(self, session: Session) -> None:
        """Note that a session's socket takes bytes again."""
        if session.outbox.state is STALLED:
            self.flush_session(session)

    def _overflow(self, session: Session) -> None:
        """Take nothing more for a session, and cut it at the end of the turn."""
        session.outbox.close()
        self._overflowed.append(session)
        self._schedule()

    def _schedule(self) -> None:
        """See to it that there is a flush at the end of the turn."""
        if not self._flush_due:
            self._flush_due = True
            self._clock.at_end_of_turn(self.flush)
