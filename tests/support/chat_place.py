"""A tenant as chat's rules see it, without a gateway: rooms, sessions and a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, cast

from wsprism_chat.config import ChatConfig
from wsprism_chat.filters import FilterChain
from wsprism_chat.service import ChatService
from wsprism_core import (
    Action,
    Actions,
    Broadcast,
    Envelope,
    ErrorCode,
    LeaveRoom,
    Member,
    ProtocolError,
    Session,
)
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds

__all__ = (
    "RECOVERABLE",
    "Place",
    "Room",
    "Visitor",
    "owned",
    "refusal",
    "room_of_two",
)

RECOVERABLE = {"msg", "edited", "deleted", "erased"}


class Room:
    """A room as the gateway holds it: a ring of numbered messages."""

    def __init__(self) -> None:
        self.held: list[Mapping[str, Any]] = []
        self.head = 0

    def put(
        self, data: Any, svc: str = "chat", type: str = "msg", ts: int | None = None
    ) -> None:
        self.head += 1
        envelope = {"svc": svc, "type": type, "room": "r1", "data": data}
        when = 1_000 + self.head if ts is None else ts
        self.held.append({**envelope, "seq": self.head, "ts": when})

    def say(self, *texts: str, user: str = "user:ann") -> None:
        for text in texts:
            self.put({"id": f"m{self.head + 1}", "from": user, "msg": text})

    def recall(
        self,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        found = [
            envelope
            for envelope in self.held
            if (before is None or envelope["seq"] < before)
            and (after is None or envelope["seq"] > after)
        ]
        return found[-limit:] if after is None else found[:limit]


class Visitor:
    """A session, as far as chat looks at it."""

    def __init__(self, id: str, user: str, tenant: str = "acme") -> None:
        self.id = id
        self.user = user
        self.tenant = tenant
        self.rooms: list[str] = []
        self.is_open = True

    def is_member(self, room: str) -> bool:
        return room in self.rooms


class Place:
    """A tenant with a chat service, whose broadcasts its rooms number and keep.

    Args:
        filters: What a text has to pass.
        state: What was kept before.
        section: The configuration of chat.

    Attributes:
        counted: What was counted.
    """

    def __init__(
        self,
        filters: FilterChain | None = None,
        state: MemoryState | None = None,
        **section: Any,
    ) -> None:
        self.tenant = "acme"
        self.counted: Counter[str] = Counter()
        self.time = 1_000.0
        self.rooms: dict[str, Room] = {}
        self.visitors: dict[str, Visitor] = {}
        # An empty state is false.
        empty = MemoryState(StateBounds(1_000, 100_000))
        self.state = empty if state is None else state
        numbers = count(1)
        self.chat = ChatService(
            ChatConfig(**section),
            self,
            lambda: f"id{next(numbers)}",
            self.state,
            filters or FilterChain(),
        )

    # -------------------------------------------------------- what the rules may ask

    def count(self, counter: str) -> None:
        self.counted[counter] += 1

    def now(self) -> float:
        return self.time

    def wall_ms(self) -> int:
        return int(self.time * 1_000)

    def history(self, room: str, **query: Any) -> Sequence[Mapping[str, Any]]:
        return self.rooms.setdefault(room, Room()).recall(room, **query)

    def members(self, room: str) -> Iterable[Member]:
        return [
            Member(n, one.user, one.id)
            for n, one in enumerate(self.visitors.values(), 1)
            if one.is_member(room)
        ]

    def member_count(self, room: str) -> int:
        return sum(one.is_member(room) for one in self.visitors.values())

    def sessions_of(self, user: str) -> Iterable[Session]:
        return [
            cast("Session", one)
            for one in self.visitors.values()
            if one.user == user and one.is_open
        ]

    # ------------------------------------------------------------------ what happens

    def enter(self, name: str, *rooms: str) -> Visitor:
        """Let a user in with one more session, and into rooms."""
        id = f"s{len(self.visitors) + 1}"
        visitor = self.visitors[id] = Visitor(id, f"user:{name}")
        self.chat.opened(cast("Session", visitor))
        for room in rooms:
            self.join(visitor, room)
        return visitor

    def join(self, visitor: Visitor, room: str) -> None:
        visitor.rooms.append(room)
        self.chat.joined(cast("Session", visitor), room)

    def detach(self, visitor: Visitor) -> None:
        """Have a session lose its connection."""
        visitor.is_open = False
        self.chat.detached(cast("Session", visitor))

    def resume(self, visitor: Visitor) -> None:
        visitor.is_open = True
        self.chat.resumed(cast("Session", visitor))

    def end(self, visitor: Visitor) -> None:
        """Have a session end, connected or not."""
        visitor.is_open = False
        for room in list(visitor.rooms):
            self.leave(visitor, room)
        self.chat.closed(cast("Session", visitor))

    def leave(self, visitor: Visitor, room: str) -> list[Action]:
        visitor.rooms.remove(room)
        return self.chat.left(cast("Session", visitor), room)

    def do(
        self, visitor: Visitor, type: str, data: Any = None, room: str = "r1"
    ) -> list[Any]:
        """Have a message handled; keep what is recoverable, and leave whom it ends."""
        message = Envelope("chat", type, room=room, data=data)
        actions = _all(self.chat.handle(cast("Session", visitor), message))
        for action in actions:
            if isinstance(action, Broadcast) and action.type in RECOVERABLE:
                self.rooms.setdefault(room, Room()).put(
                    action.data, type=action.type, ts=self.wall_ms()
                )
            elif isinstance(action, LeaveRoom):
                self.leave(self.visitors[action.session], action.room)
        return actions

    def say(self, visitor: Visitor, msg: str, **more: Any) -> str:
        """Have something said in r1; return its id."""
        actions = self.do(visitor, "send", {"msg": msg, **more})
        id: str = actions[0].data["id"]
        return id


def owned(**section: Any) -> tuple[Place, Visitor, Visitor]:
    """A place whose room r1 is ann's, and bob is in it."""
    place = Place(**section)
    ann = place.enter("ann", "r1")
    place.do(ann, "create")
    return place, ann, place.enter("bob", "r1")


def room_of_two(**section: Any) -> tuple[Place, Visitor, Visitor]:
    """A place with ann and bob in r1, which nobody owns."""
    place = Place(**section)
    return place, place.enter("ann", "r1"), place.enter("bob", "r1")


def refusal(place: Place, visitor: Visitor, type: str, data: Any = None) -> ErrorCode:
    """Return the code with which something is refused.

    Raises:
        AssertionError: It is not.
    """
    try:
        place.do(visitor, type, data)
    except ProtocolError as error:
        return error.code
    raise AssertionError(f"{type} was not refused")


def _all(actions: Actions) -> list[Any]:
    if actions is None:
        return []
    return list(actions) if isinstance(actions, list) else [actions]
