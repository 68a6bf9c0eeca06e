"""What a client is told of an error, before and within a session."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from wsprism_core.protocol.errors import ProtocolError

__all__ = ("error_data",)

#: How much of an error's text a client is told.
MAX_MSG_CHARS: Final = 500


def error_data(error: ProtocolError) -> dict[str, Any]:
    """Return the `data` of the `sys.error` for an error."""
    # A plugin may have put anything there, and an error must always get through.
    msg = str(error.msg)[:MAX_MSG_CHARS].encode("utf-8", "replace").decode()
    data: dict[str, Any] = {"code": str(error.code), "msg": msg}
    wait = error.retry_after_ms
    if isinstance(wait, int | float) and isfinite(wait):
        data["retry_after_ms"] = round(wait)
    return data
