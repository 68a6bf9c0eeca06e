"""Requests of the bulk lane: one in a turn, whoever asks.

A page of history takes as long as ten live messages. So what is live waits for one page
at most, however many clients ask for one at the same time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.clock import Clock

if TYPE_CHECKING:
    from wsprism_core.gateway.connection import Connection

__all__ = ("MAX_BYTES", "BulkQueue")

#: How much of one session's requests may wait, in bytes; one may always.
MAX_BYTES: Final = 1024 * 1024


class BulkQueue:
    """The requests of all sessions, in the order of asking.

    Args:
        clock: Tells when a turn ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[_Request] = deque()
        self._is_due = False
        # How many requests of each, and their bytes.
        self._held: dict[Connection, tuple[int, int]] = {}

    def put(
        self,
        connection: Connection,
        size: int,
        handle: Callable[[], None],
        refuse: Callable[[ProtocolError], None],
    ) -> None:
        """Have a request handled in a turn of its own, if its session lasts so long.

        Args:
            connection: Whose it is.
            size: The length of the message in bytes.
            handle: Handles it.
            refuse: Told what that raises.

        Raises:
            ProtocolError: As much of the session waits as may.
        """
        count, held = self._held.get(connection, (0, 0))
        if count >= connection.max_waiting or (count and held + size > MAX_BYTES):
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED, "too many requests for bulk wait"
            )
        self._held[connection] = count + 1, held + size
        self._waiting.append(_Request(connection, size, handle, refuse))
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._clock.at_end_of_turn(self._turn)

    def _turn(self) -> None:
        """Handle one request of a session that is still there."""
        self._is_due = False
        while self._waiting:
            request = self._waiting.popleft()
            self._let_go(request)
            if request.connection.session is None:
                continue
            if self._waiting:
                self._schedule()
            try:
                request.handle()
            except ProtocolError as error:
                request.refuse(error)
            return

    def _let_go(self, request: _Request) -> None:
        count, held = self._held[request.connection]
        if count == 1:
            del self._held[request.connection]
        else:
            self._held[request.connection] = count - 1, held - request.size


class _Request:
    """One that waits; attributes as `BulkQueue.put` says."""

    __slots__ = ("connection", "handle", "refuse", "size")

    def __init__(
        self,
        connection: Connection,
        size: int,
        handle: Callable[[], None],
        refuse: Callable[[ProtocolError], None],
    ) -> None:
        self.connection = connection
        self.size = size
        self.handle = handle
        self.refuse = refuse
