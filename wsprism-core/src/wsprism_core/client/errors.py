"""What a client can be told instead of an answer."""

from __future__ import annotations

from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.protocol.layout import CloseCode

__all__ = ("ClientError", "ConnectionClosed")


class ClientError(WsPrismError):
    """The gateway refused a message: `sys.error`.

    Attributes:
        code: One of `ErrorCode`, as text: a gateway may know more of them.
        msg: One line for people.
        retry_after_ms: When trying again may help, in milliseconds, or None.
    """

    def __init__(self, code: str, msg: str, retry_after_ms: int | None = None) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.msg}"


class ConnectionClosed(WsPrismError):
    """The connection is over, or never came to be.

    Attributes:
        code: The close code; 1006 where the connection dropped without one, 4503 and
            the like also for a handshake that was refused.
        reason: A few words for people.
        may_reconnect: Whether it makes sense to come back.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()

    @property
    def may_reconnect(self) -> bool:
        """Whether a client may reconnect: yes, too, after a drop without a close."""
        try:
            return CloseCode(self.code).reconnect
        except ValueError:
            return self.code == 1006
