"""Which rooms a file has: so many of each tenant, and none of which nothing is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from wsprism_core.history.port import StoreFull

__all__ = ("FileRooms", "RoomKey")

#: A tenant, and the name of one of its rooms.
RoomKey = tuple[str, str]


class FileRooms:
    """The rooms that a file has a row for.

    A room gets its row with its first message. Rooms are refused and not forgotten over
    the bound: else whoever can make rooms could make others' history go.

    Args:
        most: Rooms of one tenant; 0 is no bound.

    Attributes:
        by_tenant: How many there are.
    """

    def __init__(self, most: int) -> None:
        self.by_tenant: Counter[str] = Counter()
        self._most = most
        self._going: set[RoomKey] = set()

    def add(self, tenant: str) -> None:
        """Count one more.

        Raises:
            StoreFull: The tenant has as many as it may.
        """
        if self._most and self.by_tenant[tenant] >= self._most:
            raise StoreFull("no more rooms of the tenant are kept", passes=False)
        self.by_tenant[tenant] += 1

    def is_going(self, room: RoomKey) -> bool:
        """Whether the row of a room is about to be deleted."""
        return room in self._going

    def let_go(self, rooms: Iterable[RoomKey]) -> None:
        """Note rows that are about to be deleted."""
        self._going.update(rooms)

    def gone(self, rooms: Iterable[RoomKey], deleted: Iterable[RoomKey]) -> None:
        """Note which of them were."""
        self._going.difference_update(rooms)
        self.by_tenant.subtract(Counter(tenant for tenant, _ in deleted))
