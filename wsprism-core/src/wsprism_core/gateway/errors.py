"""What a client is told of an error, before and within a session."""

from __future__ import annotations

from typing import Any

from wsprism_core.protocol.errors import ProtocolError

__all__ = ("error_data",)


def error_data(error: ProtocolError) -> dict[str, Any]:
    """Return the `data` of the `sys.error` for an error."""
    data: dict[str, Any] = {"code": str(error.code), "msg": error.msg}
    if error.retry_after_ms is not None:
        data["retry_after_ms"] = error.retry_after_ms
    return data
