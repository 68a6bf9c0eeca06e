"""Whether every message of a numbered room is accounted for, to one reader."""

from __future__ import annotations

__all__ = ("Ledger",)


class Ledger:
    """Follows the numbers of a recoverable room as one member sees them.

    Each number must come once and in order, as a message or inside the range of a
    `sys.lost`.

    Args:
        head: The room's last number when the member joined.

    Attributes:
        last: The last number that is accounted for.
        received: Messages that came.
        lost: Messages inside a range.
        missing: Messages that neither came nor were told of.
        repeated: Messages that came, or were told of, a second time.
        again: Messages that came a second time because nobody could know that they had
            come before the connection dropped.
    """

    __slots__ = (
        "_may_repeat",
        "again",
        "last",
        "lost",
        "missing",
        "received",
        "repeated",
    )

    def __init__(self, head: int) -> None:
        self.last = head
        self.received = 0
        self.lost = 0
        self.missing = 0
        self.repeated = 0
        self.again = 0
        self._may_repeat = False

    def came_back(self) -> None:
        """Note that the session goes on: until something new comes, it may be old."""
        self._may_repeat = True

    def message(self, seq: int) -> None:
        """Note a message."""
        self.received += self._note(seq, seq)

    def range(self, first: int, last: int) -> None:
        """Note what a `sys.lost` says, both ends included."""
        self.lost += self._note(first, last)

    def _note(self, first: int, last: int) -> int:
        """Return how many numbers of a range are new."""
        self.missing += max(0, first - self.last - 1)
        new = max(0, last - max(first - 1, self.last))
        old = last - first + 1 - new
        if self._may_repeat and not new:
            self.again += old
        else:
            self.repeated += old
            self._may_repeat = False
        self.last = max(self.last, last)
        return new
