"""The refusals that several rules share."""

from __future__ import annotations

from math import ceil

from wsprism_core import ErrorCode, ProtocolError

__all__ = (
    "bad_request",
    "conflict",
    "exhausted",
    "not_allowed",
    "not_found",
    "too_often",
)


def bad_request(msg: str) -> ProtocolError:
    """Return what refuses something that means nothing."""
    return ProtocolError(ErrorCode.BAD_REQUEST, msg)


def conflict(msg: str) -> ProtocolError:
    """Return what refuses something that somebody else was first with."""
    return ProtocolError(ErrorCode.CONFLICT, msg)


def exhausted(msg: str) -> ProtocolError:
    """Return what refuses something over a bound."""
    return ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, msg)


def not_allowed(msg: str) -> ProtocolError:
    """Return what refuses something that the sender has no right to."""
    return ProtocolError(ErrorCode.NOT_ALLOWED, msg)


def not_found(msg: str) -> ProtocolError:
    """Return what refuses something about what is not there."""
    return ProtocolError(ErrorCode.NOT_FOUND, msg)


def too_often(msg: str, wait: float) -> ProtocolError:
    """Return what refuses something that was done a moment ago.

    Args:
        msg: What the sender is told.
        wait: In how many seconds he may try again.
    """
    return ProtocolError(ErrorCode.RATE_LIMITED, msg, retry_after_ms=ceil(wait * 1000))
