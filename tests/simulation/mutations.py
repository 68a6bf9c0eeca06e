"""Bugs for the engine: each breaks one promise, and the simulation must notice.

A mutation patches the product for as long as its context lasts. It acts now and then,
not always: a bug that shows at once would be found by any test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from simulation.invariants import Invariant
from simulation.tap import TappedEngine
from wsprism_chat.conversation import Conversation
from wsprism_core.gateway.recovery import _Replay
from wsprism_core.gateway.resume import NotResumed, Resumes
from wsprism_core.gateway.rooms import RoomDesk
from wsprism_core.realtime.audience import Audience, Tail
from wsprism_core.realtime.backlog import Backlog, Lost, Pull
from wsprism_core.realtime.deadline import WriteDeadline
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.lanes import Delivery
from wsprism_core.realtime.outbox import Outbox, OutboxState
from wsprism_core.realtime.rooms import Membership, Room, RoomRegistry
from wsprism_core.realtime.session import Session, SessionRegistry
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = ("MUTATIONS", "Mutation")

LATEST, VOLATILE, RELIABLE = Delivery.LATEST, Delivery.VOLATILE, Delivery.RELIABLE


class Mutation(NamedTuple):
    """A bug, and what it breaks.

    Args:
        inject: Patches the product until its context ends.
        caught_by: What notices it.
    """

    inject: Callable[[], Any]
    caught_by: Invariant


def _now_and_then(every: int) -> Callable[[], bool]:
    """Return what is true at every so-manieth call."""
    calls = count(1)
    return lambda: next(calls) % every == 0


# ---------------------------------------------------------------- what is written


def _writes(change: Callable[[Outbox, list[Form]], None]) -> Any:
    """Change what a session that takes everything is about to be written."""
    take = Outbox._take

    def mutated(self: Outbox) -> bytes:
        for queue in self.queues:
            change(self, queue)
        return take(self)

    return patch.object(Outbox, "_take", mutated)


def drop_a_message() -> Any:
    """A message that was queued is not written."""
    due = _now_and_then(500)

    def drop(_: Outbox, queue: list[Form]) -> None:
        if queue and _is_plain(queue[-1]) and due():
            queue.pop()

    return _writes(drop)


def drop_a_message_of_a_stalled_session() -> Any:
    """A message for a session whose socket is full is forgotten."""
    return _offers(_is_plain, 50)


def drop_a_volatile_message_silently() -> Any:
    """A volatile message goes at the bound, and no `sys.lost` says so."""
    return _offers(lambda form: form.message.delivery is VOLATILE, 10)


def write_a_message_twice() -> Any:
    """A message is written again, right behind itself."""
    due = _now_and_then(500)

    def repeat(_: Outbox, queue: list[Form]) -> None:
        if queue and due():
            queue.append(queue[-1])

    return _writes(repeat)


def reorder_a_lane() -> Any:
    """Two neighbours in a lane change places."""
    due = _now_and_then(50)

    def swap(_: Outbox, queue: list[Form]) -> None:
        if len(queue) > 1 and queue[0].message.delivery is RELIABLE and due():
            queue[0], queue[1] = queue[1], queue[0]

    return _writes(swap)


def swap_lanes() -> Any:
    """The lanes of a session that takes everything are written in reverse."""
    due = _now_and_then(5)
    take = Outbox._take

    def mutated(self: Outbox) -> bytes:
        if sum(map(bool, self.queues)) < 2 or not due():
            return take(self)
        self.queues.reverse()
        try:
            return take(self)
        finally:
            self.queues.reverse()

    return patch.object(Outbox, "_take", mutated)


# ------------------------------------------------------------------ what waits


def _is_plain(form: Form) -> bool:
    passage = form.message
    return passage.delivery is RELIABLE and passage.seq is None


def _offers(which: Callable[[Form], bool], every: int) -> Any:
    """Forget some of what should wait."""
    add = Backlog.add
    due = _now_and_then(every)

    def mutated(self: Backlog, form: Form) -> bool:
        if which(form) and due():
            return True
        return add(self, form)

    return patch.object(Backlog, "add", mutated)


def replace_nothing() -> Any:
    """The latest of a key waits behind its elder instead of replacing it."""
    add = Backlog.add
    due = _now_and_then(2)

    def mutated(self: Backlog, form: Form) -> bool:
        lane = self._waiting[form.message.lane]
        # Not in a lane that may be full by it, before anybody has read.
        if lane.latest and form.message.svc != "game" and due():
            lane.latest.clear()
        return add(self, form)

    forget = Backlog._forget

    def tolerant(self: Backlog, lane: Any, serial: int, entry: Any) -> None:
        if isinstance(entry, Form) and entry.message.delivery is LATEST:
            lane.latest = {k: v for k, v in lane.latest.items() if v != serial}
            return
        forget(self, lane, serial, entry)

    return _all(
        patch.object(Backlog, "add", mutated),
        patch.object(Backlog, "_forget", tolerant),
    )


def replace_the_wrong_key() -> Any:
    """The latest replaces what waits of another key of its lane."""
    add = Backlog.add
    due = _now_and_then(20)

    def mutated(self: Backlog, form: Form) -> bool:
        passage = form.message
        latest = self._waiting[passage.lane].latest
        slot = (passage.svc, passage.room, passage.key)
        if passage.delivery is LATEST and latest and slot not in latest and due():
            other = next(iter(latest))
            latest[slot] = latest.pop(other)
        return add(self, form)

    return patch.object(Backlog, "add", mutated)


def ignore_the_bound_in_bytes() -> Any:
    """A lane holds as many bytes as come."""
    return _bounds(lambda lane, bounds: len(lane.entries) > bounds.max_messages)


def ignore_the_bound_in_messages() -> Any:
    """A lane holds as many messages as come."""
    return _bounds(lambda lane, bounds: lane.bytes > bounds.max_bytes)


def _bounds(exceeded: Callable[[Any, Any], bool]) -> Any:
    hold = Backlog._hold_bounds

    def mutated(self: Backlog, index: int, newest: Any) -> bool:
        if not exceeded(self._waiting[index], self._lanes[index]):
            return True
        return hold(self, index, newest)

    return patch.object(Backlog, "_hold_bounds", mutated)


def misjudge_what_is_replaced() -> Any:
    """What replaces its elder is taken to be as large as it was."""
    add = Backlog.add

    def mutated(self: Backlog, form: Form) -> bool:
        lane = self._waiting[form.message.lane]
        count, size = len(lane.entries), lane.bytes
        fits = add(self, form)
        if len(lane.entries) == count:
            lane.bytes = size
        return fits

    return patch.object(Backlog, "add", mutated)


def close_too_early() -> Any:
    """A session is closed although what waits would fit."""
    hold = Backlog._hold_bounds
    due = _now_and_then(200)

    def mutated(self: Backlog, index: int, newest: Any) -> bool:
        return not due() and hold(self, index, newest)

    return patch.object(Backlog, "_hold_bounds", mutated)


def forget_to_close() -> Any:
    """A session whose lane is full gets nothing more, and is not told."""
    return patch.object(DeliveryEngine, "_overflow", lambda _, s: s.outbox.close())


def skip_a_lost() -> Any:
    """What gives way at the bound is not told."""
    replace = Backlog._replace_by_lost

    def mutated(self: Backlog, index: int, serials: Any) -> None:
        replace(self, index, serials)
        lane = self._waiting[index]
        for serial in list(lane.lost.values()):
            entry = lane.entries[serial]
            if isinstance(entry, Lost) and entry.from_seq is not None:
                self._remove(index, serial)

    return patch.object(Backlog, "_replace_by_lost", mutated)


def tell_a_wrong_range() -> Any:
    """A range ends one number too early."""
    encode = Lost.encode

    def mutated(self: Lost, wire: Wire) -> bytes:
        if self.to_seq is not None:
            self.to_seq -= 1
            self.count -= 1
        return encode(self, wire)

    return patch.object(Lost, "encode", mutated)


def count_volatile_wrongly() -> Any:
    """The `sys.lost` of volatile messages says one more than there were."""
    encode = Lost.encode

    def mutated(self: Lost, wire: Wire) -> bytes:
        if self.to_seq is None:
            self.count += 1
        return encode(self, wire)

    return patch.object(Lost, "encode", mutated)


def never_pay_the_floor() -> Any:
    """The lanes are served in strict order, whatever starves."""

    def mutated(self: Backlog) -> int | None:
        for index, lane in enumerate(self._waiting):
            if lane.entries:
                return index
        return None

    return patch.object(Backlog, "_next_lane", mutated)


def count_no_conflation() -> Any:
    """What is replaced is not counted."""
    add = Backlog.add

    def mutated(self: Backlog, form: Form) -> bool:
        counters = self._counters[form.message.lane]
        before = counters.conflated
        fits = add(self, form)
        counters.conflated = before
        return fits

    return patch.object(Backlog, "add", mutated)


# ------------------------------------------------------------------ who gets what


def deliver_across_tenants() -> Any:
    """A broadcast finds the room of that name in another tenant."""
    get = RoomRegistry.get
    due = _now_and_then(50)

    def mutated(self: RoomRegistry, tenant: str, name: str) -> Room | None:
        if name.startswith("r") and due():
            other = get(self, "acme" if tenant == "zeta" else "zeta", name)
            if other is not None:
                return other
        return get(self, tenant, name)

    return patch("wsprism_core.gateway.egress.Egress._room_for", _room_for(mutated))


def _room_for(get: Callable[[Any, str, str], Room | None]) -> Any:
    from wsprism_core.gateway.egress import Egress

    find = Egress._room_for

    def mutated(self: Any, name: str | None, tenant: str, origin: Any) -> Any:
        room = find(self, name, tenant, origin)
        return None if room is None else get(self._rooms, tenant, room.name)

    return mutated


def deliver_after_left() -> Any:
    """What waits of a room is not forgotten when the room is left."""
    drop = Backlog.drop_room

    def mutated(self: Backlog, room: object, *, recoverable: bool = False) -> None:
        if recoverable:
            drop(self, room, recoverable=True)

    return _all(
        patch.object(Outbox, "drop_room", lambda *_: None),
        patch.object(Backlog, "drop_room", mutated),
    )


def keep_a_member() -> Any:
    """A session that has left a room stays in its audience."""
    remove = Audience.remove
    due = _now_and_then(2)

    def mutated(self: Audience, session: Session) -> None:
        remove(self, session)
        if session.outbox.state is not OutboxState.CLOSED and self.members and due():
            self.members[session] = None

    return patch.object(Audience, "remove", mutated)


def share_with_a_newcomer_what_came_before() -> Any:
    """Who joins gets what the turn had for the room before."""
    add = Audience.add

    def mutated(self: Audience, session: Session) -> None:
        add(self, session)
        outbox = session.outbox
        if outbox.state is OutboxState.DIRTY and self.tail is not None:
            for lane, forms in self.tail.lanes.items():
                outbox.queues[lane] += forms
                outbox.posted += sum(form.size for form in forms)

    return patch.object(Audience, "add", mutated)


def part_with_nothing() -> Any:
    """A member that is served by itself is not given what its room had so far."""
    due = _now_and_then(5)
    take_over = Outbox.take_over

    def mutated(self: Outbox, tail: Any, size: int) -> None:
        plain = all(_is_plain(form) for forms in tail.values() for form in forms)
        take_over(self, *(({}, 0) if plain and due() else (tail, size)))

    return patch.object(Outbox, "take_over", mutated)


def join_a_tail_in_any_order() -> Any:
    """What a room's members share is written in the order of posting, not of lanes."""
    take = Audience.take_tail

    def mutated(self: Audience) -> Tail:
        tail = take(self)
        tail.lanes = {-lane: forms for lane, forms in tail.lanes.items()}
        return tail

    return patch.object(Audience, "take_tail", mutated)


def forget_who_was_late() -> Any:
    """Who has got the late tail is not given the one that was opened meanwhile."""
    return patch.object(DeliveryEngine, "_go_on_sharing", lambda *args: None)


def write_the_late_tail_first() -> Any:
    """Who has not got the late tail gets it before whatever the open one has."""
    return patch.object(Audience, "is_overtaken", False)


def encode_for_each_member() -> Any:
    """A broadcast is encoded anew for every member."""

    def mutated(
        self: DeliveryEngine,
        audiences: Mapping[Wire, Audience],
        message: Outgoing,
        exclude: Session | None = None,
    ) -> None:
        for audience in audiences.values():
            for session in audience:
                if session is not exclude:
                    self.post(session, message)

    return patch.object(DeliveryEngine, "broadcast", mutated)


def number_a_room_with_a_hole() -> Any:
    """A room leaves out a number."""
    from wsprism_core.history.memory import MemoryHistory

    append = MemoryHistory.append
    due = _now_and_then(20)

    def mutated(self: MemoryHistory, message: Any, stored: Any) -> None:
        append(self, message, stored)
        if due():
            self.seq += 1

    return patch.object(MemoryHistory, "append", mutated)


def give_one_member_another_order() -> Any:
    """One member of a room gets a broadcast only after the next one."""
    broadcast = TappedEngine.broadcast
    held: list[tuple[Session, Outgoing]] = []
    due = _now_and_then(20)

    def mutated(
        self: TappedEngine,
        audiences: Mapping[Wire, Audience],
        message: Outgoing,
        exclude: Session | None = None,
    ) -> None:
        plain = message.delivery is RELIABLE and message.seq is None
        if not held and plain and exclude is None and due():
            one = next(session for group in audiences.values() for session in group)
            broadcast(self, audiences, message, one)
            held.append((one, message))
            return
        broadcast(self, audiences, message, exclude)
        while held:
            self.post(*held.pop())

    return patch.object(TappedEngine, "broadcast", mutated)


def replay_a_part() -> Any:
    """Of what a member missed, one message is left out."""
    message = _Replay._message
    due = _now_and_then(20)

    def mutated(self: _Replay, kept: Any) -> Outgoing | None:
        return None if due() else message(self, kept)

    return patch.object(_Replay, "_message", mutated)


def let_live_messages_go_first() -> Any:
    """What a member missed comes behind what is live."""

    def mutated(
        self: DeliveryEngine, session: Session, room: object, pulls: Iterable[Pull]
    ) -> None:
        self.send_now(session)
        session.outbox.drop_recoverable(room)
        for pull in pulls:
            self._clock.after(0.05, partial(self.pull, session, pull))

    return patch.object(DeliveryEngine, "fetch_again", mutated)


def promise_what_is_gone() -> Any:
    """Who missed more than is kept is told that it comes."""
    return patch("wsprism_core.gateway.rooms.judge", lambda *_: None)


def forget_what_was_missed() -> Any:
    """Who comes back is taken to have had everything."""
    attach = RoomDesk.attach
    due = _now_and_then(3)

    def mutated(self: RoomDesk, session: Session) -> Any:
        if due():
            for membership in session.memberships.values():
                membership.proven = membership.room.channel.seq
        return attach(self, session)

    return patch.object(RoomDesk, "attach", mutated)


def take_for_arrived_what_was_asked_for() -> Any:
    """Who joins to go on is taken to have had everything already."""
    return patch.object(Membership, "starts_behind", lambda *_: None)


def turn_away_who_returns() -> Any:
    """Who comes back in time is told that it is too late."""
    find = Resumes.find
    due = _now_and_then(5)

    def mutated(self: Resumes, token: str, tenant: str, user: str) -> Any:
        return NotResumed.EXPIRED if due() else find(self, token, tenant, user)

    return patch.object(Resumes, "find", mutated)


def forget_a_marker() -> Any:
    """A marker is not served."""
    pull = Outbox.pull
    due = _now_and_then(10)

    def mutated(self: Outbox, marker: Pull) -> None:
        if not due():
            pull(self, marker)

    return patch.object(Outbox, "pull", mutated)


def drop_what_was_pulled() -> Any:
    """Of what a source gave, the last is not written."""
    pull = Pull.pull
    due = _now_and_then(4)

    def mutated(self: Pull, reader: Any, budget: int) -> Any:
        messages, more = pull(self, reader, budget)
        return messages[:-1] if due() else messages, more

    return patch.object(Pull, "pull", mutated)


def ignore_the_largest_message() -> Any:
    """A lane takes a message of any size."""
    begin = DeliveryEngine.__init__

    def mutated(self: DeliveryEngine, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self._largest = tuple(10**9 for _ in self._largest)

    return patch.object(DeliveryEngine, "__init__", mutated)


def answer_twice() -> Any:
    """A message that asks for it is acknowledged again."""
    from wsprism_core.gateway.egress import Egress

    finish = Egress.finish

    def mutated(self: Egress, origin: Any) -> None:
        finish(self, origin)
        if origin.wants_ack:
            self.acknowledge(origin)

    return patch.object(Egress, "finish", mutated)


def forget_to_free_a_session() -> Any:
    """The registry goes on listing sessions of a user that are over."""
    remove = SessionRegistry.remove
    due = _now_and_then(10)

    def mutated(self: SessionRegistry, session: Session) -> bool:
        if not due():
            return remove(self, session)
        there = self._by_id.pop(session.id, None) is not None
        self._per_tenant[session.tenant] -= 1
        return there

    return patch.object(SessionRegistry, "remove", mutated)


def raise_from_a_service() -> Any:
    """A plugin fails, and nothing but a counter says so."""
    return patch.object(Conversation, "history", side_effect=RuntimeError("a bug"))


# ------------------------------------------------------------------- the socket


def watch_nobody() -> Any:
    """Who takes nothing is kept."""
    return patch.object(WriteDeadline, "watch", lambda *_: None)


def lose_patience() -> Any:
    """Who takes nothing for a moment is closed."""
    return patch.object(WriteDeadline, "_is_late", lambda *_: True)


def write_to_a_full_socket() -> Any:
    """A session that has stalled is flushed as if it had not."""
    flush = Outbox.flush

    def mutated(self: Outbox, sink: Any, reader: object = None) -> bool:
        fits = flush(self, sink, reader)
        if self._backlog:
            sink.write(self._backlog.take(1, sink.wire, reader))
        return fits

    return patch.object(Outbox, "flush", mutated)


def leave_something_behind() -> Any:
    """A session that has stalled is not flushed when its socket takes bytes again."""
    resume = DeliveryEngine.resume
    due = _now_and_then(20)

    def mutated(self: DeliveryEngine, session: Session) -> None:
        if not due():
            resume(self, session)

    return patch.object(DeliveryEngine, "resume", mutated)


@contextmanager
def _all(*patches: Any) -> Iterator[None]:
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def _mutations() -> Iterator[tuple[str, Mutation]]:
    bugs: tuple[tuple[Callable[[], Any], Invariant], ...] = (
        (drop_a_message, Invariant.RELIABLE),
        (drop_a_message_of_a_stalled_session, Invariant.RELIABLE),
        (drop_a_volatile_message_silently, Invariant.VOLATILE),
        (write_a_message_twice, Invariant.ONCE),
        (reorder_a_lane, Invariant.FIFO),
        (swap_lanes, Invariant.LANES),
        (replace_nothing, Invariant.LATEST),
        (replace_the_wrong_key, Invariant.LATEST),
        (forget_who_was_late, Invariant.RANGES),
        (write_the_late_tail_first, Invariant.LANES),
        (ignore_the_bound_in_bytes, Invariant.BOUNDS),
        (ignore_the_bound_in_messages, Invariant.BOUNDS),
        (ignore_the_largest_message, Invariant.BOUNDS),
        (misjudge_what_is_replaced, Invariant.BOUNDS),
        (close_too_early, Invariant.CLOSES),
        (forget_to_close, Invariant.CLOSES),
        (skip_a_lost, Invariant.RANGES),
        (tell_a_wrong_range, Invariant.RANGES),
        (count_volatile_wrongly, Invariant.VOLATILE),
        (never_pay_the_floor, Invariant.FLOOR),
        (count_no_conflation, Invariant.COUNTERS),
        (deliver_across_tenants, Invariant.TENANTS),
        (deliver_after_left, Invariant.LEFT),
        (keep_a_member, Invariant.LEFT),
        (share_with_a_newcomer_what_came_before, Invariant.ONCE),
        (part_with_nothing, Invariant.RELIABLE),
        (join_a_tail_in_any_order, Invariant.LANES),
        (encode_for_each_member, Invariant.ENCODE_ONCE),
        (number_a_room_with_a_hole, Invariant.NUMBERS),
        (give_one_member_another_order, Invariant.ORDER),
        (replay_a_part, Invariant.NUMBERS),
        (let_live_messages_go_first, Invariant.NUMBERS),
        (promise_what_is_gone, Invariant.RECOVERY),
        (forget_what_was_missed, Invariant.RESUME),
        (take_for_arrived_what_was_asked_for, Invariant.RESUME),
        (turn_away_who_returns, Invariant.RESUME),
        (forget_a_marker, Invariant.PULLED),
        (drop_what_was_pulled, Invariant.PULLED),
        (answer_twice, Invariant.ANSWERS),
        (forget_to_free_a_session, Invariant.REMAINS),
        (raise_from_a_service, Invariant.PLUGINS),
        (watch_nobody, Invariant.CLOSES),
        (lose_patience, Invariant.CLOSES),
        (write_to_a_full_socket, Invariant.SOCKET),
        (leave_something_behind, Invariant.FLUSH),
    )
    for inject, caught_by in bugs:
        yield inject.__name__, Mutation(inject, caught_by)


#: By name.
MUTATIONS: Final = dict(_mutations())
