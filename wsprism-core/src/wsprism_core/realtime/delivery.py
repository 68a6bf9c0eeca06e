"""Delivery: post now, flush once at the end of the turn.

Posting a message to a session is one append to one of its lanes, and to a room one
append to the tail of its audience. The first post of a turn of the event loop marks
either; at the end of the turn each session with something new is flushed with one
write.

What is not urgent takes only so many writes a turn, and goes on in the next, behind
whatever has come meanwhile: a flood of chat to a thousand members does not keep an
input of the game waiting until the last of them has it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from wsprism_core.realtime.audience import SHARING_PAYS_FROM, Audience, Tail
from wsprism_core.realtime.backlog import LaneCounters, Pull, Unsent
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.deadline import WriteDeadline
from wsprism_core.realtime.lanes import Lane
from wsprism_core.realtime.outbox import (
    POSTED_LIMIT,
    WRITE_CHUNK,
    Outbox,
    OutboxState,
)
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = ("WRITES_PER_TURN", "DeliveryEngine", "MessageTooLarge")

#: Writes of what is not urgent in one turn, of 10 to 25 us each.
WRITES_PER_TURN: Final = 24

CLEAN, DIRTY, STALLED, CLOSED, SHARING = OutboxState


class MessageTooLarge(ValueError):
    """A message is larger than its lane takes.

    Args:
        lane: The lane's name.
        size: The message's, in bytes on the wire.
        largest: What the lane takes.
    """

    def __init__(self, lane: str, size: int, largest: int) -> None:
        super().__init__(lane, size, largest)
        self.lane = lane
        self.size = size
        self.largest = largest

    def __str__(self) -> str:
        return (
            f"a message of {self.size} bytes is larger than the lane {self.lane}"
            f" takes ({self.largest})"
        )


class DeliveryEngine:
    """Posts messages to sessions and flushes them.

    Args:
        clock: When a turn ends.
        lanes: The gateway's lanes, in order.
        slow_consumer: Called at the end of the turn with each session whose reliable
            messages exceeded a bound; it closes the session.
        writes: The write deadline; None is none.

    Attributes:
        writes_per_turn: Writes of what is not urgent in one turn.
    """

    def __init__(
        self,
        clock: Clock,
        lanes: tuple[Lane, ...],
        slow_consumer: Callable[[Session], None],
        writes: WriteDeadline | None = None,
    ) -> None:
        self._clock = clock
        self._writes = writes
        self.writes_per_turn = WRITES_PER_TURN
        names = [lane.name for lane in lanes]
        #: The last lane that is urgent.
        self._urgent = names.index("realtime") if "realtime" in names else 0
        self.lanes = lanes
        self._largest = tuple(lane.max_message_bytes for lane in lanes)
        self.counters = tuple(LaneCounters() for _ in lanes)
        #: What was not sent, and why.
        self.unsent: Unsent = Counter()
        self._slow_consumer = slow_consumer
        self._dirty: list[Session] = []
        # Those of them with something urgent.
        self._hasty: deque[Session] = deque()
        self._sharing: deque[Audience] = deque()
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

    def outbox(self, tenant: str = "") -> Outbox:
        """Return a new, empty outbox for a session of a tenant."""
        return Outbox(self.lanes, self.counters, self._clock.now, tenant, self.unsent)

    def post(self, session: Session, message: Outgoing) -> None:
        """Queue a message for one session.

        Raises:
            ValueError: Its data cannot be encoded, or it is larger than its lane takes;
                nothing is queued.
        """
        form = message.form(session.wire)
        if form.size > self._largest[message.lane]:
            raise self._too_large(form, session.tenant)
        self._post((session,), form)

    def post_form(self, session: Session, form: Form) -> None:
        """Queue a message that is bytes already."""
        self._post((session,), form)

    def broadcast(
        self,
        audiences: Mapping[Wire, Audience],
        message: Outgoing,
        exclude: Session | None = None,
    ) -> None:
        """Queue a message for a whole room, encoded once per wire.

        Args:
            audiences: The room's sessions, by their wire.
            message: The message.
            exclude: A session that does not get it.

        Raises:
            ValueError: Its data cannot be encoded for one wire, or it is larger than
                its lane takes; nothing is queued.
        """
        largest = self._largest[message.lane]
        forms = []
        for wire, audience in audiences.items():
            form = message.form(wire)
            if form.size > largest:
                tenant = next(iter(audience)).tenant
                raise self._too_large(form, tenant)
            forms.append((audience, form))
        for audience, form in forms:
            self._share(audience, form, exclude)

    def fits(self, wire: Wire, message: Outgoing) -> bool:
        """Whether a message on a wire is none too large for its lane.

        Raises:
            ValueError: Its data cannot be encoded.
        """
        return self.takes(message.lane, message.form(wire).size)

    def takes(self, lane: int, size: int) -> bool:
        """Whether a lane takes a message of so many bytes."""
        return size <= self._largest[lane]

    def check(self, audiences: Iterable[Wire], message: Outgoing) -> None:
        """See that a message can be sent on some wires.

        Raises:
            ValueError: Its data cannot be encoded for one of them.
            MessageTooLarge: It is larger than its lane takes.
        """
        for wire in audiences:
            form = message.form(wire)
            if form.size > self._largest[message.lane]:
                raise self._too_large(form, "")

    def post_each(self, sessions: Iterable[Session], message: Outgoing) -> None:
        """Queue a message for several sessions, encoded once per wire.

        Raises:
            ValueError: As for a broadcast.
        """
        groups: dict[Wire, list[Session]] = {}
        for session in sessions:
            groups.setdefault(session.wire, []).append(session)
        forms = [(group, message.form(wire)) for wire, group in groups.items()]
        for group, form in forms:
            if form.size > self._largest[message.lane]:
                raise self._too_large(form, group[0].tenant)
        for group, form in forms:
            self._post(group, form)

    def pull(self, session: Session, pull: Pull) -> None:
        """Queue a marker; its source is asked when the session's socket can take it."""
        self._have_own(session)
        outbox = session.outbox
        if outbox.state is CLOSED:
            return
        outbox.pull(pull)
        if outbox.state is CLEAN:
            outbox.state = DIRTY
            self._dirty.append(session)
            self._schedule()

    def _post(self, sessions: Iterable[Session], form: Form) -> None:
        lane, size = form.message.lane, form.size
        is_urgent = lane <= self._urgent
        dirty: deque[Session] | list[Session] = (
            self._hasty if is_urgent else self._dirty
        )
        # A flush may end a session, and so change the members.
        for session in tuple(sessions):
            outbox = session.outbox
            state = outbox.state
            if state is SHARING:
                self._have_own(session)
            elif state is STALLED:
                if not outbox.offer(form):
                    self._overflow(session)
                continue
            elif state is CLOSED:
                continue
            outbox.queues[lane].append(form)
            outbox.posted += size
            if state is CLEAN:
                outbox.state = DIRTY
                dirty.append(session)
            elif is_urgent:
                dirty.append(session)
            if outbox.posted > POSTED_LIMIT:
                self.flush_session(session)
        if dirty or self._overflowed:
            self._schedule()

    def _share(self, audience: Audience, form: Form, exclude: Session | None) -> None:
        """Put a message into an audience's tail, and post it to those who are apart."""
        tail = audience.tail
        if tail is None:
            if len(audience.members) < SHARING_PAYS_FROM:
                members: Iterable[Session] = audience.members
                if exclude is not None:
                    members = [one for one in members if one is not exclude]
                self._post(members, form)
                return
            tail = self._begin_sharing(audience)
        if exclude is not None and audience.serves(exclude):
            audience.part(exclude)
        tail.add(form)
        if audience.apart:
            self._post([one for one in audience.apart if one is not exclude], form)
        if tail.posted > POSTED_LIMIT:
            self._flush_at_once(audience)

    def _begin_sharing(self, audience: Audience) -> Tail:
        """Let the members share a tail until it is written, but for some."""
        if not audience.is_due:
            audience.is_due = True
            self._sharing.append(audience)
        tail = audience.begin()
        for session in audience.members:
            outbox = session.outbox
            if outbox.state is CLEAN:
                outbox.state = SHARING
                outbox.shared = tail
            elif not audience.serves(session):
                # It has something of its own already, or its socket is full.
                audience.apart[session] = None
        self._schedule()
        return tail

    def _have_own(self, session: Session) -> None:
        """See to it that what waits for a session is in its own lanes."""
        shared = session.outbox.shared
        if shared is not None:
            shared.audience.part(session)

    def flush(self) -> None:
        """Write what waits, the urgent first, and cut the slow consumers.

        What is not urgent is written up to a number of writes; the rest is scheduled.
        """
        self._flush_due = False
        left = self.writes_per_turn
        try:
            if self._hasty or self._sharing:
                self._flush_urgent()
                left = self._flush_audiences(left)
            # Sessions have a share even where rooms would take all of it.
            self._flush_sessions(max(left, 1 + self.writes_per_turn // 4))
        finally:
            # There is more than fits a turn, or something failed that never should.
            if self._hasty or self._sharing or self._dirty:
                self._schedule()
        # Cutting a session changes rooms, so no loop over members may be under way.
        overflowed, self._overflowed = self._overflowed, []
        for session in overflowed:
            self._slow_consumer(session)

    def _flush_urgent(self) -> None:
        """Flush every session and audience that has something urgent."""
        for audience in self._sharing:
            self._dirty += audience.parted
            audience.parted = []
        hasty = self._hasty
        while hasty:
            session = hasty.popleft()
            if session.outbox.state is DIRTY:
                self.flush_session(session)
        urgent = self._urgent
        for audience in tuple(self._sharing):
            tail = audience.tail
            if tail is not None and min(tail.lanes) <= urgent:
                self._flush_at_once(audience)

    def _flush_audiences(self, left: int) -> int:
        """Write tails, each audience's in its turn; return how many writes are left."""
        for _ in range(len(self._sharing)):
            if left <= 0:
                break
            audience = self._sharing.popleft()
            try:
                if audience.is_overtaken:
                    audience.end_late()
                while left > 0 and (audience.late or audience.tail):
                    left = self._write_tail(audience, left)
            finally:
                audience.is_due = bool(audience.late or audience.tail)
                if audience.is_due:
                    self._sharing.append(audience)
                self._dirty += audience.parted
                audience.parted = []
        return left

    def _flush_sessions(self, left: int) -> None:
        """Flush sessions that have something of their own, with `left` writes."""
        dirty, self._dirty = self._dirty, []
        dirty.reverse()
        try:
            while dirty and left > 0:
                session = dirty.pop()
                if session.outbox.state is DIRTY:
                    left -= 1
                    self.flush_session(session)
        finally:
            dirty.reverse()
            self._dirty = dirty + self._dirty

    def flush_session(self, session: Session) -> None:
        """Write what one session has waiting, as far as its socket takes it."""
        outbox = session.outbox
        if outbox.shared is not None:
            self._have_own(session)
        if not outbox.flush(session.link, session):
            self._overflow(session)
        elif outbox.state is STALLED:
            self._watch(session)

    def send_now(self, session: Session) -> None:
        """Write what a session has waiting, without waiting for the end of the turn."""
        if session.outbox.state in (DIRTY, SHARING):
            self.flush_session(session)

    def let_go(self, session: Session, room: object) -> None:
        """See to it that nothing of a room follows: send it now or forget it."""
        self.send_now(session)
        session.outbox.drop_room(room)

    def fetch_again(
        self, session: Session, room: object, pulls: Iterable[Pull]
    ) -> None:
        """Have what a session missed of a room pulled, in the place of what waits.

        What can be sent of the room is sent before, and what cannot be is forgotten: it
        is among what is pulled.
        """
        self.send_now(session)
        session.outbox.drop_recoverable(room)
        for pull in pulls:
            self.pull(session, pull)

    def pause(self, session: Session) -> None:
        """Note that a session's socket takes nothing."""
        self._have_own(session)
        if not session.outbox.stall():
            self._overflow(session)
        elif session.outbox.state is STALLED:
            self._watch(session)

    def resume(self, session: Session) -> None:
        """Note that a session's socket takes bytes again."""
        outbox = session.outbox
        if outbox.state is STALLED:
            self.flush_session(session)
            if outbox.state is CLEAN and self._writes is not None:
                self._writes.forget(session)

    def close(self, session: Session) -> None:
        """Forget what waits for a session, and take nothing more for it."""
        session.outbox.close()
        if self._writes is not None:
            self._writes.forget(session)

    def _flush_at_once(self, audience: Audience) -> None:
        """Write all that an audience has, without a bound."""
        audience.end_late()
        if audience.tail is not None:
            self._write_tail(audience, len(audience.members))
        parted, audience.parted = audience.parted, []
        for session in parted:
            if session.outbox.state is DIRTY:
                self.flush_session(session)

    def _write_tail(self, audience: Audience, left: int) -> int:
        """Write an audience's tail to those who share it, joined once for all.

        Args:
            audience: Has a late tail or an open one; the late one comes first.
            left: How many writes there may be.

        Returns:
            How many are left of those.
        """
        tail = audience.late or audience.take_tail()
        forms = tail.in_order()
        chunks = _chunks(forms, tail.posted)
        waiting = tail.waiting
        served = 0
        # A write may end a session, and so change the members.
        while waiting and served < left:
            session = waiting.pop()
            outbox = session.outbox
            if outbox.shared is not tail:
                continue
            served += 1
            outbox.shared = None
            outbox.state = CLEAN
            for data, rest in chunks:
                if not session.link.write(data):
                    self._keep_rest(session, rest)
                    break
            if audience.tail is not None:
                self._go_on_sharing(audience, audience.tail, session)
        for form in forms:
            self.counters[form.message.lane].messages_out += served
        if not waiting:
            audience.late = None
        return left - served

    def _go_on_sharing(self, audience: Audience, tail: Tail, session: Session) -> None:
        """Let a session that has got the late tail wait for the open one."""
        outbox = session.outbox
        if session not in audience.members or session in audience.apart:
            return
        if outbox.state is CLEAN:
            outbox.state = SHARING
            outbox.shared = tail
        elif outbox.state is STALLED:
            audience.apart[session] = None
            for form in tail.in_order():
                if not outbox.offer(form):
                    self._overflow(session)
                    break

    def _keep_rest(self, session: Session, left: Sequence[Form]) -> None:
        """Let wait what a socket that is full did not take of a tail."""
        kept = session.outbox.stall()
        if session.outbox.state is STALLED:
            self._watch(session)
            for form in left:
                self.counters[form.message.lane].messages_out -= 1
                kept = kept and session.outbox.offer(form)
            if not kept:
                self._overflow(session)

    def _overflow(self, session: Session) -> None:
        """Take nothing more for a session, and cut it at the end of the turn."""
        self.close(session)
        self._overflowed.append(session)
        self._schedule()

    def _watch(self, session: Session) -> None:
        """See to it that a session whose socket is full gets on."""
        if self._writes is not None:
            self._writes.watch(session)

    def _too_large(self, form: Form, tenant: str) -> MessageTooLarge:
        message = form.message
        lane = self.lanes[message.lane]
        self.unsent[tenant, message.svc, lane.name, "too_large"] += 1
        return MessageTooLarge(lane.name, form.size, lane.max_message_bytes)

    def _schedule(self) -> None:
        """See to it that there is a flush at the end of the turn."""
        if not self._flush_due:
            self._flush_due = True
            self._clock.at_end_of_turn(self.flush)


def _chunks(forms: Sequence[Form], size: int) -> list[tuple[bytes, Sequence[Form]]]:
    """Return bytes to write, a chunk at a time, and what is left behind each."""
    if size <= WRITE_CHUNK:
        return [(b"".join([form.data for form in forms]), ())]
    chunks: list[tuple[bytes, Sequence[Form]]] = []
    taken: list[bytes] = []
    size = 0
    for place, form in enumerate(forms):
        if taken and size + form.size > WRITE_CHUNK:
            chunks.append((b"".join(taken), forms[place:]))
            taken, size = [], 0
        taken.append(form.data)
        size += form.size
    chunks.append((b"".join(taken), ()))
    return chunks
