"""Rooms that somebody owns: what is kept of them, also over a restart."""

from __future__ import annotations

from copy import deepcopy
from enum import IntEnum
from typing import Final

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from wsprism_chat.refusals import exhausted
from wsprism_core import State, StateFull

__all__ = ("FOR_GOOD", "OwnedRoom", "OwnedRooms", "Role")

#: The end of a sanction that has none.
FOR_GOOD: Final = 0


class Role(IntEnum):
    """What a user may do in a room; more is more."""

    MEMBER = 0
    MODERATOR = 1
    OWNER = 2


@dataclass(slots=True)
class OwnedRoom:
    """The rules of a room.

    Args:
        owner: The owner's user id.
        moderators: Who moderates, in the order of being named.
        invite_only: Whether only who is invited may join.
        invited: Who may.
        slow_ms: Milliseconds between two messages of one member; 0 is no bound.
        muted: Who may not speak, and until when in milliseconds since 1970.
        banned: Who may not join, likewise.
    """

    owner: str
    moderators: list[str]
    invite_only: bool
    invited: list[str]
    slow_ms: int
    muted: dict[str, int]
    banned: dict[str, int]

    def role(self, user: str) -> Role:
        """Return a user's role."""
        if user == self.owner:
            return Role.OWNER
        return Role.MODERATOR if user in self.moderators else Role.MEMBER

    def is_muted(self, user: str, now_ms: int) -> bool:
        """Whether a user may not speak."""
        return _holds(self.muted.get(user), now_ms)

    def is_banned(self, user: str, now_ms: int) -> bool:
        """Whether a user may not be in the room."""
        return _holds(self.banned.get(user), now_ms)

    def admits(self, user: str, now_ms: int) -> bool:
        """Whether a user may join."""
        if self.is_banned(user, now_ms):
            return False
        return (
            not self.invite_only
            or self.role(user) is not Role.MEMBER
            or user in self.invited
        )


class OwnedRooms:
    """The owned rooms of one tenant.

    Args:
        state: Where they are kept.
        tenant: The tenant's id.
    """

    def __init__(self, state: State, tenant: str) -> None:
        self._state = state
        self._prefix = f"room/{tenant}/"
        self._adapter = TypeAdapter(OwnedRoom)
        self._rooms = {
            key.removeprefix(self._prefix): self._adapter.validate_json(value)
            for key, value in state.items(self._prefix)
        }

    def __len__(self) -> int:
        return len(self._rooms)

    def __contains__(self, room: str) -> bool:
        return room in self._rooms

    def get(self, room: str) -> OwnedRoom | None:
        """Return a room, which is not to be changed; None for one without an owner."""
        return self._rooms.get(room)

    def owned_by(self, user: str) -> int:
        """Return how many rooms a user owns."""
        return sum(one.owner == user for one in self._rooms.values())

    def draft(self, room: str) -> OwnedRoom:
        """Return a copy of an owned room, to be changed and saved."""
        return deepcopy(self._rooms[room])

    def save(self, room: str, rules: OwnedRoom) -> None:
        """Keep a room.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, so much is kept that nothing changed.
        """
        try:
            self._state.put(self._prefix + room, self._adapter.dump_json(rules))
        except StateFull:
            raise exhausted("no more can be kept; nothing was changed") from None
        self._rooms[room] = rules

    def remove(self, room: str) -> None:
        """Keep a room no longer: nobody owns it any more."""
        self._state.delete(self._prefix + room)
        del self._rooms[room]


def _holds(until_ms: int | None, now_ms: int) -> bool:
    return until_ms is not None and (until_ms == FOR_GOOD or now_ms < until_ms)
