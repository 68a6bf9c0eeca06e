"""Who is here and what he says of himself, told to those who share a room with him.

Who is in a room the gateway itself tells, a batch at a time. This adds what it does not
know: the status that a user has chosen, the same in all rooms, and when he was here
last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from wsprism_chat.config import ChatConfig
from wsprism_chat.filters import FilterChain, FilterInput
from wsprism_chat.messages import MAX_STATUS_TEXT, PresenceQuery, SetStatus, StatusOf
from wsprism_chat.owned import OwnedRooms
from wsprism_chat.people import BEAT, People
from wsprism_chat.surroundings import Surroundings
from wsprism_core import Ack, Action, Broadcast, Reply, Session

__all__ = ("TOLD_AT_ONCE", "Presence")

#: Of how many users in a room is told in one turn. A thousand users whose connections
#: dropped together are gone together, each from all of his rooms: told at once, that
#: would hold up everybody's messages. One takes 15 to 40 us in a room of 60 members.
TOLD_AT_ONCE: Final = 100


class Presence:
    """Presence in one tenant.

    What changes is collected for a moment, and told of each user once in each room.
    Members of a room that has many are told nothing: they ask of whom they look at.

    Args:
        config: The limits.
        around: The gateway.
        people: What is known of each user.
        owned: The rooms that have rules.
        filters: What the words of a status have to pass.
    """

    def __init__(
        self,
        config: ChatConfig,
        around: Surroundings,
        *,
        people: People,
        owned: OwnedRooms,
        filters: FilterChain,
    ) -> None:
        self._most = config.status_max_members
        self._batch = config.status_batch_ms / 1000
        self._around = around
        self._people = people
        self._owned = owned
        self._filters = filters
        #: Of whom something is to be told and where, what is noted first in front, and
        #: when.
        self._news: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._due_at = 0.0
        self._beat_at = 0.0
        #: Sessions without a connection, which are in their rooms all the same, by user
        #: and id.
        self._detached: dict[str, dict[str, Session]] = {}
        #: Rooms that a session was in when it ended, until it is over.
        self._parting: dict[str, list[str]] = {}

    # --------------------------------------------------------------- what is asked

    def status(self, session: Session, data: SetStatus) -> Ack:
        """Say whether one wants to be disturbed, and a few words.

        Raises:
            ProtocolError: `NOT_ALLOWED`, a filter refuses the words;
                `RESOURCE_EXHAUSTED`, no more can be kept.
        """
        user, text = session.user, data.get("text", "")
        if text:
            text = self._filtered(user, text)
        since_ms = self._people.choose(user, data["status"], text)
        detached = self._detached.get(user, {})
        for one in (*self._around.sessions_of(user), *detached.values()):
            for room in one.rooms:
                self._note(room, user)
        return Ack({"since_ms": since_ms})

    def presence(self, session: Session, data: PresenceQuery) -> Reply:
        """Answer with what is known of some users."""
        told = [self._people.of(user) for user in dict.fromkeys(data["users"])]
        return Reply("presence", {"users": told})

    # -------------------------------------------------------- what the gateway tells

    def opened(self, session: Session) -> None:
        """Note a session that has begun."""
        self._people.came(session.user, session.id)

    def detached(self, session: Session) -> None:
        """Note that a session has no connection; nobody is told of it."""
        self._detached.setdefault(session.user, {})[session.id] = session
        self._people.dropped(session.user, session.id)

    def resumed(self, session: Session) -> None:
        """Note that a session goes on."""
        self._attach(session)
        self._people.back(session.user, session.id)

    def closed(self, session: Session) -> None:
        """Tell the rooms of a session that is over, if its user is gone with it."""
        self._attach(session)
        rooms = self._parting.pop(session.id, ())
        if self._people.went(session.user, session.id):
            for room in rooms:
                self._note(room, session.user)

    def joined(self, session: Session, room: str) -> None:
        """Tell a room what somebody who has joined says of himself, if anything."""
        if not self._people.is_plain(session.user):
            self._note(room, session.user)

    def left(self, session: Session, room: str) -> None:
        """Note a room that a session has left, in case that was because it ended."""
        sessions = self._around.sessions_of(session.user)
        if all(one.id != session.id for one in sessions):
            self._parting.setdefault(session.id, []).append(room)

    def due(self) -> list[Action]:
        """Tell what has changed, where it is time; what is much, in several turns."""
        now = self._around.now()
        if now >= self._beat_at:
            self._beat_at = now + BEAT
            self._people.beat()
        if not self._news or now < self._due_at:
            return []
        count = min(len(self._news), TOLD_AT_ONCE)
        news = [self._news.popitem(last=False)[0] for _ in range(count)]
        return [
            Broadcast("status", self._as_told(user, room), room=room, key=user)
            for room, user in news
            if self._is_small(room)
        ]

    # ---------------------------------------------------------------------- the parts

    def _note(self, room: str, user: str) -> None:
        if not self._is_small(room):
            return
        if not self._news:
            self._due_at = self._around.now() + self._batch
        self._news[room, user] = None

    def _attach(self, session: Session) -> None:
        """Forget that a session had no connection, if it had none."""
        detached = self._detached.get(session.user, {})
        detached.pop(session.id, None)
        if not detached:
            self._detached.pop(session.user, None)

    def _is_small(self, room: str) -> bool:
        return 0 < self._around.member_count(room) <= self._most

    def _as_told(self, user: str, room: str) -> StatusOf:
        told = self._people.of(user)
        owned = self._owned.get(room)
        if owned is not None and owned.is_muted(user, self._around.wall_ms()):
            # Else it would be a way to speak all the same.
            told.pop("text", None)
        return told

    def _filtered(self, user: str, text: str) -> str:
        given = FilterInput(self._around.tenant, "", user, text, False)
        passed = self._filters.run(given)
        return "" if passed.shadow else passed.text[:MAX_STATUS_TEXT]
