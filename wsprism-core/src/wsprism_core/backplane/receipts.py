"""What publishers' own ids have come to in a room: by them a retry is known for one.

Each publisher has a window of its own, so that nobody's retry becomes a second message
for what others say meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict

from wsprism_core.history.port import DedupKey
from wsprism_core.realtime.channel import Receipt

__all__ = ("Receipts",)


class Receipts:
    """The receipts of one room, by publisher and the publisher's own id.

    Args:
        window: Ids remembered of each publisher; once there are more of all together,
            those of publishers that have gone quiet are forgotten.
        quiet_ms: For how long after its last one a publisher's ids are kept all the
            same, in milliseconds.
    """

    def __init__(self, window: int, quiet_ms: int) -> None:
        self._window = window
        self._quiet_ms = quiet_ms
        self._count = 0
        # The one who published longest ago first.
        self._publishers: OrderedDict[str, _Publisher] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def get(self, dedup: DedupKey) -> Receipt | None:
        """Return what an id has come to; None where it is not known."""
        publisher = self._publishers.get(dedup[0])
        return None if publisher is None else publisher.receipts.get(dedup[1])

    def add(self, dedup: DedupKey, receipt: Receipt, ts: int) -> None:
        """Remember what an id has come to.

        Args:
            dedup: The publisher, and its own id.
            receipt: What became of the publication.
            ts: The time in milliseconds since 1970.
        """
        if not self._window:
            return
        name, id = dedup
        publisher = self._publishers.get(name)
        if publisher is None:
            publisher = self._publishers[name] = _Publisher()
        self._publishers.move_to_end(name)
        publisher.newest = ts
        receipts = publisher.receipts
        if receipts.pop(id, None) is None:
            self._count += 1
        receipts[id] = receipt
        if len(receipts) > self._window:
            receipts.popitem(last=False)
            self._count -= 1
        while self._count > self._window:
            first = next(iter(self._publishers))
            if self._publishers[first].newest > ts - self._quiet_ms:
                break
            self._count -= len(self._publishers.pop(first).receipts)


class _Publisher:
    """One publisher's window."""

    __slots__ = ("newest", "receipts")

    def __init__(self) -> None:
        #: When it published last, in milliseconds since 1970.
        self.newest = 0
        #: By its own ids, the oldest first.
        self.receipts: OrderedDict[str, Receipt] = OrderedDict()
