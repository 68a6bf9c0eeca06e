"""Requests of the bulk lane: one in a turn, whoever asks.

A page of history takes as long as ten live messages. So what is live waits for one page
at most, however many clients ask for one at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.clock import Clock

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("MAX_BYTES", "BulkQueue")

#: How much of one session's requests may wait, in bytes; one may always.
MAX_BYTES: Final = 1024 * 1024


class BulkQueue:
    """The requests of all connections, which take turns.

    Args:
        clock: Tells when a turn ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_due = False
        # Whose turn comes first stands first.
        self._asking: dict[Connection, _Asking] = {}

    def put(
        self,
        connection: Connection,
        size: int,
        handle: Callable[[], None],
        *,
        refuse: Callable[[ProtocolError], None],
        drop: Callable[[], None],
    ) -> None:
        """Have a request handled in a turn of its own, if its session lasts so long.

        Args:
            connection: Whose it is.
            size: The length of the message in bytes.
            handle: Handles it.
            refuse: Told what that raises.
            drop: Called in its place once the session has gone.

        Raises:
            ProtocolError: As much of the session waits as may.
        """
        asking = self._asking.get(connection)
        if asking is None:
            asking = self._asking[connection] = _Asking()
        waiting = asking.waiting
        if waiting and (
            len(waiting) >= connection.max_waiting or asking.bytes + size > MAX_BYTES
        ):
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED, "too many requests for bulk wait"
            )
        waiting.append(_Request(size, handle, refuse, drop))
        asking.bytes += size
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._clock.at_end_of_turn(self._turn)

    def _turn(self) -> None:
        """Handle one request of a session that is still there."""
        self._is_due = False
        while self._asking:
            connection = next(iter(self._asking))
            asking = self._asking.pop(connection)
            if connection.session is None:
                for one in asking.waiting:
                    one.drop()
                continue
            request = asking.waiting.popleft()
            asking.bytes -= request.size
            if asking.waiting:
                self._asking[connection] = asking
            if self._asking:
                self._schedule()
            try:
                request.handle()
            except ProtocolError as error:
                request.refuse(error)
            return


class _Asking:
    """What one connection has asked for, and how many bytes that is."""

    __slots__ = ("bytes", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Request] = deque()
        self.bytes = 0


class _Request(NamedTuple):
    """One that waits; attributes as `BulkQueue.put` says."""

    size: int
    handle: Callable[[], None]
    refuse: Callable[[ProtocolError], None]
    drop: Callable[[], None]
