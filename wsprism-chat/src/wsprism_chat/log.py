"""What a room's history comes to: each message as it is now.

The gateway keeps messages as they were sent, and edits, deletes and erasures as
messages of their own. A log is made of them by reading once through what the room
holds, and read on from there whenever somebody asks. It adds nothing to what sending
costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from wsprism_chat.refusals import not_found

__all__ = (
    "MAX_UNREAD",
    "NOTHING_READ",
    "Logged",
    "Mark",
    "Recall",
    "RoomLog",
    "RoomLogs",
)

#: Where counting what is unread ends.
MAX_UNREAD: Final = 1_000
#: Messages asked of the room at a time.
_STRIDE: Final = 256


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


class Mark(NamedTuple):
    """Up to where somebody has read; the larger one is further.

    The time comes first: where a room begins to count anew, what is newer is unread
    whatever its number.

    Args:
        ts: Milliseconds since 1970.
        seq: A number of the room.
    """

    ts: int
    seq: int


#: The mark of somebody who has read nothing.
NOTHING_READ: Final = Mark(0, 0)


@dataclass(slots=True)
class Logged:
    """A message as it is now.

    Args:
        sender: Who said it.
        seq: Its number in the room.
        ts: When it was numbered, milliseconds since 1970.
        version: How often it has been said otherwise, and 1.
        issued: The highest version that has been given out, which may still be on its
            way to the history.
        edited: What `chat.edited` said last; None where it is as it was sent.
        deleted: Whether it is gone.
    """

    sender: str
    seq: int
    ts: int
    version: int = 1
    issued: int = 1
    edited: Mapping[str, Any] | None = None
    deleted: bool = False


class RoomLog:
    """The messages of one room, by id.

    Args:
        recall: Gives back what a room holds.
        room: The room's name.
        reach: How far back it goes, in numbers of the room.
    """

    def __init__(self, recall: Recall, room: str, reach: int) -> None:
        self._recall = recall
        self._room = room
        self._reach = reach
        self._messages: dict[str, Logged] = {}
        #: Those that are not deleted, by who said them: to erase takes no search.
        self._said: dict[str, dict[str, Logged]] = {}
        self._seen = 0
        #: The smallest number that it reaches back to.
        self.first = 1

    def catch_up(self) -> None:
        """Read on to the room's newest message."""
        newest = self._recall(self._room, limit=1)
        head = newest[-1]["seq"] if newest else 0
        if head < self._seen:
            # The room counts anew: what was before is of another room.
            self._messages.clear()
            self._said.clear()
            self._seen = 0
        self.first = max(1, head - self._reach + 1)
        self._seen = max(self._seen, self.first - 1)
        while self._seen < head:
            held = self._recall(self._room, after=self._seen, limit=_STRIDE)
            if not held:
                break
            for envelope in held:
                # A room is shared: other services' messages are numbered with ours.
                if envelope["svc"] == "chat":
                    self._read(envelope)
            self._seen = held[-1]["seq"]
        self._forget_old()

    def get(self, id: str) -> Logged | None:
        """Return a message that is not deleted, as of the last `catch_up`."""
        found = self._messages.get(id)
        return None if found is None or found.deleted else found

    def find(self, id: str) -> Logged | None:
        """Return a message, deleted or not, as of the last `catch_up`."""
        return self._messages.get(id)

    def count_of(self, user: str) -> int:
        """Return how many messages of a user are not deleted, as of then."""
        return len(self._said.get(user, ()))

    def newest(self) -> Iterator[Logged]:
        """Yield the messages, the newest first, as of the last `catch_up`."""
        return reversed(self._messages.values())

    def oldest(self) -> Iterator[Logged]:
        """Yield the messages, the oldest first, as of the last `catch_up`."""
        return iter(self._messages.values())

    def unread(self, user: str, mark: Mark) -> int:
        """Return how many messages of others are beyond a mark, up to `MAX_UNREAD`."""
        count = 0
        for message in self.newest():
            if message.seq <= mark.seq and message.ts <= mark.ts:
                break
            if message.sender != user and not message.deleted:
                count += 1
                if count == MAX_UNREAD:
                    break
        return count

    def _read(self, envelope: Mapping[str, Any]) -> None:
        data = envelope["data"]
        match envelope["type"]:
            case "msg":
                id, sender = data["id"], data["from"]
                said = Logged(sender, envelope["seq"], envelope["ts"])
                self._messages[id] = said
                self._said.setdefault(sender, {})[id] = said
            case "edited" | "deleted" as kind:
                message = self._messages.get(data["id"])
                # The newer version wins, in whatever order they were numbered.
                if message is None or data["version"] <= message.version:
                    return
                message.version = data["version"]
                message.issued = max(message.issued, message.version)
                if kind == "deleted":
                    message.deleted = True
                    self._unsay(message.sender, data["id"])
                else:
                    message.edited = data
            case "erased":
                for message in self._said.pop(data["user"], {}).values():
                    message.deleted = True
            case _:
                pass

    def _forget_old(self) -> None:
        gone = []
        for id, message in self._messages.items():
            if message.seq >= self.first:
                break
            gone.append(id)
        for id in gone:
            self._unsay(self._messages.pop(id).sender, id)

    def _unsay(self, sender: str, id: str) -> None:
        """Count a message as its sender's no more."""
        said = self._said.get(sender)
        if said is not None:
            said.pop(id, None)
            if not said:
                del self._said[sender]


class RoomLogs:
    """The logs of one tenant's rooms, each made when it is first wanted.

    Args:
        recall: Gives back what a room holds.
        reach: How far back they go, in numbers of a room.
    """

    def __init__(self, recall: Recall, reach: int) -> None:
        self._recall = recall
        self._reach = reach
        self._logs: dict[str, RoomLog] = {}

    def __len__(self) -> int:
        return len(self._logs)

    def of(self, room: str) -> RoomLog:
        """Return what has become of a room's messages by now."""
        log = self._logs.get(room)
        if log is None:
            log = self._logs[room] = RoomLog(self._recall, room, self._reach)
        log.catch_up()
        return log

    def find(self, room: str, id: str) -> Logged:
        """Return a message that is not deleted.

        Raises:
            ProtocolError: `NOT_FOUND`.
        """
        message = self.of(room).get(id)
        if message is None:
            raise not_found("there is no such message in the room")
        return message

    def forget(self, room: str) -> None:
        """Forget a room that nobody is in, or whose past is gone."""
        self._logs.pop(room, None)
