"""Presence: who is in a room, told to its members a batch at a time.

As long as a room has few members, each of them is told who came and who went. What all
of them together are told grows as the square of their number, so members of a room that
has many are told how many there are. Once they are few again, they get the whole list,
and then the changes as before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from wsprism_core.protocol.envelope import outbound
from wsprism_core.realtime.backlog import Pull
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.presence import PresenceBatch
from wsprism_core.realtime.rooms import Membership, Room
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Encoded, Outgoing, Wire

__all__ = ("PresenceDesk",)

#: Batches that are collected as one where a room has many members.
CROWD_PATIENCE: Final = 5
#: How many changes one `room.presence` tells.
PAGE: Final = 128


class PresenceDesk:
    """Where members are told of each other.

    Args:
        delivery: Where messages are posted.
        clock: Time.
        batch: Seconds for which changes are collected.
        most: How many members a room may have for them to be told who comes and goes.

    Attributes:
        batch: Seconds for which changes are collected.
        most: How many members are told of each other.
    """

    def __init__(
        self, delivery: DeliveryEngine, clock: Clock, *, batch: float, most: int
    ) -> None:
        self._delivery = delivery
        self._clock = clock
        self.batch = batch
        self.most = most
        self._lane = delivery.lane("interactive")

    def changed(self, room: Room) -> None:
        """Note that somebody came or went; `room.presence` holds who."""
        if not room.presence_due:
            room.presence_due = True
            patience = CROWD_PATIENCE if self._is_crowded(room) else 1
            self._clock.after(self.batch * patience, lambda: self._tell(room))
        elif room.presence.changes == PAGE and not self._is_crowded(room):
            # What newcomers of one batch are told of each other grows as its square.
            self._clock.after(0, lambda: self._tell(room))

    def tell_again(self, session: Session) -> None:
        """Tell a session that is back who is in its rooms, where it may not know.

        Of many rooms that is more than may wait for it, so it is pulled.
        """
        unsure = [
            membership
            for membership in session.memberships.values()
            if not membership.quiet
            and membership.presence_proven != membership.room.version
        ]
        if unsure:
            self._delivery.pull(session, Pull(self._lane, _Lists(self, unsure)))

    def listed(self, room: Room, wire: Wire) -> Encoded:
        """Return what is told of all members as they are now, encoded once for all."""
        message = room.listed.get((wire, self.most))
        if message is None:
            # The room keeps it, so it does not know the room.
            envelope = _envelope(room, self._everybody(room))
            whole = Outgoing(self._lane, svc="room", envelope=envelope)
            message = room.listed[wire, self.most] = Encoded(whole.form(wire))
        return message

    def _is_crowded(self, room: Room) -> bool:
        return len(room.channel.members()) > self.most

    def _tell(self, room: Room) -> None:
        room.presence_due = False
        if not room.presence:
            # It was told before its time, or everybody is gone.
            return
        batch, room.presence = room.presence, PresenceBatch()
        room.told_version = room.version
        if room.is_empty:
            return
        count = len(room.channel.members())
        if count > self.most:
            if count != room.told_count:
                room.told_count = count
                self._tell_all(room, {"count": count})
        elif room.told_count is not None:
            room.told_count = None
            self._tell_all(room, self._everybody(room))
        else:
            self._tell_changes(room, batch)

    def _tell_changes(self, room: Room, batch: PresenceBatch) -> None:
        newcomers = dict(batch.newcomers())
        settled: list[Session] = []
        for membership in room.members():
            if membership.n in newcomers:
                for news in batch.news(newcomers[membership.n]).pages(PAGE):
                    message = self._message(room, news.as_data())
                    self._delivery.post(membership.session, message)
                # Each is told something else: a thousand of them at once would hold
                # tens of megabytes until the end of the turn.
                self._delivery.send_now(membership.session)
            else:
                settled.append(membership.session)
        for news in batch.news().pages(PAGE):
            self._delivery.post_each(settled, self._message(room, news.as_data()))

    def _tell_all(self, room: Room, data: dict[str, Any]) -> None:
        members = [membership.session for membership in room.members()]
        self._delivery.post_each(members, self._message(room, data))

    def _everybody(self, room: Room) -> dict[str, Any]:
        data: dict[str, Any] = {"count": len(room.channel.members())}
        if not self._is_crowded(room):
            data["members"] = room.roster(limit=self.most)
        return data

    def _message(self, room: Room, data: dict[str, Any]) -> Outgoing:
        envelope = _envelope(room, data)
        return Outgoing(self._lane, room=room, svc="room", envelope=envelope)


def _envelope(room: Room, data: dict[str, Any]) -> dict[str, Any]:
    about = {"version": room.version, **data}
    return outbound("room", "presence", room=room.name, data=about)


class _Lists:
    """Who is in some rooms of a session, told a room at a time as its socket takes it.

    Args:
        desk: Knows what is told of a room.
        memberships: The session's; of those that end meanwhile nothing is told.
    """

    __slots__ = ("_desk", "_left")

    def __init__(self, desk: PresenceDesk, memberships: Iterable[Membership]) -> None:
        self._desk = desk
        self._left = deque(memberships)

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        """Return what is told next, and whether there is more."""
        found: list[Outgoing] = []
        size = 0
        while self._left and size < budget:
            membership = self._left.popleft()
            room = membership.room
            if reader.memberships.get(room.name) is membership:
                message = self._desk.listed(room, reader.wire)
                found.append(message)
                size += message.form(reader.wire).size
        return found, bool(self._left)
