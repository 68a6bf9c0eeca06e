"""What is said beside words: who types, who reacts, and who has read how far."""

from __future__ import annotations

from wsprism_chat.config import ChatConfig
from wsprism_chat.log import Mark, RoomLogs
from wsprism_chat.messages import React, Read, Typing
from wsprism_chat.moderation import Moderation
from wsprism_chat.reactions import ReactionBook
from wsprism_chat.reading import Marks
from wsprism_chat.refusals import exhausted
from wsprism_chat.surroundings import Surroundings
from wsprism_chat.typing import TypistChange, Typists
from wsprism_core import Ack, Action, Broadcast, Session

__all__ = ("Signals",)


class Signals:
    """Signs of life in the rooms of one tenant.

    Args:
        config: The limits.
        around: The gateway.
        logs: What has become of the rooms' messages.
        moderation: Who may speak.
        marks: Up to where each has read.
        reactions: Who reacted to what.

    Attributes:
        typists: Who types, by room; rooms where nobody does are left out.
    """

    def __init__(
        self,
        config: ChatConfig,
        around: Surroundings,
        *,
        logs: RoomLogs,
        moderation: Moderation,
        marks: Marks,
        reactions: ReactionBook,
    ) -> None:
        self._config = config
        self._around = around
        self._logs = logs
        self._moderation = moderation
        self._marks = marks
        self._reactions = reactions
        self.typists: dict[str, Typists] = {}

    def typing(
        self, session: Session, room: str, data: Typing | None
    ) -> Broadcast | None:
        """Show the others that one types, for a while, or that one does no more."""
        user, now = session.user, self._around.now()
        if not (data or {}).get("on", True):
            typists = self.typists.get(room)
            change = None if typists is None else typists.stop(user, now)
            return None if change is None else _typing_of(change, room)
        self._moderation.check_voice(user, room, self._around.wall_ms())
        typists = self.typists.get(room)
        if typists is None:
            typists = self.typists[room] = Typists(
                self._config.typing_ttl_ms / 1000,
                self._config.typing_every_ms / 1000,
                self._config.typing_max_users,
            )
        try:
            change = typists.start(user, session.id, now)
        except OverflowError:
            raise exhausted("as many are typing as are shown") from None
        return None if change is None else _typing_of(change, room)

    def react(self, session: Session, room: str, data: React) -> None:
        """React to a message, or take that back; the others are told by `due`.

        Raises:
            ProtocolError: `NOT_FOUND`, there is no such message; `RESOURCE_EXHAUSTED`,
                it has as many reactions as it may.
        """
        user, id = session.user, data["id"]
        self._moderation.check_voice(user, room, self._around.wall_ms())
        self._logs.find(room, id)
        self._reactions.react(room, id, user, data["emoji"], on=data.get("on", True))

    def read(self, session: Session, room: str, data: Read | None) -> list[Action]:
        """Note up to where one has read, and say how much is left."""
        user = session.user
        actions: list[Action] = []
        seq = (data or {}).get("seq")
        if seq is not None:
            # The newest message up to there: nobody has read what was not said yet.
            found = self._around.history(room, before=seq + 1, limit=1)
            if found:
                mark = Mark(found[-1]["ts"], found[-1]["seq"])
                if self._marks.advance(room, user, mark) and self._is_small(room):
                    told = {"user": user, "seq": mark.seq}
                    actions.append(Broadcast("read", told, room=room, key=user))
        mark = self._marks.get(room, user)
        unread = self._logs.of(room).unread(user, mark)
        actions.append(Ack({"seq": mark.seq, "unread": unread}))
        return actions

    def due(self) -> list[Action]:
        """Tell what is due of typing and reactions."""
        now = self._around.now()
        actions: list[Action] = []
        for room, typists in list(self.typists.items()):
            actions += [_typing_of(change, room) for change in typists.due(now)]
            if not typists:
                del self.typists[room]
        for room, id, counts in self._reactions.due(now):
            told = {"id": id, "counts": counts}
            actions.append(Broadcast("reactions", told, room=room, key=id))
        return actions

    def stops_typing(self, user: str, room: str) -> list[Action]:
        """Show a user as typing no more; nothing happens where he is not."""
        typists = self.typists.get(room)
        change = None if typists is None else typists.stop(user, self._around.now())
        return [] if change is None else [_typing_of(change, room)]

    def forget(self, room: str) -> None:
        """Forget who typed in a room that nobody is in."""
        self.typists.pop(room, None)

    def _is_small(self, room: str) -> bool:
        count = self._around.member_count(room)
        return count <= self._config.receipts_max_members


def _typing_of(change: TypistChange, room: str) -> Broadcast:
    told = {"user": change.user, "on": change.on}
    return Broadcast("typing", told, room=room, key=change.user, exclude=change.session)
