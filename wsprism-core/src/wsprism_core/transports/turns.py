"""Turns of the event loop, shared among connections that have much to say."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ("TEXTS_PER_TURN", "ReadingTurns")

#: Text messages of all connections together in one turn, of 20 to 40 us each.
TEXTS_PER_TURN: Final = 16


class ReadingTurns:
    """Bounds what one turn of the event loop takes from all connections together.

    Who has had its own share goes on in the next turn, whatever place that has for
    texts; who found no place for a text, in one of the next turns, in the order of
    being put off. Hot frames are not counted: so an input of the game waits for so
    many texts at most, however many connections chat at once, unless its own
    connection has a text before it that was put off.

    Args:
        loop: The event loop.
        texts: Text messages in a turn.
    """

    __slots__ = ("_for_place", "_is_due", "_left", "_loop", "_put_off", "_texts")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, texts: int = TEXTS_PER_TURN
    ) -> None:
        self._loop = loop
        self._texts = texts
        self._left = texts
        self._is_due = False
        self._put_off: deque[Callable[[], None]] = deque()
        self._for_place: deque[Callable[[], None]] = deque()

    def take_text(self) -> bool:
        """Count a text message; return False where this turn has no place for it."""
        if not self._left:
            return False
        self._left -= 1
        # What is left over is for the next turn: most turns need no work of their own.
        if not self._left:
            self._schedule()
        return True

    def put_off(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called in the next turn."""
        self._put_off.append(go_on)
        self._schedule()

    def wait_for_place(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called in one of the next turns that has place for a text."""
        self._for_place.append(go_on)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Begin a turn with those who were put off before."""
        self._is_due = False
        self._left = self._texts
        # Who is put off in this turn goes on in the next, and not in this one again.
        share = len(self._put_off)
        try:
            # They come first: else those who have had a share would take every place.
            for _ in range(len(self._for_place)):
                if not self._left:
                    break
                self._for_place.popleft()()
            for _ in range(share):
                self._put_off.popleft()()
        finally:
            if self._put_off or self._for_place:
                self._schedule()
