"""The rules of chat: a message in, actions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsprism_chat.config import ChatConfig
from wsprism_chat.conversation import Conversation
from wsprism_chat.direct import DirectRooms
from wsprism_chat.filters import FilterChain
from wsprism_chat.governing import Governing
from wsprism_chat.log import RoomLogs
from wsprism_chat.moderation import Moderation
from wsprism_chat.owned import OwnedRooms
from wsprism_chat.people import People
from wsprism_chat.presence import Presence
from wsprism_chat.reactions import ReactionBook
from wsprism_chat.reading import Marks
from wsprism_chat.refusals import bad_request
from wsprism_chat.roles import Roles
from wsprism_chat.signals import Signals
from wsprism_chat.surroundings import Surroundings
from wsprism_core import Action, Actions, Envelope, LeaveRoom, Push, Session, State

__all__ = ("ChatService",)


class ChatService:
    """Chat in the rooms of one tenant.

    The gateway numbers the messages of a room, holds the last of them, and remembers
    what was acknowledged. The service keeps who rules a room, who reacted, up to where
    each has read and what users say of themselves, which outlives it; and who types,
    which ends with the room.

    Args:
        config: The limits.
        around: The gateway.
        new_id: Returns a new message id.
        state: Where is kept what outlives the service.
        filters: What a text has to pass.
    """

    def __init__(
        self,
        config: ChatConfig,
        around: Surroundings,
        new_id: Callable[[], str],
        state: State,
        filters: FilterChain,
    ) -> None:
        self._config = config
        self._around = around
        self._logs = logs = RoomLogs(around.history, config.history_reach)
        owned = OwnedRooms(state, around.tenant)
        self._roles = roles = Roles(config, owned)
        self._moderation = moderation = Moderation(config, owned)
        reactions = ReactionBook(config, state, around.tenant, around.count)
        self._signals = signals = Signals(
            config,
            around,
            logs=logs,
            moderation=moderation,
            marks=Marks(state, around.tenant, config.max_marks, around.count),
            reactions=reactions,
        )
        self._conversation = said = Conversation(
            config,
            around,
            new_id,
            filters,
            logs=logs,
            owned=owned,
            roles=roles,
            moderation=moderation,
            reactions=reactions,
            signals=signals,
        )
        ruled = Governing(
            around, owned=owned, roles=roles, moderation=moderation, signals=signals
        )
        self._presence = presence = Presence(
            config,
            around,
            people=People(
                state,
                around.tenant,
                config.max_people,
                around.wall_ms,
                around.count,
            ),
            owned=owned,
            filters=filters,
        )
        direct = DirectRooms(around, config.max_direct_rooms)
        self._do_anywhere: dict[str, Callable[[Session, Any], Actions]] = {
            "open": direct.open,
            "status": presence.status,
            "presence": presence.presence,
        }
        self._do: dict[str, Callable[[Session, str, Any], Actions]] = {
            "send": said.send,
            "edit": said.edit,
            "delete": said.delete,
            "erase": said.erase,
            "history": said.history,
            "typing": signals.typing,
            "react": signals.react,
            "read": signals.read,
            "create": ruled.create,
            "close": ruled.close,
            "rules": ruled.rules,
            "invite": ruled.invite,
            "uninvite": ruled.uninvite,
            "promote": ruled.promote,
            "demote": ruled.demote,
            "hand_over": ruled.hand_over,
            "mute": ruled.mute,
            "unmute": ruled.unmute,
            "ban": ruled.ban,
            "unban": ruled.unban,
            "kick": ruled.kick,
            "slow": ruled.slow,
        }

    def handle(self, session: Session, message: Envelope) -> Actions:
        """Answer a message that the gateway has checked against the manifest.

        Args:
            session: Who sent it.
            message: The envelope; but for what concerns no room, with one that the
                sender is in.

        Raises:
            ProtocolError: It is refused.
        """
        do = self._do.get(message.type)
        if do is not None:
            # RoomRule.MEMBER: the gateway puts the active room where none is named.
            assert message.room is not None
            return do(session, message.room, message.data)
        do_anywhere = self._do_anywhere.get(message.type)
        if do_anywhere is None:
            raise bad_request(f"chat has no type {message.type!r}")
        return do_anywhere(session, message.data)

    # --------------------------------------------------------- what the gateway tells

    def may_join(self, user: str, room: str) -> bool | None:
        """Say whether a user may join a room; None where chat does not mind."""
        return self._roles.may_join(user, room, self._around.wall_ms())

    def joined(self, session: Session, room: str) -> list[Action]:
        """Show a session the last messages of a room that it has joined."""
        self._presence.joined(session, room)
        most = self._config.history_on_join
        if not most:
            return []
        page = self._conversation.page(room, {"limit": most})
        if not page["messages"]:
            return []
        return [Push("history", page, session=session.id, room=room)]

    def opened(self, session: Session) -> None:
        """Note a session that has begun."""
        self._presence.opened(session)

    def detached(self, session: Session) -> None:
        """Note that a session has no connection for now."""
        self._presence.detached(session)

    def closed(self, session: Session) -> None:
        """Note a session that is over."""
        self._presence.closed(session)

    def resumed(self, session: Session) -> list[Action]:
        """Take a session out of rooms that it may not be in any more."""
        self._presence.resumed(session)
        return [
            LeaveRoom(session.id, room)
            for room in session.rooms
            if self.may_join(session.user, room) is False
        ]

    def left(self, session: Session, room: str) -> list[Action]:
        """Forget what ends with a membership, and with the last one of a room."""
        self._presence.left(session, room)
        if not self._around.member_count(room):
            self._logs.forget(room)
            self._signals.forget(room)
            self._moderation.forget(room, self._around.now())
            return []
        if any(one.is_member(room) for one in self._around.sessions_of(session.user)):
            return []
        return self._signals.stops_typing(session.user, room)

    def tick(self) -> list[Action]:
        """Tell what is due."""
        return [*self._signals.due(), *self._presence.due()]
