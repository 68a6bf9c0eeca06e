"""The `data` of every chat message."""

from __future__ import annotations

from typing import Annotated, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

__all__ = (
    "DEFAULT_PAGE",
    "MAX_PAGE",
    "History",
    "HistoryQuery",
    "Message",
    "PastMessage",
    "Send",
)

#: Messages in a page of history, where the client names no limit and at the most.
DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 100

Id = Annotated[str, Field(min_length=1, max_length=64)]
Seq = Annotated[int, Field(ge=0, le=2**53 - 1)]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Text = Annotated[str, Field(min_length=1)]


class Send(TypedDict):
    """`chat.send`: say something in the room.

    Attributes:
        msg: The text; its greatest length is configured.
        id: The client's own id, by which a retry is told from a second message.
        reply_to: The id of the message that this one answers.
    """

    msg: Text
    id: NotRequired[Id]
    reply_to: NotRequired[Id]


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


#: `chat.msg`: somebody said something. `id` is the server's, `from` is a user id.
Message = TypedDict(
    "Message",
    {"id": str, "from": str, "msg": str, "reply_to": NotRequired[str]},
)


class PastMessage(Message):
    """A `chat.msg` in a page of history, with what its envelope carried.

    Attributes:
        seq: Its number in the room.
        ts: When the server numbered it, milliseconds since 1970.
    """

    seq: int
    ts: int


class History(TypedDict):
    """`chat.history`, the answer.

    Attributes:
        messages: The page, oldest first.
        more: Whether there is more on the far side of the page: newer ones where the
            query said `after`, else older ones.
    """

    messages: list[PastMessage]
    more: bool
