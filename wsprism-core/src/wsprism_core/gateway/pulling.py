"""What services let sessions pull: their sources, asked in the core's terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wsprism_core.actions import Push, PushFrame, Source
from wsprism_core.gateway.failures import STOPS_THE_PROCESS
from wsprism_core.realtime.wire import Encoded, Outgoing, Wire

__all__ = ("ServiceSource",)


class ServiceSource:
    """A service's source, as an outbox asks it.

    What it raises, or returns that cannot be sent, is counted under the service's
    plugin, and it is not asked again until the next marker.

    Args:
        svc: The service.
        source: Its own.
        make: Returns the message that a push is, or raises `ValueError`.
        failed: Told what was raised.
    """

    __slots__ = ("_failed", "_make", "_source", "_svc")

    def __init__(
        self,
        svc: str,
        source: Source,
        make: Callable[[Push | PushFrame], Outgoing],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._svc = svc
        self._source = source
        self._make = make
        self._failed = failed

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ServiceSource)
            and self._svc == other._svc
            and self._source == other._source
        )

    def __hash__(self) -> int:
        return hash((self._svc, self._source))

    def pull(self, reader: Any, budget: int) -> tuple[Sequence[Outgoing], bool]:
        """Return what a session gets now, and whether there is more."""
        try:
            pushes, more = self._source.pull(reader, budget)
            return [_encoded(self._make(push), reader.wire) for push in pushes], more
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            self._failed(self._svc, error)
            return (), False


def _encoded(message: Outgoing, wire: Wire) -> Outgoing:
    """Encode here, where a failure is still its service's own.

    Raises:
        ValueError: Its data cannot be encoded.
    """
    return Encoded(message.form(wire))
