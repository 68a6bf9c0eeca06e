"""The port to where rooms keep their recoverable messages.

A store gives each room its epoch and its numbers: gap-free, and never again the same
number for another message within an epoch. What has been acknowledged to a sender is
kept; a store that may have lost something begins a new epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

__all__ = (
    "DedupKey",
    "HistoryStore",
    "KeptMessage",
    "NewMessage",
    "Remembered",
    "Retention",
    "RoomHistory",
    "StoreFull",
)

#: Who published a message and the publisher's own id for it.
DedupKey: TypeAlias = tuple[str, str]


class StoreFull(Exception):
    """So much waits to be stored, or is kept, that no more is taken.

    Args:
        msg: What its sender is told.
        passes: Whether it may well be taken in a moment.
    """

    def __init__(
        self, msg: str = "too much waits to be stored", *, passes: bool = True
    ) -> None:
        super().__init__(msg)
        self.passes = passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of a room is kept; the oldest goes first.

    Args:
        messages: How many at the most; 0 keeps none.
        bytes: How much, about as it is in JSON; 0 is no bound.
        age: For how many seconds; 0 is no bound.
    """

    messages: int = 1_000
    bytes: int = 4 * 1024 * 1024
    age: float = 0.0


@dataclass(slots=True)
class NewMessage:
    """A message that has no number yet.

    Args:
        ts: Server time in milliseconds since 1970.
        svc: The service in whose name it goes.
        type: One of the service's outbound types.
        data: The envelope's `data`, which JSON can say.
        dedup: Who published it and the publisher's own id, for which the same message
            is not taken again.
        ack: What its publisher is told besides number and time.
    """

    ts: int
    svc: str
    type: str
    data: Any
    dedup: DedupKey | None = None
    ack: Mapping[str, Any] | None = None


@dataclass(slots=True)
class KeptMessage:
    """A message that a room remembers.

    Args:
        seq: Its number in the room's epoch.
        ts: Server time in milliseconds since 1970.
        svc: The service in whose name it went.
        type: One of the service's outbound types.
        data: The envelope's `data`.
    """

    seq: int
    ts: int
    svc: str
    type: str
    data: Any

    def envelope(self, room: str) -> dict[str, Any]:
        """Return it as `Gateway.history` does."""
        return {
            "svc": self.svc,
            "type": self.type,
            "room": room,
            "seq": self.seq,
            "ts": self.ts,
            "data": self.data,
        }


class Remembered(NamedTuple):
    """A publisher's id, and what was kept for it.

    Args:
        dedup: Who published it and the publisher's own id.
        seq: Its number.
        ts: Its time in milliseconds since 1970.
        ack: What its publisher was told besides.
    """

    dedup: DedupKey
    seq: int
    ts: int
    ack: Mapping[str, Any] | None


class RoomHistory(Protocol):
    """What is kept of one room, while a gateway has a member in it."""

    @property
    def epoch(self) -> str:
        """Opaque, at most 32 characters; new whenever numbers start anew."""

    @property
    def seq(self) -> int:
        """The number of the newest message that is kept, 0 before the first."""

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept; `seq + 1` where none is."""

    @property
    def numbers(self) -> int:
        """The highest member number that may have been given in this epoch."""

    def append(self, message: NewMessage, stored: Callable[[int | None], None]) -> None:
        """Keep a message.

        Args:
            message: The message.
            stored: Called once with its number, in the order of appending: within this
                very call by a store that is not durable, else when the message is
                safe. None says that it could not be kept; then nothing has changed.

        Raises:
            StoreFull: Too much waits, or is kept; `stored` is not called.
            ValueError: JSON cannot say its data; `stored` is not called.
        """

    def read(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[KeptMessage]:
        """Return messages, oldest first.

        Args:
            before: Only those with a smaller number; the newest of them.
            after: Only those with a larger number; the oldest of them.
            limit: How many at the most.
        """

    def forget(self) -> None:
        """Keep no message any more that was appended until now.

        What is still on its way counts as well; it is told as any. Numbers go on.
        """

    def size_since(self, after: int) -> int:
        """Return how many bytes the kept messages with a larger number take.

        About as they are in JSON, with their envelopes. It reads none of them.
        """

    def receipts(self) -> Sequence[Remembered]:
        """Return publishers' ids that are remembered from before, oldest first."""

    def note_numbers(self, n: int) -> None:
        """Note that member numbers up to `n` have been given."""

    def close(self) -> None:
        """Let go of the room: no gateway has a member in it any more."""


class HistoryStore(Protocol):
    """Keeps the recoverable messages of rooms."""

    #: How the configuration and metrics name it.
    name: str
    #: Whether messages are safe before they are delivered, and outlive the process.
    durable: bool

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored."""

    async def start(self) -> None:
        """Open what it keeps.

        Raises:
            OSError: It cannot be had.
        """

    async def stop(self) -> None:
        """Finish what is under way, and close."""

    def open(self, tenant: str, room: str) -> RoomHistory:
        """Take hold of a room, which is not open yet."""
