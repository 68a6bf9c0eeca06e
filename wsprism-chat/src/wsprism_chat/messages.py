"""The `data` of every chat message."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from wsprism_chat.ids import ID_LENGTH

__all__ = (
    "DEFAULT_PAGE",
    "LONGEST_SANCTION_S",
    "LONGEST_SLOW_MS",
    "MAX_ASKED",
    "MAX_PAGE",
    "MAX_STATUS_TEXT",
    "ChosenStatus",
    "Create",
    "Deleted",
    "Done",
    "Edit",
    "Edited",
    "Erased",
    "History",
    "HistoryQuery",
    "Invited",
    "Mentioned",
    "Message",
    "MessageId",
    "Opened",
    "PastMessage",
    "PresenceOf",
    "PresenceQuery",
    "React",
    "Reactions",
    "Read",
    "ReadUpTo",
    "RoleOf",
    "RoomRules",
    "Sanction",
    "Sanctioned",
    "Send",
    "SetStatus",
    "Slow",
    "StatusOf",
    "Typing",
    "TypingOf",
    "UserName",
)

#: Messages in a page of history, where the client names no limit and at the most.
DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 100
#: Users that one asks of at once.
MAX_ASKED: Final = 50
#: The longest text beside a status, in characters.
MAX_STATUS_TEXT: Final = 100
#: The longest mute and ban that has an end: ten years, in seconds.
LONGEST_SANCTION_S: Final = 315_360_000
#: The slowest slow mode: a message a day, in milliseconds.
LONGEST_SLOW_MS: Final = 86_400_000

#: The largest integer that JavaScript can tell from the next one.
_MAX_INTEGER: Final = 2**53 - 1

Id = Annotated[str, Field(min_length=1, max_length=64)]
Seq = Annotated[int, Field(ge=0, le=_MAX_INTEGER)]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Text = Annotated[str, Field(min_length=1)]
User = Annotated[str, Field(min_length=1, max_length=256)]
MessageName = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")]
#: No words and no addresses: what separates those stands in none, but for the two
#: colons of a short code, nor does what turns the direction of writing or is not seen.
_NO_KIND: Final = (
    r"\s\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff./:"
)
Emoji = Annotated[
    str, Field(max_length=32, pattern=rf"^(?:[^{_NO_KIND}]+|:[^{_NO_KIND}]+:)$")
]
Version = Annotated[int, Field(ge=1, le=_MAX_INTEGER)]
Seconds = Annotated[int, Field(ge=1, le=LONGEST_SANCTION_S)]
StatusText = Annotated[str, Field(max_length=MAX_STATUS_TEXT)]
SlowMs = Annotated[int, Field(ge=0, le=LONGEST_SLOW_MS)]


#: What a user may say that he is.
ChosenStatus: TypeAlias = Literal["online", "away", "busy"]


class Send(TypedDict):
    """`chat.send`: say something in the room.

    Attributes:
        msg: The text; its greatest length is configured.
        id: The client's own id, by which a retry is told from a second message.
        reply_to: The id of the message that this one answers.
        mentions: Users that it is meant for, beside those that `msg` names as `@user`.
    """

    msg: Text
    id: NotRequired[Id]
    reply_to: NotRequired[MessageName]
    mentions: NotRequired[Annotated[list[User], Field(max_length=64)]]


class Edit(TypedDict):
    """`chat.edit`: say a message of one's own otherwise.

    Attributes:
        id: The message's.
        msg: The new text.
        version: The version that the sender has seen; another one is `CONFLICT`.
    """

    id: Id
    msg: Text
    version: NotRequired[Version]


class MessageId(TypedDict):
    """`data` of `chat.delete`."""

    id: Id


class UserName(TypedDict):
    """`data` of what is done to a user."""

    user: User


class HistoryQuery(TypedDict):
    """`chat.history`: ask for messages that the room has had.

    Attributes:
        before: Only those with a smaller `seq`, the newest of them.
        after: Only those with a larger `seq`, the oldest of them; not with `before`.
        limit: How many at the most.
    """

    before: NotRequired[Seq]
    after: NotRequired[Seq]
    limit: NotRequired[Limit]


class Typing(TypedDict):
    """`chat.typing`: whether one is typing; True where it is left out."""

    on: NotRequired[bool]


class React(TypedDict):
    """`chat.react`: add a reaction to a message, or with `on` False take it back.

    Attributes:
        id: The message's.
        emoji: An emoji, or a short code with or without its colons: `:tada:`, `+1`. Up
            to 32 characters without space, control characters, `.`, `/` and `:`.
        on: Whether it is added; True where it is left out.
    """

    id: Id
    emoji: Emoji
    on: NotRequired[bool]


class Read(TypedDict):
    """`chat.read`: everything up to `seq` is read; without it only ask."""

    seq: NotRequired[Seq]


class SetStatus(TypedDict):
    """`chat.status`: what one is, in all rooms and on all connections.

    Attributes:
        status: What one is while one is here; it stays until one says otherwise.
        text: A few words beside it; without it there are none any more.
    """

    status: ChosenStatus
    text: NotRequired[StatusText]


class PresenceQuery(TypedDict):
    """`chat.presence`: ask whether users are here, and what they say of themselves."""

    users: Annotated[list[User], Field(min_length=1, max_length=MAX_ASKED)]


class Create(TypedDict):
    """`chat.create`: own a room.

    Attributes:
        invite_only: Whether only who is invited may join.
        slow_ms: Milliseconds between two messages of one member; 0 is no bound.
    """

    invite_only: NotRequired[bool]
    slow_ms: NotRequired[SlowMs]


class Slow(TypedDict):
    """`chat.slow` and `chat.slowed`: how slow a room is, in milliseconds."""

    ms: SlowMs


class Sanction(TypedDict):
    """`chat.mute` and `chat.ban`: for so many seconds, or for good."""

    user: User
    for_s: NotRequired[Seconds]


#: `chat.msg`: somebody said something. `id` is the server's, `from` is a user id.
Message = TypedDict(
    "Message",
    {
        "id": str,
        "from": str,
        "msg": str,
        "reply_to": NotRequired[str],
        "mentions": NotRequired[list[str]],
    },
)

#: `chat.edited`: a message reads otherwise now. Its first `version` was 1.
Edited = TypedDict(
    "Edited",
    {
        "id": str,
        "from": str,
        "msg": str,
        "version": int,
        "mentions": NotRequired[list[str]],
    },
)


class Deleted(TypedDict):
    """`chat.deleted`: a message is gone."""

    id: str
    by: str
    version: int


class Erased(TypedDict):
    """`chat.erased`: every message of a user before this one is gone."""

    user: str
    by: str


#: A message in a page of history, as it is now, with what its envelope carried. A
#: deleted one has no `msg`; `version` is left out where it is 1.
PastMessage = TypedDict(
    "PastMessage",
    {
        "id": str,
        "from": str,
        "seq": int,
        "ts": int,
        "msg": NotRequired[str],
        "reply_to": NotRequired[str],
        "mentions": NotRequired[list[str]],
        "version": NotRequired[int],
        "deleted": NotRequired[Literal[True]],
        "reactions": NotRequired[dict[str, int]],
    },
)


class History(TypedDict):
    """`chat.history`, the answer.

    Attributes:
        messages: The page, oldest first.
        more: Whether there is more on the far side of the page: newer ones where the
            query said `after`, else older ones.
    """

    messages: list[PastMessage]
    more: bool


class TypingOf(TypedDict):
    """`chat.typing`, to the others."""

    user: str
    on: bool


class Reactions(TypedDict):
    """`chat.reactions`: how many reacted to a message, and how."""

    id: str
    counts: dict[str, int]


class ReadUpTo(TypedDict):
    """`chat.read`, to the others: up to where somebody has read."""

    user: str
    seq: int


class StatusOf(TypedDict):
    """`chat.status`, to others: what a user is.

    Attributes:
        user: Who it is.
        status: What he has chosen; `offline` where he has no connection.
        text: A few words of his, if any.
        since_ms: Since when it is so, in milliseconds since 1970: of somebody who is
            offline, when he was here last. Of two about the same user the larger one
            is the newer. It is left out where nothing is known of him.
    """

    user: str
    status: ChosenStatus | Literal["offline"]
    text: NotRequired[str]
    since_ms: NotRequired[int]


class PresenceOf(TypedDict):
    """`chat.presence`, the answer: the users in the order asked, each once."""

    users: list[StatusOf]


class Sanctioned(TypedDict):
    """`chat.muted` and `chat.banned`; without `until_ms` it is for good."""

    user: str
    by: str
    until_ms: NotRequired[int]


class Done(TypedDict):
    """`chat.unmuted`, `chat.unbanned` and `chat.kicked`.

    Attributes:
        user: Whom it befell.
        by: Who did it.
        room: The room, where the envelope names none: who was kicked has left it.
    """

    user: str
    by: str
    room: NotRequired[str]


class RoleOf(TypedDict):
    """`chat.role`: what a user is in the room now."""

    user: str
    role: Literal["owner", "moderator", "member"]


class RoomRules(TypedDict):
    """`chat.rules`: who rules the room and how, as far as the asker may know."""

    owner: str | None
    moderators: list[str]
    role: Literal["owner", "moderator", "member"]
    invite_only: bool
    slow_ms: int
    muted: bool


class Invited(TypedDict):
    """`chat.invited`: one may join a room now."""

    room: str
    by: str


class Opened(TypedDict):
    """`chat.opened`: the direct room of oneself and another user."""

    room: str
    user: str


#: `chat.mentioned`: a message in a room that one is not in is meant for one.
Mentioned = TypedDict("Mentioned", {"room": str, "id": str, "from": str})
