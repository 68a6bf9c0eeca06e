"""The rules of chat: a message in, actions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from wsprism_chat.config import ChatConfig
from wsprism_chat.messages import (
    DEFAULT_PAGE,
    History,
    HistoryQuery,
    Message,
    PastMessage,
    Send,
)
from wsprism_core import Broadcast, Envelope, ErrorCode, ProtocolError, Reply

__all__ = ("ChatService", "Recall")

#: Messages asked of the room at a time; one more than a usual page needs is enough to
#: know whether there is another.
_STRIDE: Final = 64


class Recall(Protocol):
    """Returns what a room of the tenant holds; see `wsprism_core.Gateway.history`."""

    def __call__(
        self,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        """Return envelopes, oldest first; empty where there are none."""


class ChatService:
    """Chat in the rooms of one tenant.

    It keeps nothing: the gateway numbers the messages of a room, holds the last of
    them, and remembers what was acknowledged.

    Args:
        config: The limits.
        recall: Gives back what a room holds.
        new_id: Returns a new message id.
    """

    def __init__(
        self, config: ChatConfig, recall: Recall, new_id: Callable[[], str]
    ) -> None:
        self._config = config
        self._recall = recall
        self._new_id = new_id

    def handle(self, user: str, message: Envelope) -> Broadcast | Reply:
        """Answer a message that the gateway has checked against the manifest.

        Args:
            user: Who sent it.
            message: The envelope, with a room that the sender is a member of.

        Raises:
            ProtocolError: It is refused.
        """
        # RoomRule.MEMBER: the gateway has put the active room where none was named.
        assert message.room is not None
        match message.type:
            case "send":
                return self.send(user, message.room, message.data)
            case "history":
                return self.history(message.room, message.data)
            case unknown:
                raise ProtocolError(
                    ErrorCode.BAD_REQUEST, f"chat has no type {unknown!r}"
                )

    def send(self, user: str, room: str, data: Send) -> Broadcast:
        """Say something to every member of the room, the sender too.

        Raises:
            ProtocolError: `PAYLOAD_TOO_LARGE`, the text is longer than `max_length`.
        """
        text = data["msg"]
        longest = self._config.max_length
        if len(text) > longest:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE,
                f"msg is {len(text)} characters long; {longest} is the most",
            )
        new_id = self._new_id()
        said: Message = {"id": new_id, "from": user, "msg": text}
        if "reply_to" in data:
            said["reply_to"] = data["reply_to"]
        return Broadcast(
            "msg", said, room=room, ack={"id": new_id}, dedup=data.get("id")
        )

    def history(self, room: str, query: HistoryQuery | None) -> Reply:
        """Answer with a page of what was said in the room.

        A page ends at the limit asked for or where it would hold too much text: it is
        one message on the wire, and what is urgent waits until it is through.

        Raises:
            ProtocolError: `BAD_REQUEST`, both ends of the range are given.
        """
        query = query or {}
        before, after = query.get("before"), query.get("after")
        if before is not None and after is not None:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, "history takes before or after, not both"
            )
        limit = query.get("limit", DEFAULT_PAGE)
        page: list[PastMessage] = []
        chars = 0
        more = False
        for said in self._walk(room, before, after):
            chars += len(said["msg"])
            if page and (len(page) == limit or chars > self._config.history_page_chars):
                more = True
                break
            page.append(said)
        if after is None:
            page.reverse()
        answer: History = {"messages": page, "more": more}
        return Reply("history", answer, room=room)

    def _walk(
        self, room: str, before: int | None, after: int | None
    ) -> Iterator[PastMessage]:
        """Yield what was said, going away from the mark that the query gave."""
        while held := self._recall(room, before=before, after=after, limit=_STRIDE):
            for envelope in held if after is not None else reversed(held):
                # A room is shared: other services' messages are numbered with ours.
                if envelope["svc"] == "chat" and envelope["type"] == "msg":
                    yield _past(envelope)
            if after is not None:
                after = held[-1]["seq"]
            else:
                before = held[0]["seq"]


def _past(envelope: Mapping[str, Any]) -> PastMessage:
    """Return what a page of history says of a message that the room holds."""
    said: Message = envelope["data"]
    past: PastMessage = {
        "id": said["id"],
        "from": said["from"],
        "msg": said["msg"],
        "seq": envelope["seq"],
        "ts": envelope["ts"],
    }
    if "reply_to" in said:
        past["reply_to"] = said["reply_to"]
    return past
