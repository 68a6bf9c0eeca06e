"""What a plugin returned or raised, as plain values that a recording can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, Final, cast

import msgpack  # type: ignore[import-untyped]

from wsprism_core.actions import ACTION_TYPES, Action, Actions, Pull, Source
from wsprism_core.gateway.failures import STOPS_THE_PROCESS
from wsprism_core.gateway.filters import Filtered
from wsprism_core.protocol.errors import Malformed, ProtocolError
from wsprism_core.protocol.layout import ErrorCode

__all__ = ("Listed", "listed", "outcome_of", "pack_outcome", "with_sources")

#: What a plugin's function may come to; of a filter it is its verdict.
_ACTIONS: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in (*ACTION_TYPES, Filtered)
}
#: Stands for what no codec can carry, and is refused again in the replay.
_UNKNOWN: Final = msgpack.ExtType(1, b"")


class Listed:
    """Actions that were iterated once and may be iterated again, failure and all.

    Args:
        actions: What came.
        failure: What was raised behind them.
    """

    def __init__(self, actions: list[Any], failure: BaseException | None) -> None:
        self.actions = actions
        self.failure = failure

    def __iter__(self) -> Iterator[Action]:
        yield from self.actions
        if self.failure is not None:
            raise self.failure


def listed(actions: Actions) -> Actions:
    """Return actions that can be iterated more than once."""
    if actions is None or type(actions).__name__ in _ACTIONS:
        return actions
    found: list[Any] = []
    try:
        found.extend(cast("Iterable[Action]", actions))
    except STOPS_THE_PROCESS:
        raise
    except BaseException as error:
        return Listed(found, error)
    return found


def with_sources(actions: Actions, wrap: Callable[[Source], Source]) -> Actions:
    """Return actions as `listed` returns them, with other sources in their pulls."""
    several = actions.actions if isinstance(actions, Listed) else actions
    for action in several if isinstance(several, list) else (several,):
        if type(action) is Pull:
            action.source = wrap(action.source)
    return actions


def pack_outcome(actions: Actions, failure: BaseException | None = None) -> bytes:
    """Return what came of a plugin's function.

    Args:
        actions: As `listed` returns them; the sources of pulls have an attribute
            `number`.
        failure: What it raised instead.
    """
    behind = None
    if isinstance(actions, Listed):
        several, behind = actions.actions, actions.failure
    elif isinstance(actions, list):
        several = actions
    else:
        several = [] if actions is None else [actions]
    packed = [_pack_action(action) for action in several]
    return _pack([packed, _describe(behind), _describe(failure)])


def outcome_of(
    packed: bytes, source: Callable[[int], Source]
) -> tuple[Actions, BaseException | None]:
    """Return the actions and the failure of an outcome.

    Args:
        packed: The outcome.
        source: Returns what stands for a source, by its number.

    Raises:
        ValueError: It is none.
    """
    several, behind, failure = _unpack(packed)
    actions = [_action_of(one, source) for one in several]
    if behind is not None:
        return Listed(actions, _error_of(behind)), None
    return actions, _error_of(failure)


def _pack_action(action: Any) -> bytes:
    name = type(action).__name__
    if _ACTIONS.get(name) is not type(action):
        return _pack(["?"])
    values = [getattr(action, one.name) for one in fields(action)]
    if type(action) is Pull:
        values[1] = getattr(action.source, "number", None)
    try:
        return _pack([name, *values])
    except (ValueError, TypeError, OverflowError, RecursionError):
        # The core refuses it too.
        return _pack(["?"])


def _action_of(packed: bytes, source: Callable[[int], Source]) -> Any:
    name, *values = _unpack(packed)
    kind = _ACTIONS.get(name)
    if kind is None:
        return _Unknown()
    names = [one.name for one in fields(kind)]
    given = dict(zip(names, values, strict=True))
    if isinstance(given.get("key"), list):
        given["key"] = tuple(given["key"])
    if kind is Pull:
        given["source"] = source(given["source"])
    return kind(**given)


class _Unknown:
    """Something that is no action."""


def _describe(error: BaseException | None) -> list[Any] | None:
    """Return what a client may be told of an error, and nothing else of it."""
    if error is None:
        return None
    if isinstance(error, ProtocolError):
        return [str(error.code), error.msg, error.retry_after_ms, error.strike]
    return [type(error).__name__]


def _error_of(described: list[Any] | None) -> BaseException | None:
    """Return an error that the core treats as it did the one described."""
    if described is None:
        return None
    if len(described) == 1:
        return RuntimeError(f"{described[0]}, as recorded")
    code, msg, retry_after_ms, strike = described
    if strike:
        return Malformed(msg)
    return ProtocolError(ErrorCode(code), msg, retry_after_ms=retry_after_ms)


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(
        value, default=lambda _: _UNKNOWN, unicode_errors="surrogatepass"
    )
    return packed


def _unpack(packed: bytes) -> Any:
    return msgpack.unpackb(packed, unicode_errors="surrogatepass", strict_map_key=False)
