"""What was published and what was heard, and whether the one is the other.

Jepsen's total queue is the idea: every publisher numbers its messages and notes what it
was told of each, every subscriber notes what came. When all is quiet again, each
acknowledged message must have come exactly once to every subscriber, in the room's
order; a hole is legal only where the subscriber was told of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ("Ledger", "Subscriber")


@dataclass
class Subscriber:
    """What one of them heard.

    Attributes:
        heard: Epoch, number and id of each message, in the order in which they came.
        holes: Epoch, first and last number of what it was told that it will not get.
    """

    name: str
    heard: list[tuple[str, int, str]] = field(default_factory=list)
    holes: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass
class Ledger:
    """Everything that happened in one room.

    Attributes:
        sent: The ids of all messages.
        acknowledged: Epoch and number that each was acknowledged with.
        refused: The ids of messages that were refused for good.
        refusals: How often a message was refused that was said again then, by code.
        subscribers: Who heard what.
        faults: What somebody saw that may not be.
    """

    sent: set[str] = field(default_factory=set)
    acknowledged: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    refusals: Counter[str] = field(default_factory=Counter)
    subscribers: list[Subscriber] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def acknowledge(self, id: str, epoch: str, seq: int) -> None:
        """Note an acknowledgement; a retry may have it again."""
        self.acknowledged.setdefault(id, set()).add((epoch, seq))

    def violations(self) -> list[str]:
        """Return what does not hold."""
        found = self.faults + [
            f"{id} was acknowledged as {sorted(numbers)}"
            for id, numbers in self.acknowledged.items()
            if len(numbers) != 1
        ]
        places: dict[tuple[str, int], str] = {}
        for subscriber in self.subscribers:
            found += self._check_order(subscriber)
            found += self._check_whole(subscriber)
            for epoch, seq, id in subscriber.heard:
                other = places.setdefault((epoch, seq), id)
                if other != id:
                    found.append(f"{epoch}/{seq} is {other} and {id}")
        return found

    def check_history(self, history: list[tuple[int, str]]) -> list[str]:
        """Return what the room's history has otherwise than those who listened.

        Args:
            history: Number and id of each message, oldest first.
        """
        found = []
        numbers = [seq for seq, _ in history]
        if numbers != list(range(1, len(history) + 1)):
            found.append(f"history has the numbers {numbers}")
        ids = Counter(id for _, id in history)
        found += [f"history has {id} {n} times" for id, n in ids.items() if n > 1]
        kept = {id: seq for seq, id in history}
        for id, places in self.acknowledged.items():
            found += [
                f"history has {id} at {kept.get(id)}, it was acknowledged as {seq}"
                for _, seq in places
                if kept.get(id) != seq
            ]
        return found

    def _check_order(self, subscriber: Subscriber) -> list[str]:
        """Each number follows the one before, but for holes that were told."""
        found = []
        last: dict[str, int] = {}
        for epoch, seq, id in subscriber.heard:
            before = last.get(epoch)
            last[epoch] = seq
            if before is None or seq == before + 1:
                continue
            if not self._is_told(subscriber, epoch, before + 1, seq - 1):
                found.append(
                    f"{subscriber.name}: {epoch}/{seq} ({id}) came behind {before}"
                )
        return found

    def _check_whole(self, subscriber: Subscriber) -> list[str]:
        """Each acknowledged message came once, and nothing that was never sent."""
        name = subscriber.name
        times: dict[str, int] = {}
        for _, _, id in subscriber.heard:
            times[id] = times.get(id, 0) + 1
        found = [f"{name}: {id} came {n} times" for id, n in times.items() if n > 1]
        found += [f"{name}: {id} was never sent" for id in times.keys() - self.sent]
        found += [f"{name}: {id} was refused" for id in times.keys() & self.refused]
        for id, numbers in self.acknowledged.items():
            for epoch, seq in numbers:
                if id not in times and not self._is_told(subscriber, epoch, seq, seq):
                    found.append(f"{name}: {id} ({epoch}/{seq}) never came")
        return found

    @staticmethod
    def _is_told(subscriber: Subscriber, epoch: str, first: int, last: int) -> bool:
        return any(
            epoch == told and begin <= first and last <= end
            for told, begin, end in subscriber.holes
        )
