"""What a service wants done: state in, actions out.

A handler returns one action, several, or None; the gateway performs them in order,
after the handler returned and only if it did not raise. Actions are plain values, so a
service is tested by comparing what it returns, and a recording of what an async handler
returned replays exactly.

The three verbs never blur: **reply** answers the message at hand (with its `ref`),
**push** goes to one session or one user, **broadcast** to the members of a room.

They are not to be changed once returned. They are not frozen for all that: to make a
frozen one takes three times as long (1.4 us), and there is one for every message.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, get_args

from wsprism_core.protocol.layout import CloseCode

if TYPE_CHECKING:
    from wsprism_core.api import Session

__all__ = (
    "ACTION_TYPES",
    "Ack",
    "Action",
    "Actions",
    "Broadcast",
    "BroadcastFrame",
    "JoinRoom",
    "Kick",
    "LeaveRoom",
    "Pull",
    "Push",
    "PushFrame",
    "Reply",
    "Source",
)


@dataclass(slots=True)
class Reply:
    """Answer the message at hand with a type of the service's own, and its `ref`."""

    type: str
    data: Any = None
    room: str | None = None


@dataclass(slots=True)
class Ack:
    """What `sys.ack` carries, where the sender asked for one.

    Without it the acknowledgement carries no data.
    """

    data: Any


@dataclass(slots=True)
class Push:
    """Send a message to one session, to every session of one user, or to all.

    Args:
        type: One of the service's outbound types.
        data: The envelope's `data`; None leaves it out.
        session: A session id; exactly one of `session`, `user` and `everyone` is given.
        user: A user id, of the tenant at hand.
        room: The room that it concerns, if any.
        key: What is replaced by it, for a type delivered as latest.
        everyone: Every session of the tenant at hand; encoded once, as for a room.
    """

    type: str
    data: Any = None
    session: str | None = None
    user: str | None = None
    room: str | None = None
    key: str | None = None
    everyone: bool = False


@dataclass(slots=True)
class Broadcast:
    """Send a message to every member of a room.

    Of a recoverable type it gets its number, and is kept, in a room that nobody is in
    as well: whoever comes back finds it there.

    Args:
        type: One of the service's outbound types.
        data: The envelope's `data`; None leaves it out.
        room: None is the room of the message at hand.
        exclude: A session id that does not get it.
        key: What is replaced by it, for a type delivered as latest.
        ack: What the sender's `sys.ack` carries, to which the gateway adds the `seq`
            and `ts` that a recoverable type got. It is the message's one answer, where
            the sender asked for one: no `Reply` and no `Ack` beside it.
        dedup: The sender's own id for it. A second one of the same user with the same
            id in the same room is not sent again; it is acknowledged as the first was,
            for as long as the room remembers (`dedup_window`). With `Inbound.dedup` the
            service is not even asked. What is done outside of any message has one
            sender for all.
    """

    type: str
    data: Any = None
    room: str | None = None
    exclude: str | None = None
    key: str | None = None
    ack: Mapping[str, Any] | None = None
    dedup: str | None = None


@dataclass(slots=True)
class BroadcastFrame:
    """Send a hot frame to every member of a room.

    Args:
        opcode: One of the service's opcodes.
        payload: What follows the header.
        room: None is the room of the frame at hand.
        seq: 32 bits, or None without.
        sender: The member number of the session that it is relayed from, or None.
        exclude: A session id that does not get it.
        key: What is replaced by it, for an opcode delivered as latest.
    """

    opcode: int
    payload: bytes
    room: str | None = None
    seq: int | None = None
    sender: int | None = None
    exclude: str | None = None
    key: str | int | None = None


@dataclass(slots=True)
class PushFrame:
    """Send a hot frame to one session, or to every session of one user.

    Fields as in `Push` and `BroadcastFrame`.
    """

    opcode: int
    payload: bytes
    session: str | None = None
    user: str | None = None
    room: str | None = None
    seq: int | None = None
    key: str | int | None = None


class Source(Protocol):
    """Where what is pulled comes from: state that many sessions share."""

    def pull(
        self, session: Session, budget: int
    ) -> tuple[Sequence[Push | PushFrame], bool]:
        """Return what a session gets now; its socket takes bytes.

        Args:
            session: Whose turn it is.
            budget: About how many bytes it may be; one message may always be.

        Returns:
            Messages in order, each without a session, a user or a room of its own and
            of a type or opcode that is delivered as pulled; and whether there is more,
            for which the source is asked again when the socket takes bytes again.
        """


@dataclass(slots=True)
class Pull:
    """Let sessions fetch the state of something when their sockets can take it.

    Until then only a marker waits, one for each source and key: who reads slowly gets
    what is true when he reads, computed for him, and not what was true in between.

    Args:
        type: The outbound type, or the opcode, that gives the lane; its delivery is
            pulled.
        source: Who is asked. A source is compared by identity, or as it defines.
        key: What is marked; a second marker of the same source and key adds nothing.
        session: A session id; exactly one of `session`, `user` and `room` is given.
        user: A user id, of the tenant at hand.
        room: A room's name: every member, the quiet audience too, and what they pull
            names the room. Nothing is pulled of a room that a session has left.
    """

    type: str | int
    source: Source
    key: Hashable = None
    session: str | None = None
    user: str | None = None
    room: str | None = None


@dataclass(slots=True)
class JoinRoom:
    """Make a session a member of a room without asking `check_join` or any limit.

    Args:
        session: A session id.
        room: The room's name.
        quiet: An audience rather than company: it gets what is broadcast, and that is
            all. No `sys.joined`, no presence, no `on_join` and `on_leave`, no place in
            any limit; the active room stays what it is, and messages that only members
            may send are refused.
        active: Whether the room becomes the session's active one.
    """

    session: str
    room: str
    quiet: bool = False
    active: bool = True


@dataclass(slots=True)
class LeaveRoom:
    """End a session's membership of a room; nothing happens where there is none.

    A membership that began quietly also ends so. That of a session whose connection
    dropped ends at once: nothing of the room is fetched for it any more, and it is told
    with `sys.left` when it comes back.
    """

    session: str
    room: str


@dataclass(slots=True)
class Kick:
    """Close a session, or all of a user's, with `sys.kicked` before the close."""

    reason: str
    session: str | None = None
    user: str | None = None
    code: CloseCode = CloseCode.KICKED_MAY_RETURN


Action: TypeAlias = (
    Reply
    | Ack
    | Push
    | Broadcast
    | BroadcastFrame
    | PushFrame
    | Pull
    | JoinRoom
    | LeaveRoom
    | Kick
)
#: The types of `Action`.
ACTION_TYPES: Final[frozenset[type]] = frozenset(get_args(Action))
#: What a handler may return.
Actions: TypeAlias = Action | Iterable[Action] | None
