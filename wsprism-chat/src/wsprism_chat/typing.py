"""Who is typing in a room: shown to the others for a while, and never stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ("TypistChange", "Typists")


@dataclass(frozen=True, slots=True)
class TypistChange:
    """What the others are to be told of a user.

    Args:
        user: Who it is.
        on: Whether he is typing.
        session: Where he types, which is not told.
    """

    user: str
    on: bool
    session: str


@dataclass(slots=True)
class _Typist:
    """A user who types, or did a moment ago."""

    session: str
    ends: float
    told: bool
    told_at: float


class Typists:
    """Who types in one room.

    Times are seconds on a clock that never goes back. What comes too soon after the
    last word about the same user is told by `due`, and only what is true then.

    Args:
        ttl: Seconds for which one word is good.
        every: Seconds between two words about one user.
        most: Users at once; further ones are not shown.
    """

    def __init__(self, ttl: float, every: float, most: int) -> None:
        self._ttl = ttl
        self._every = every
        self._most = most
        self._typists: dict[str, _Typist] = {}

    def __bool__(self) -> bool:
        return bool(self._typists)

    def start(self, user: str, session: str, now: float) -> TypistChange | None:
        """Note that a user types; return what the others are told at once.

        Raises:
            OverflowError: As many are typing as may be shown.
        """
        typist = self._typists.get(user)
        if typist is None:
            if len(self._typists) >= self._most:
                raise OverflowError
            self._typists[user] = _Typist(session, now + self._ttl, True, now)
            return TypistChange(user, True, session)
        typist.session, typist.ends = session, now + self._ttl
        return self._tell(user, typist, now)

    def stop(self, user: str, now: float) -> TypistChange | None:
        """Note that a user types no more; return what the others are told at once."""
        typist = self._typists.get(user)
        if typist is None:
            return None
        typist.ends = now
        return self._tell(user, typist, now)

    def due(self, now: float) -> Iterator[TypistChange]:
        """Yield what the others are to be told now, and forget who has stopped."""
        for user, typist in list(self._typists.items()):
            change = self._tell(user, typist, now)
            if change is not None:
                yield change
            quiet = now - typist.told_at >= self._every
            if not typist.told and quiet and typist.ends <= now:
                del self._typists[user]

    def _tell(self, user: str, typist: _Typist, now: float) -> TypistChange | None:
        on = typist.ends > now
        if on == typist.told or now - typist.told_at < self._every:
            return None
        typist.told, typist.told_at = on, now
        return TypistChange(user, on, typist.session)
