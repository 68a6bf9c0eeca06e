"""What the rules of chat may ask of the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from wsprism_chat.log import Recall
from wsprism_core import Member, Session

__all__ = ("Surroundings",)


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

    def member_count(self, room: str) -> int:
        """Return how many members a room has."""

    def sessions_of(self, user: str) -> Iterable[Session]:
        """Return the open sessions of a user."""

    def count(self, counter: str) -> None:
        """Add to a counter of chat."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
