"""What members say: messages in, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from wsprism_chat.config import ChatConfig
from wsprism_chat.direct import is_direct
from wsprism_chat.filters import FilterChain, FilterInput, Passed
from wsprism_chat.log import RoomLogs
from wsprism_chat.mentions import OUTSIDE_PER_MINUTE, Retries, tokens
from wsprism_chat.messages import (
    Edit,
    Edited,
    HistoryQuery,
    Message,
    MessageId,
    React,
    Send,
    UserName,
)
from wsprism_chat.moderation import Moderation
from wsprism_chat.owned import OwnedRooms, Role
from wsprism_chat.pace import Pace
from wsprism_chat.pages import page_of
from wsprism_chat.reactions import ReactionBook
from wsprism_chat.refusals import bad_request, conflict, not_allowed, too_often
from wsprism_chat.roles import Roles
from wsprism_chat.signals import Signals
from wsprism_chat.surroundings import Surroundings
from wsprism_core import (
    Ack,
    Action,
    Broadcast,
    ErrorCode,
    ProtocolError,
    Push,
    Reply,
    Session,
)

__all__ = ("ERASE_EVERY", "Conversation", "erased")

#: Seconds between two erasures of what the same user said in the same room.
ERASE_EVERY: Final = 5.0


class Conversation:
    """What is said in the rooms of one tenant.

    Args:
        config: The limits.
        around: The gateway.
        new_id: Returns a new message id.
        filters: What a text has to pass.
        logs: What has become of the rooms' messages.
        owned: The rooms that have rules.
        roles: Who may take back what others said, and who may join.
        moderation: Who may speak.
        reactions: Who reacted to what.
        signals: What is said beside words; who has spoken types no more.
    """

    def __init__(
        self,
        config: ChatConfig,
        around: Surroundings,
        new_id: Callable[[], str],
        filters: FilterChain,
        *,
        logs: RoomLogs,
        owned: OwnedRooms,
        roles: Roles,
        moderation: Moderation,
        reactions: ReactionBook,
        signals: Signals,
    ) -> None:
        self._config = config
        self._around = around
        self._new_id = new_id
        self._filters = filters
        self._is_filtered = bool(filters)
        self._logs = logs
        self._owned = owned
        self._roles = roles
        self._moderation = moderation
        self._reactions = reactions
        self._signals = signals
        self._retries = Retries()
        self._outside = Pace(OUTSIDE_PER_MINUTE, 60)
        self._erasures = Pace(1, ERASE_EVERY)

    def send(self, session: Session, room: str, data: Send) -> Broadcast | list[Action]:
        """Say something to every member of the room, the sender too.

        Raises:
            ProtocolError: `PAYLOAD_TOO_LARGE`, the text is longer than `max_length`;
                `NOT_ALLOWED`, the sender is muted or a filter refuses the text;
                `RATE_LIMITED`, the room is slow.
        """
        # The hot path: what a room or a gateway does without is not called for it.
        user, text = session.user, data["msg"]
        if len(text) > self._config.max_length:
            raise self._too_long(text)
        is_owned = room in self._owned
        if is_owned:
            self._moderation.check_voice(user, room, self._around.wall_ms())
        is_shadow = False
        if self._is_filtered:
            passed = self._filtered(user, room, text, edit=False)
            text, is_shadow = passed.text, passed.shadow
        explicit = data.get("mentions", ())
        if explicit:
            self._check_mentions(explicit)
        if is_owned:
            self._moderation.take_turn(user, room, self._around.now())
        new_id = self._new_id()
        said: Message = {"id": new_id, "from": user, "msg": text}
        if "reply_to" in data:
            said["reply_to"] = data["reply_to"]
        outside: Sequence[str] = ()
        if explicit or "@" in text:
            inside, outside = self._mentioned(text, explicit, room)
            if inside:
                said["mentions"] = inside
        if is_shadow:
            return [Ack({"id": new_id}), Push("msg", said, user=user, room=room)]
        dedup = data.get("id")
        broadcast = Broadcast("msg", said, room=room, ack={"id": new_id}, dedup=dedup)
        typing = (
            self._signals.stops_typing(user, room)
            if room in self._signals.typists
            else []
        )
        if not typing and not outside:
            return broadcast
        actions: list[Action] = [broadcast, *typing]
        if outside and self._retries.is_first(room, user, dedup):
            told = {"room": room, "id": new_id, "from": user}
            now = self._around.now()
            actions += [
                Push("mentioned", told, user=other)
                for other in outside
                if not self._outside.take(user, now)
            ]
        return actions

    def edit(self, session: Session, room: str, data: Edit) -> Broadcast | list[Action]:
        """Say a message of one's own otherwise.

        Raises:
            ProtocolError: As for `send`; `NOT_FOUND`, there is no such message;
                `NOT_ALLOWED`, it is another's or too old; `CONFLICT`, it is not the
                version that the sender has seen. In a slow room an edit counts as a
                message does.
        """
        user, text, id = session.user, data["msg"], data["id"]
        if len(text) > self._config.max_length:
            raise self._too_long(text)
        now_ms = self._around.wall_ms()
        self._moderation.check_voice(user, room, now_ms)
        message = self._logs.find(room, id)
        if message.sender != user:
            raise not_allowed("only who said it may edit it")
        window = self._config.edit_window_s
        if window and now_ms - message.ts > window * 1000:
            raise not_allowed(f"a message may be edited for {window} s")
        if data.get("version", message.issued) != message.issued:
            raise conflict(f"the message is at version {message.issued}")
        passed = self._filtered(user, room, text, edit=True)
        self._moderation.take_turn(user, room, self._around.now())
        version = message.issued + 1
        edited: Edited = {
            "id": id,
            "from": user,
            "msg": passed.text,
            "version": version,
        }
        if "@" in passed.text:
            inside, _ = self._mentioned(passed.text, (), room)
            if inside:
                edited["mentions"] = inside
        ack = {"id": id, "version": version}
        if passed.shadow:
            return [Ack(ack), Push("edited", edited, user=user, room=room)]
        message.issued = version
        return Broadcast("edited", edited, room=room, ack=ack)

    def delete(self, session: Session, room: str, data: MessageId) -> Broadcast:
        """Take a message back: one's own, or as a moderator anybody's.

        Raises:
            ProtocolError: `NOT_FOUND`, there is no such message; `NOT_ALLOWED`, it is
                another's.
        """
        user, id = session.user, data["id"]
        message = self._logs.find(room, id)
        if message.sender != user and self._roles.of(user, room) is Role.MEMBER:
            raise not_allowed("only who said it and moderators may delete it")
        message.issued += 1
        self._reactions.forget(room, id)
        deleted = {"id": id, "by": user, "version": message.issued}
        ack = {"id": id, "version": message.issued}
        return Broadcast("deleted", deleted, room=room, ack=ack)

    def erase(self, session: Session, room: str, data: UserName) -> Ack | Broadcast:
        """Take back everything that a user has said in the room.

        One may do it for oneself, and as a moderator for anybody of a lower role. Where
        there is nothing to take back nothing is told: it would take the place of what
        others said.

        Raises:
            ProtocolError: `NOT_ALLOWED`, the user's role is not lower;
                `RATE_LIMITED`, it was done a moment ago.
        """
        user, other = session.user, data["user"]
        if user != other:
            self._moderation.check_over(user, room, other)
        count = self._logs.of(room).count_of(other)
        if not count:
            return Ack({"user": other, "count": 0})
        wait = self._erasures.take((room, user, other), self._around.now())
        if wait:
            raise too_often(f"it was erased less than {ERASE_EVERY:g} s ago", wait)
        return erased(room, other, by=user, count=count)

    def react(self, session: Session, room: str, data: React) -> None:
        """React to a message, as far as the filters let that pass.

        Raises:
            ProtocolError: As for `Signals.react`; `NOT_ALLOWED`, a filter refuses the
                reaction or would change it.
        """
        emoji = data["emoji"]
        if self._is_filtered and data.get("on", True):
            passed = self._filtered(session.user, room, emoji, edit=False)
            if passed.text != emoji:
                raise not_allowed("a filter does not let the reaction pass")
            if passed.shadow:
                return
        self._signals.react(session, room, data)

    def history(self, session: Session, room: str, query: HistoryQuery | None) -> Reply:
        """Answer with a page of what was said in the room.

        Raises:
            ProtocolError: `BAD_REQUEST`, both ends of the range are given.
        """
        return Reply("history", self.page(room, query or {}), room=room)

    def page(self, room: str, query: HistoryQuery) -> Any:
        """Return a page of what was said in the room.

        Raises:
            ProtocolError: `BAD_REQUEST`, both ends of the range are given.
        """
        return page_of(
            room,
            query,
            recall=self._around.history,
            log=self._logs.of(room),
            reactions=partial(self._reactions.counts, room),
            most_chars=self._config.history_page_chars,
        )

    def _too_long(self, text: str) -> ProtocolError:
        return ProtocolError(
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"msg is {len(text)} characters long; {self._config.max_length} is "
            "the most",
        )

    def _check_mentions(self, explicit: Sequence[str]) -> None:
        most = self._config.max_mentions
        if len(explicit) > most:
            raise bad_request(
                f"{len(explicit)} users are mentioned; {most} is the most"
            )

    def _filtered(self, user: str, room: str, text: str, *, edit: bool) -> Passed:
        if not self._is_filtered:
            return Passed(text)
        tenant = self._around.tenant
        return self._filters.run(FilterInput(tenant, room, user, text, edit))

    def _mentioned(
        self, text: str, explicit: Sequence[str], room: str
    ) -> tuple[list[str], list[str]]:
        """Return the users mentioned who are in the room, and who are only connected.

        Those who could not come to see the message are left out.
        """
        most = self._config.max_mentions
        inside: dict[str, None] = {}
        outside: dict[str, None] = {}
        for candidates in (*((user,) for user in explicit), *tokens(text, most)):
            for user in candidates:
                sessions = list(self._around.sessions_of(user))
                if not sessions:
                    continue
                if any(one.is_member(room) for one in sessions):
                    inside[user] = None
                elif not is_direct(room) and self._may_come(sessions, user, room):
                    outside[user] = None
                break
        found = list(inside)[:most]
        return found, list(outside)[: most - len(found)]

    def _may_come(self, sessions: Sequence[Session], user: str, room: str) -> bool:
        """Whether a user might join a room, by the rules and one of his tickets."""
        if self._roles.may_join(user, room, self._around.wall_ms()) is False:
            return False
        return any(one.may_enter(room) for one in sessions)


def erased(room: str, user: str, *, by: str, count: int = 0) -> Broadcast:
    """Return what takes back everything that a user has said in a room.

    Args:
        room: The room.
        user: Who has said it.
        by: Who takes it back.
        count: How much that is, which he is acknowledged.
    """
    told = {"user": user, "by": by}
    return Broadcast("erased", told, room=room, ack={"user": user, "count": count})
