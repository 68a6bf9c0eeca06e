"""The rules of chat: a message in, actions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, Protocol

from wsprism_chat.config import ChatConfig
from wsprism_chat.direct import direct_room, is_direct
from wsprism_chat.filters import FilterChain, FilterInput, Passed
from wsprism_chat.log import Logged, Mark, Recall, RoomLog
from wsprism_chat.mentions import Retries, tokens
from wsprism_chat.messages import (
    Create,
    Edit,
    Edited,
    HistoryQuery,
    Message,
    MessageId,
    React,
    Read,
    RoomRules,
    Sanction,
    Sanctioned,
    Send,
    Slow,
    Typing,
    UserName,
)
from wsprism_chat.moderation import Moderation
from wsprism_chat.owned import OwnedRooms, Role
from wsprism_chat.pages import page_of
from wsprism_chat.reactions import ReactionBook
from wsprism_chat.reading import Marks
from wsprism_chat.refusals import (
    bad_request,
    conflict,
    exhausted,
    not_allowed,
    not_found,
)
from wsprism_chat.roles import Roles
from wsprism_chat.typing import TypistChange, Typists
from wsprism_core import (
    Ack,
    Action,
    Actions,
    Broadcast,
    Envelope,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    Member,
    ProtocolError,
    Push,
    Reply,
    Session,
    State,
)

__all__ = ("ChatService", "Surroundings", "erased")

_ROLE_NAMES: Final[dict[Role, Literal["owner", "moderator", "member"]]] = {
    Role.OWNER: "owner",
    Role.MODERATOR: "moderator",
    Role.MEMBER: "member",
}


class Surroundings(Protocol):
    """The gateway, as the rules of one tenant see it."""

    @property
    def tenant(self) -> str:
        """The tenant's id."""

    @property
    def history(self) -> Recall:
        """Returns what a room holds."""

    def members(self, room: str) -> Iterable[Member]:
        """Return the members of a room."""

    def sessions_of(self, user: str) -> Iterable[Session]:
        """Return the open sessions of a user."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""


class ChatService:
    """Chat in the rooms of one tenant.

    The gateway numbers the messages of a room, holds the last of them, and remembers
    what was acknowledged. The service keeps who rules a room and up to where each has
    read, which outlives it; and who types and who reacted, which ends with the room.

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
        self._new_id = new_id
        self._filters = filters
        self._is_filtered = bool(filters)
        self._owned = OwnedRooms(state, around.tenant)
        self._roles = Roles(config, self._owned)
        self._moderation = Moderation(config, self._owned)
        self._marks = Marks(state, around.tenant, config.max_marks)
        self._retries = Retries()
        self._logs: dict[str, RoomLog] = {}
        self._typing: dict[str, Typists] = {}
        self._reactions: dict[str, ReactionBook] = {}
        self._do: dict[str, Callable[[Session, str, Any], Actions]] = {
            "send": self.send,
            "edit": self.edit,
            "delete": self.delete,
            "erase": self.erase,
            "history": self.history,
            "typing": self.typing,
            "react": self.react,
            "read": self.read,
            "create": self.create,
            "close": self.close,
            "rules": self.rules,
            "invite": self.invite,
            "uninvite": self.uninvite,
            "promote": self.promote,
            "demote": self.demote,
            "hand_over": self.hand_over,
            "mute": self.mute,
            "unmute": self.unmute,
            "ban": self.ban,
            "unban": self.unban,
            "kick": self.kick,
            "slow": self.slow,
        }

    def handle(self, session: Session, message: Envelope) -> Actions:
        """Answer a message that the gateway has checked against the manifest.

        Args:
            session: Who sent it.
            message: The envelope; but for `open`, with a room that the sender is in.

        Raises:
            ProtocolError: It is refused.
        """
        if message.type == "open":
            return self.open(session, message.data)
        do = self._do.get(message.type)
        if do is None:
            raise bad_request(f"chat has no type {message.type!r}")
        # RoomRule.MEMBER: the gateway has put the active room where none was named.
        assert message.room is not None
        return do(session, message.room, message.data)

    # --------------------------------------------------------- what the gateway tells

    def may_join(self, user: str, room: str) -> bool | None:
        """Say whether a user may join a room; None where chat does not mind."""
        return self._roles.may_join(user, room, self._around.wall_ms())

    def joined(self, session: Session, room: str) -> list[Action]:
        """Show a session the last messages of a room that it has joined."""
        most = self._config.history_on_join
        if not most:
            return []
        page = self._page(room, {"limit": most})
        if not page["messages"]:
            return []
        return [Push("history", page, session=session.id, room=room)]

    def resumed(self, session: Session) -> list[Action]:
        """Take a session out of rooms that it may not be in any more."""
        return [
            LeaveRoom(session.id, room)
            for room in session.rooms
            if self.may_join(session.user, room) is False
        ]

    def left(self, session: Session, room: str) -> list[Action]:
        """Forget what ends with a membership, and with the last one of a room."""
        if not any(True for _ in self._around.members(room)):
            self._logs.pop(room, None)
            self._typing.pop(room, None)
            self._reactions.pop(room, None)
            self._moderation.forget(room, self._around.now())
            return []
        if self._is_member(session.user, room):
            return []
        return self._stops_typing(session.user, room)

    def tick(self) -> list[Action]:
        """Tell what is due of typing and reactions."""
        now = self._around.now()
        actions: list[Action] = []
        for room, typists in list(self._typing.items()):
            actions += [_typing_of(change, room) for change in typists.due(now)]
            if not typists:
                del self._typing[room]
        for room, book in self._reactions.items():
            actions += [
                Broadcast("reactions", {"id": id, "counts": counts}, room=room, key=id)
                for id, counts in book.due(now)
            ]
        return actions

    # -------------------------------------------------------------- saying something

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
        typing = self._stops_typing(user, room) if room in self._typing else []
        if not typing and not outside:
            return broadcast
        actions: list[Action] = [broadcast, *typing]
        if outside and self._retries.is_first(room, user, dedup):
            told = {"room": room, "id": new_id, "from": user}
            actions += [Push("mentioned", told, user=other) for other in outside]
        return actions

    def edit(self, session: Session, room: str, data: Edit) -> Broadcast | list[Action]:
        """Say a message of one's own otherwise.

        Raises:
            ProtocolError: As for `send`; `NOT_FOUND`, there is no such message;
                `NOT_ALLOWED`, it is another's or too old; `CONFLICT`, it is not the
                version that the sender has seen.
        """
        user, text, id = session.user, data["msg"], data["id"]
        if len(text) > self._config.max_length:
            raise self._too_long(text)
        now_ms = self._around.wall_ms()
        self._moderation.check_voice(user, room, now_ms)
        message = self._find(room, id)
        if message.sender != user:
            raise not_allowed("only who said it may edit it")
        window = self._config.edit_window_s
        if window and now_ms - message.ts > window * 1000:
            raise not_allowed(f"a message may be edited for {window} s")
        if data.get("version", message.issued) != message.issued:
            raise conflict(f"the message is at version {message.issued}")
        passed = self._filtered(user, room, text, edit=True)
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
        message = self._find(room, id)
        if message.sender != user and self._roles.of(user, room) is Role.MEMBER:
            raise not_allowed("only who said it and moderators may delete it")
        message.issued += 1
        if book := self._reactions.get(room):
            book.forget(id)
        deleted = {"id": id, "by": user, "version": message.issued}
        ack = {"id": id, "version": message.issued}
        return Broadcast("deleted", deleted, room=room, ack=ack)

    def erase(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Take back everything that a user has said in the room.

        One may do it for oneself, and as a moderator for anybody of a lower role.
        """
        user, other = session.user, data["user"]
        if user != other:
            self._moderation.check_over(user, room, other)
        return erased(room, other, by=user)

    def history(self, session: Session, room: str, query: HistoryQuery | None) -> Reply:
        """Answer with a page of what was said in the room.

        Raises:
            ProtocolError: `BAD_REQUEST`, both ends of the range are given.
        """
        return Reply("history", self._page(room, query or {}), room=room)

    # ------------------------------------------------------ what is said beside words

    def typing(
        self, session: Session, room: str, data: Typing | None
    ) -> Broadcast | None:
        """Show the others that one types, for a while, or that one does no more."""
        user, now = session.user, self._around.now()
        if not (data or {}).get("on", True):
            typists = self._typing.get(room)
            change = None if typists is None else typists.stop(user, now)
            return None if change is None else _typing_of(change, room)
        self._moderation.check_voice(user, room, self._around.wall_ms())
        typists = self._typing.get(room)
        if typists is None:
            typists = self._typing[room] = Typists(
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
        """React to a message, or take that back; the others are told by `tick`.

        Raises:
            ProtocolError: `NOT_FOUND`, there is no such message; `RESOURCE_EXHAUSTED`,
                it has as many reactions as it may.
        """
        user, id = session.user, data["id"]
        self._moderation.check_voice(user, room, self._around.wall_ms())
        self._find(room, id)
        book = self._reactions.get(room)
        if book is None:
            config = self._config
            book = self._reactions[room] = ReactionBook(
                config.reactions_batch_ms / 1000,
                config.reactions_max_kinds,
                config.reactions_max,
                config.reactions_max_messages,
            )
        try:
            book.react(id, user, data["emoji"], on=data.get("on", True))
        except OverflowError:
            raise exhausted("the message has as many reactions as it may") from None

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
        unread = self._log(room).unread(user, mark)
        actions.append(Ack({"seq": mark.seq, "unread": unread}))
        return actions

    def open(self, session: Session, data: UserName) -> list[Action]:
        """Open the direct room with another user; both are joined where connected.

        Raises:
            ProtocolError: `BAD_REQUEST`, it is oneself; `RESOURCE_EXHAUSTED`, one is in
                as many direct rooms as one may.
        """
        user, other = session.user, data["user"]
        if user == other:
            raise bad_request("a direct room is with somebody else")
        room = direct_room(user, other)
        if not session.is_member(room) and self._direct_rooms_full(session):
            raise exhausted("you are in as many direct rooms as you may; leave one")
        actions: list[Action] = []
        for who, whom in (user, other), (other, user):
            for one in self._around.sessions_of(who):
                if one.is_member(room) or self._direct_rooms_full(one):
                    continue
                actions.append(JoinRoom(one.id, room, active=False))
                if one.id != session.id:
                    told = {"room": room, "user": whom}
                    actions.append(Push("opened", told, session=one.id))
        return [*actions, Reply("opened", {"room": room, "user": other})]

    # ------------------------------------------------------------- who rules the room

    def create(self, session: Session, room: str, data: Create | None) -> None:
        """Own a room that one is alone in."""
        alone = all(one.user == session.user for one in self._around.members(room))
        self._roles.create(session.user, room, data, alone=alone)

    def close(self, session: Session, room: str, data: None) -> None:
        """Own a room no longer."""
        self._roles.close(session.user, room)

    def rules(self, session: Session, room: str, data: None) -> Reply:
        """Answer with who rules the room, and how."""
        user, owned = session.user, self._owned.get(room)
        told: RoomRules = {
            "owner": None if owned is None else owned.owner,
            "moderators": [] if owned is None else list(owned.moderators),
            "role": _ROLE_NAMES[self._roles.of(user, room)],
            "invite_only": owned is not None and owned.invite_only,
            "slow_ms": 0 if owned is None else owned.slow_ms,
            "muted": owned is not None and owned.is_muted(user, self._around.wall_ms()),
        }
        return Reply("rules", told, room=room)

    def invite(self, session: Session, room: str, data: UserName) -> Actions:
        """Let a user join, and tell him where he is connected."""
        guest = data["user"]
        if not self._roles.invite(session.user, room, guest):
            return None
        return Push("invited", {"room": room, "by": session.user}, user=guest)

    def uninvite(self, session: Session, room: str, data: UserName) -> None:
        """Take an invite back."""
        self._roles.uninvite(session.user, room, data["user"])

    def promote(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Name a moderator."""
        self._roles.promote(session.user, room, data["user"])
        return self._role_of(data["user"], room)

    def demote(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Make a moderator a member."""
        self._roles.demote(session.user, room, data["user"])
        return self._role_of(data["user"], room)

    def hand_over(self, session: Session, room: str, data: UserName) -> list[Action]:
        """Make another user the owner."""
        self._roles.hand_over(session.user, room, data["user"])
        return [self._role_of(user, room) for user in (data["user"], session.user)]

    # ------------------------------------------------------------------- moderation

    def mute(self, session: Session, room: str, data: Sanction) -> list[Action]:
        """Let a user speak no more."""
        by, user, now_ms = session.user, data["user"], self._around.wall_ms()
        until = self._moderation.mute(by, room, user, data.get("for_s"), now_ms)
        told = _sanctioned(user, by, until)
        return [Broadcast("muted", told, room=room), *self._stops_typing(user, room)]

    def unmute(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Let a user speak again."""
        by, user = session.user, data["user"]
        self._moderation.unmute(by, room, user, self._around.wall_ms())
        return Broadcast("unmuted", {"user": user, "by": by}, room=room)

    def ban(self, session: Session, room: str, data: Sanction) -> list[Action]:
        """Keep a user out of the room."""
        by, user, now_ms = session.user, data["user"], self._around.wall_ms()
        until = self._moderation.ban(by, room, user, data.get("for_s"), now_ms)
        told = Broadcast("banned", _sanctioned(user, by, until), room=room)
        return [*self._removed(user, room, by), told]

    def unban(self, session: Session, room: str, data: UserName) -> Broadcast:
        """Let a user join again."""
        by, user = session.user, data["user"]
        self._moderation.unban(by, room, user, self._around.wall_ms())
        return Broadcast("unbanned", {"user": user, "by": by}, room=room)

    def kick(self, session: Session, room: str, data: UserName) -> list[Action]:
        """End a user's membership; he may come again.

        Raises:
            ProtocolError: `NOT_FOUND`, he is not in the room.
        """
        by, user = session.user, data["user"]
        self._moderation.check_over(by, room, user)
        removed = self._removed(user, room, by)
        if not removed:
            raise not_found("the user is not in the room")
        return [*removed, Broadcast("kicked", {"user": user, "by": by}, room=room)]

    def slow(self, session: Session, room: str, data: Slow) -> Broadcast:
        """Set how slow the room is."""
        self._moderation.slow(session.user, room, data["ms"])
        return Broadcast("slowed", {"ms": data["ms"]}, room=room)

    # ---------------------------------------------------------------------- the parts

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
                elif not is_direct(room) and self.may_join(user, room) is not False:
                    outside[user] = None
                break
        found = list(inside)[:most]
        return found, list(outside)[: most - len(found)]

    def _log(self, room: str) -> RoomLog:
        """Return what has become of a room's messages by now."""
        log = self._logs.get(room)
        if log is None:
            log = RoomLog(self._around.history, room, self._config.history_reach)
            self._logs[room] = log
        log.catch_up()
        return log

    def _find(self, room: str, id: str) -> Logged:
        message = self._log(room).get(id)
        if message is None:
            raise not_found("there is no such message in the room")
        return message

    def _page(self, room: str, query: HistoryQuery) -> Any:
        book = self._reactions.get(room)
        return page_of(
            room,
            query,
            recall=self._around.history,
            log=self._log(room),
            reactions=_no_reactions if book is None else book.counts,
            most_chars=self._config.history_page_chars,
        )

    def _stops_typing(self, user: str, room: str) -> list[Action]:
        typists = self._typing.get(room)
        change = None if typists is None else typists.stop(user, self._around.now())
        return [] if change is None else [_typing_of(change, room)]

    def _is_small(self, room: str) -> bool:
        most = self._config.receipts_max_members
        for count, _ in enumerate(self._around.members(room)):
            if count >= most:
                return False
        return most > 0

    def _is_member(self, user: str, room: str) -> bool:
        return any(one.is_member(room) for one in self._around.sessions_of(user))

    def _direct_rooms_full(self, session: Session) -> bool:
        rooms = sum(is_direct(room) for room in session.rooms)
        return rooms >= self._config.max_direct_rooms

    def _role_of(self, user: str, room: str) -> Broadcast:
        role = _ROLE_NAMES[self._roles.of(user, room)]
        return Broadcast("role", {"user": user, "role": role}, room=room)

    def _removed(self, user: str, room: str, by: str) -> list[Action]:
        """Take a user's sessions out of a room, and tell them why."""
        actions: list[Action] = []
        for one in self._around.sessions_of(user):
            if one.is_member(room):
                # He is told nothing of the room any more, so it is told apart from it.
                told = {"user": user, "by": by, "room": room}
                actions += [
                    LeaveRoom(one.id, room),
                    Push("kicked", told, session=one.id),
                ]
        return actions


def erased(room: str, user: str, *, by: str) -> Broadcast:
    """Return what takes back everything that a user has said in a room."""
    told = {"user": user, "by": by}
    return Broadcast("erased", told, room=room, ack={"user": user})


def _typing_of(change: TypistChange, room: str) -> Broadcast:
    told = {"user": change.user, "on": change.on}
    return Broadcast("typing", told, room=room, key=change.user, exclude=change.session)


def _sanctioned(user: str, by: str, until: int | None) -> Sanctioned:
    told: Sanctioned = {"user": user, "by": by}
    if until is not None:
        told["until_ms"] = until
    return told


def _no_reactions(id: str) -> dict[str, int]:
    return {}
