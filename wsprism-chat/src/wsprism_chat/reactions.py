"""Reactions to the messages of a room: each user each kind once, told as counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

__all__ = ("ReactionBook",)


class _Reacted:
    """The reactions to one message: who gave each kind, and what was told when."""

    __slots__ = ("by_kind", "told_at", "total")

    def __init__(self) -> None:
        # A kind stands where it was first given.
        self.by_kind: dict[str, set[str]] = {}
        self.total = 0
        self.told_at = float("-inf")

    def counts(self) -> dict[str, int]:
        return {kind: len(users) for kind, users in self.by_kind.items()}


class ReactionBook:
    """The reactions to the messages of one room.

    They are kept in memory, for as long as the room has members; of the message that
    got none for longest they go first. Times are seconds on a clock that never goes
    back.

    Args:
        every: Seconds between two summaries of one message.
        kinds: Kinds of reactions to one message.
        most: Reactions to one message.
        messages: Messages with reactions.
    """

    def __init__(self, every: float, kinds: int, most: int, messages: int) -> None:
        self._every = every
        self._kinds = kinds
        self._most = most
        self._messages = messages
        self._reacted: OrderedDict[str, _Reacted] = OrderedDict()
        # Messages whose summary is to be told, in the order in which they changed.
        self._dirty: dict[str, None] = {}

    def react(self, id: str, user: str, kind: str, *, on: bool) -> bool:
        """Note a reaction, or that it is taken back; return whether that is new.

        Raises:
            OverflowError: The message has as many, or as many kinds, as it may.
        """
        reacted = self._reacted.get(id)
        given = None if reacted is None else reacted.by_kind.get(kind)
        if (given is not None and user in given) is on:
            return False
        if not on:
            assert reacted is not None
            assert given is not None
            given.remove(user)
            if not given:
                del reacted.by_kind[kind]
            reacted.total -= 1
        else:
            if reacted is None:
                reacted = self._reacted[id] = _Reacted()
                if len(self._reacted) > self._messages:
                    self.forget(next(iter(self._reacted)))
            if reacted.total >= self._most:
                raise OverflowError
            if given is None:
                if len(reacted.by_kind) >= self._kinds:
                    raise OverflowError
                given = reacted.by_kind[kind] = set()
            given.add(user)
            reacted.total += 1
        self._reacted.move_to_end(id)
        self._dirty[id] = None
        return True

    def counts(self, id: str) -> dict[str, int]:
        """Return how many gave a message each kind of reaction."""
        reacted = self._reacted.get(id)
        return {} if reacted is None else reacted.counts()

    def forget(self, id: str) -> None:
        """Forget the reactions to a message, which is gone."""
        self._reacted.pop(id, None)
        self._dirty.pop(id, None)

    def due(self, now: float) -> Iterator[tuple[str, dict[str, int]]]:
        """Yield the messages whose summary is to be told now, each with its counts."""
        for id in list(self._dirty):
            reacted = self._reacted[id]
            if now - reacted.told_at < self._every:
                continue
            del self._dirty[id]
            reacted.told_at = now
            yield id, reacted.counts()
