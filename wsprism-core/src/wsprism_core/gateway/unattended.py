"""Publishing to rooms that nobody here is in: whoever comes back finds it there."""

from __future__ import annotations

from collections.abc import Callable

from wsprism_core.backplane.port import Backplane
from wsprism_core.gateway.catalog import Catalog
from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.envelope import outbound
from wsprism_core.realtime.channel import (
    LARGEST_RECEIPT,
    Publication,
    Receipt,
    TextPublication,
)
from wsprism_core.realtime.delivery import DeliveryEngine, MessageTooLarge

__all__ = ("UnattendedRooms",)


class UnattendedRooms:
    """Takes hold of a room for as long as one publication takes.

    Args:
        backplane: What keeps it, and carries it to members elsewhere.
        catalog: How each type travels.
        delivery: What a lane takes.
    """

    def __init__(
        self, backplane: Backplane, catalog: Catalog, delivery: DeliveryEngine
    ) -> None:
        self._backplane = backplane
        self._catalog = catalog
        self._delivery = delivery

    def publish(
        self,
        tenant: str,
        room: str,
        publication: TextPublication,
        done: Callable[[Receipt], None],
    ) -> None:
        """Publish a message.

        Args:
            tenant: The tenant's id.
            room: The room's name.
            publication: What is sent.
            done: Called once it has its place in the room.

        Raises:
            ValueError: It cannot be encoded, or is larger than its lane takes; nobody
                gets it.
        """
        self._check(room, publication)
        channel = self._backplane.open(tenant, room, _Nobody())

        def finished(receipt: Receipt) -> None:
            channel.close()
            done(receipt)

        try:
            channel.publish(publication, finished)
        except BaseException:
            channel.close()
            raise

    def _check(self, room: str, publication: TextPublication) -> None:
        """See that members could be sent it, as they are not here to try it on.

        Raises:
            ValueError: They could not.
        """
        svc, type = publication.svc, publication.type
        lane = self._delivery.lanes[self._catalog.type(svc, type).lane]
        envelope = outbound(
            svc,
            type,
            room=room,
            seq=LARGEST_RECEIPT.seq,
            ts=LARGEST_RECEIPT.ts,
            data=publication.data,
        )
        for codec in CODECS.values():
            size = len(codec.encode(envelope))
            if size > lane.max_message_bytes:
                raise MessageTooLarge(lane.name, size, lane.max_message_bytes)


class _Nobody:
    """The end of a channel behind which there is nobody."""

    __slots__ = ()

    def check(self, publication: Publication) -> None:
        """Nobody cannot be sent anything."""

    def published(self, publication: Publication, receipt: Receipt) -> None:
        """Send it to nobody."""

    def entered(self, n: int, user: str) -> None:
        """Tell nobody."""

    def exited(self, n: int) -> None:
        """Tell nobody."""
