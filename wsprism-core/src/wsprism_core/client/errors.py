"""What goes wrong for a client.

The tree::

    WsPrismError
    ├── ClientError         one message was refused; the connection goes on
    ├── ConnectionClosed    the connection is over; says whether to come back
    ├── HandshakeRefused    there never was a connection, for a reason
    └── BufferFull          the program does not take what arrives

Beside these there is `OSError` where nothing could be reached, and `TimeoutError`.
"""

from __future__ import annotations

from typing import Final

from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.protocol.layout import CloseCode

__all__ = ("BufferFull", "ClientError", "ConnectionClosed", "HandshakeRefused")

#: Close codes in this range that this version does not know mean: do not come back.
_FINAL_CODES: Final = range(4500, 5000)
#: Answers to a handshake that may be another one later.
_PASSING_STATUS: Final = (408, 429, 500, 502, 503, 504)


class ClientError(WsPrismError):
    """A message was refused: the `sys.error` that came instead of an answer.

    Args:
        code: One of `ErrorCode`, or one that a newer gateway knows.
        msg: One line for people.
        retry_after_ms: When trying again may help, in milliseconds.
    """

    def __init__(self, code: str, msg: str, retry_after_ms: int | None = None) -> None:
        super().__init__(code, msg, retry_after_ms)
        self.code = code
        self.msg = msg
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.msg}"


class ConnectionClosed(WsPrismError):
    """The connection is over.

    Args:
        code: The close code; 1006 where the connection was lost without a close.
        reason: A few words for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"closed {self.code}{': ' if self.reason else ''}{self.reason}"

    @property
    def reconnect(self) -> bool:
        """Whether connecting again makes sense."""
        try:
            return CloseCode(self.code).reconnect
        except ValueError:
            return self.code not in _FINAL_CODES


class HandshakeRefused(WsPrismError):
    """The gateway refused the WebSocket handshake.

    Args:
        status: The HTTP status; 0 where the answer was no WebSocket handshake at all.
        reason: A few words for people.
        retry_after: Seconds to wait, where the gateway said so.
    """

    def __init__(
        self, status: int, reason: str, retry_after: float | None = None
    ) -> None:
        super().__init__(status, reason, retry_after)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"refused{f' {self.status}' if self.status else ''}: {self.reason}"

    @property
    def reconnect(self) -> bool:
        """Whether connecting again makes sense."""
        return self.status in _PASSING_STATUS


class BufferFull(WsPrismError):
    """So much waits to be taken that what is asked for can never arrive.

    Args:
        limit: How many events may wait.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.limit} events wait and none is what is asked for;"
            " take the others too, with events()"
        )
