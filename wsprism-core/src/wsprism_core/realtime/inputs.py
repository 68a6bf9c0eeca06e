"""What arrives between two ticks, of which the newest counts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode

__all__ = ("LatestInputs",)

T = TypeVar("T")


class LatestInputs(Generic[T]):
    """Collects input for a service that acts at a tick.

    A newer input replaces its elder of the same session and key in the elder's place,
    as a `latest` message does on its way out: who sends more often is not served sooner
    for it, nor later.

    Args:
        max_keys: How many keys each session may have between two ticks.

    Attributes:
        superseded: How many inputs were replaced before a tick took them.
        refused: How many had no place.
    """

    def __init__(self, max_keys: int = 16) -> None:
        self._max_keys = max_keys
        self._inputs: dict[str, dict[Hashable, T]] = {}
        self.superseded = 0
        self.refused = 0

    def __len__(self) -> int:
        return sum(map(len, self._inputs.values()))

    def put(self, session: str, value: T, key: Hashable = None) -> None:
        """Keep an input until the next tick.

        Args:
            session: The session's id.
            value: What it says.
            key: What it is about; left out, a session has one input.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`: the session has as many keys as it may.
        """
        mine = self._inputs.get(session)
        if mine is None:
            mine = self._inputs[session] = {}
        if key in mine:
            self.superseded += 1
        elif len(mine) >= self._max_keys:
            self.refused += 1
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED, "too much input for one tick"
            )
        mine[key] = value

    def take(self) -> list[tuple[str, Hashable, T]]:
        """Return what has arrived since the last tick, and start anew.

        Returns:
            Session, key and value of each input. Sessions stand in the order of their
            first input, and the inputs of each in the order in which their keys came
            first.
        """
        inputs, self._inputs = self._inputs, {}
        return [
            (session, key, value)
            for session, mine in inputs.items()
            for key, value in mine.items()
        ]

    def forget(self, session: str) -> None:
        """Drop what a session that has left or ended has sent."""
        self._inputs.pop(session, None)
