"""A room as all gateways together see it: one order, one epoch, one directory.

The backplane gives each gateway a `Channel` per room that it has members in. What is
published there reaches every gateway of the room, the publisher's own first, in one
order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from wsprism_core.protocol.layout import MAX_SAFE_INTEGER

__all__ = (
    "LARGEST_RECEIPT",
    "Channel",
    "FramePublication",
    "Publication",
    "Receipt",
    "Subscriber",
    "TextPublication",
)


@dataclass(slots=True)
class TextPublication:
    """A text message for the members of a room.

    Args:
        svc: The service in whose name it goes.
        type: One of the service's outbound types.
        data: The envelope's `data`; None leaves it out.
        recoverable: Whether it takes the room's next `seq` and is kept.
        key: What it replaces, for a type delivered as latest.
        exclude: A session id that does not get it.
        dedup: Who publishes it and the publisher's own id for it.
        ack: What the publisher is told besides `seq` and `ts`.
    """

    svc: str
    type: str
    data: Any = None
    recoverable: bool = False
    key: Hashable = None
    exclude: str | None = None
    dedup: tuple[str, str] | None = None
    ack: Mapping[str, Any] | None = None


@dataclass(slots=True)
class FramePublication:
    """A hot frame for the members of a room; each gateway puts its own alias in it."""

    svc_id: int
    opcode: int
    payload: bytes
    seq: int | None = None
    sender: int | None = None
    key: Hashable = None
    exclude: str | None = None


Publication: TypeAlias = TextPublication | FramePublication


@dataclass(slots=True)
class Receipt:
    """What became of a publication.

    Attributes:
        seq: The room's number, None for what is not recoverable.
        ts: Server time in milliseconds since 1970, None as `seq`.
        ack: What the first publication with the same `dedup` was acknowledged with.
        stored: False where it could not be kept: nobody got it.
    """

    seq: int | None = None
    ts: int | None = None
    ack: Mapping[str, Any] | None = None
    stored: bool = True


#: One that takes as many bytes in an envelope as any.
LARGEST_RECEIPT: Final = Receipt(seq=MAX_SAFE_INTEGER, ts=MAX_SAFE_INTEGER)


class Subscriber(Protocol):
    """The gateway's side of a channel."""

    def check(self, publication: Publication) -> None:
        """See that a publication can be sent.

        Raises:
            ValueError: It cannot be encoded, or is too large.
        """

    def published(self, publication: Publication, receipt: Receipt) -> None:
        """Take a publication, in the room's order."""

    def entered(self, n: int, user: str) -> None:
        """Note a new member, on any gateway."""

    def exited(self, n: int) -> None:
        """Note that a member is gone."""


class Channel(Protocol):
    """One gateway's hold on a room."""

    @property
    def epoch(self) -> str:
        """Opaque, at most 32 characters; new whenever `seq` starts anew."""

    @property
    def seq(self) -> int:
        """The number of the newest recoverable message, 0 before the first."""

    @property
    def oldest(self) -> int:
        """The number of the oldest message kept; `seq + 1` where none is."""

    @property
    def durable(self) -> bool:
        """Whether recoverable messages are safe before they are delivered."""

    def publish(
        self, publication: Publication, done: Callable[[Receipt], None] | None = None
    ) -> None:
        """Send a publication to every gateway of the room.

        Args:
            publication: What to send.
            done: Called once it has its place in the order and was delivered here, or
                could not be kept. A publication whose `dedup` was seen is not sent
                again; `done` gets the first one's receipt.

        Raises:
            ValueError: The publisher's own gateway cannot encode it; nobody got it.
            ~wsprism_core.history.port.StoreFull: Too much waits to be stored; nobody
                got it.
        """

    def repeats(
        self, dedup: tuple[str, str], done: Callable[[Receipt], None] | None = None
    ) -> bool:
        """Whether something was published, or is on its way, with this `dedup`.

        Args:
            dedup: Who published it and the publisher's own id for it.
            done: Called, where it was, with what became of that; now, or once that is
                known.
        """

    def enter(self, user: str) -> int:
        """Add a member; return its number, which is not reused within the epoch."""

    def exit(self, n: int) -> None:
        """Remove a member."""

    def members(self) -> Mapping[int, str]:
        """Return every member's user by number, on all gateways, oldest first."""

    def history(
        self, *, before: int | None, after: int | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return kept recoverable messages, oldest first; see `Gateway.history`."""

    def forget(self) -> None:
        """Keep no recoverable message any more of those until now; numbers go on."""

    def size_since(self, after: int) -> int:
        """Return how many bytes the kept messages with a larger number take.

        About as they are in JSON. It reads none of them.
        """

    def close(self) -> None:
        """Let go of the room; this gateway has no member in it any more."""
