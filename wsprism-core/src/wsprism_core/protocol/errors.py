"""Errors that a client is told about.

The tree::

    WsPrismError                 everything that wsPrism raises on purpose
    ├── ProtocolError            a message that is refused; becomes one sys.error
    │   └── Malformed            it could not be decoded; counts as a strike
    ├── FramingError             a TCP stream that cannot go on (protocol.framing)
    ├── ConfigError              a configuration that cannot be used (config)
    ├── PluginError              a plugin that cannot be had (plugins)
    ├── ManifestError            services that do not fit together (routing)
    ├── StateFull                a plugin keeps as much as it may (state.port)
    └── ServiceMissing           nobody offers the function called (api)

Closing a connection is no error but a `CloseCode`; see `wsprism_core.protocol.layout`.
"""

from __future__ import annotations

from wsprism_core.protocol.layout import ErrorCode

__all__ = ("Malformed", "ProtocolError", "WsPrismError")


class WsPrismError(Exception):
    """Root of everything that wsPrism raises on purpose."""


class ProtocolError(WsPrismError):
    """A message that is refused; its sender gets one `sys.error`.

    A service raises it to refuse a message: nothing that the message would have caused
    happens, and nobody but the sender notices.

    Args:
        code: What kind of refusal.
        msg: One line for people, without secrets and without other clients' data.
        retry_after_ms: When trying again may help, in milliseconds.

    Attributes:
        ref: The `seq` of the refused message where it had a legible one.
    """

    #: Whether it counts towards the close for strikes.
    strike = False

    def __init__(
        self,
        code: ErrorCode,
        msg: str,
        *,
        ref: int | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg
        self.ref = ref
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.msg}"


class Malformed(ProtocolError):
    """A message that could not be decoded: bad JSON, a wrong type, a short frame."""

    strike = True

    def __init__(self, msg: str, *, ref: int | None = None) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, msg, ref=ref)
