"""Async checks of messages: asked in order, each within a budget.

A filter that asks another server takes as long as that takes. Meanwhile whatever its
sender sends to the same service waits behind it, and nobody else does. Where it has not
answered in time, or failed, its plugin has said beforehand what that means: the message
is refused, or passes as if there were no filter.

Hot frames are never filtered: they would be late.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from wsprism_core.dispatch import Function, compile_each, implementations
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.gateway.hooks import check_failed, judge_message
from wsprism_core.gateway.tasks import being_cancelled
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginError, PluginSet
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.session import Session

__all__ = ("Filtered", "MessageFilters", "filters_of")

_HOOK: Final = "check_message"


@dataclass(slots=True)
class Filtered:
    """What the filters made of a message that they let pass.

    Args:
        rewritten: Whether the owner gets another room and data than were sent.
        room: The room.
        data: The data.
    """

    rewritten: bool = False
    room: str | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class _Filter:
    """One plugin's `check_message`.

    Args:
        plugin: Its name.
        function: What is called.
        is_async: Whether what it returns is to be awaited.
        fails_open: Whether a message passes that it has no answer to.
    """

    plugin: str
    function: Function
    is_async: bool
    fails_open: bool


def filters_of(
    plugins: PluginSet, budget: float, metrics: Metrics, failures: Failures
) -> MessageFilters | None:
    """Return the filters of all plugins, None where no `check_message` is async.

    Args:
        plugins: Whose.
        budget: Seconds that each has for a message.
        metrics: Where their answers are counted.
        failures: Where their failures are noted.

    Raises:
        PluginError: A hook wrapper would have to go around an async one.
    """
    hook = plugins.hook(_HOOK)
    are_async = {
        impl.plugin_name
        for impl in implementations(hook)
        if inspect.iscoroutinefunction(impl.function)
    }
    if not are_async:
        return None
    for impl in hook.get_hookimpls():
        if impl.wrapper or impl.hookwrapper:
            raise PluginError(
                f"plugin {impl.plugin_name!r}: its check_message is a wrapper, and no "
                f"wrapper goes around an async one ({', '.join(sorted(are_async))})"
            )
    open_ones = {info.name for info in plugins.loaded if info.fails_open}
    filters = [
        _Filter(plugin, function, plugin in are_async, plugin in open_ones)
        for plugin, function in compile_each(hook).items()
    ]
    return MessageFilters(filters, budget, metrics, failures)


class MessageFilters:
    """Every plugin's check, at least one of which is async; made by `filters_of`.

    Args:
        filters: The checks, in order.
        budget: Seconds that each has for a message.
        metrics: Where answers are counted.
        failures: Where failures are noted.
    """

    def __init__(
        self,
        filters: list[_Filter],
        budget: float,
        metrics: Metrics,
        failures: Failures,
    ) -> None:
        self._filters = filters
        self._budget = budget
        self._metrics = metrics
        self._failures = failures
        # Those that go on though they are cancelled; the event loop holds tasks weakly.
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def ask(self, session: Session, message: Envelope) -> Filtered:
        """Ask one filter after another, until one has rewritten the message.

        Raises:
            ProtocolError: The message is refused.
        """
        for one in self._filters:
            outcome = "failed"
            try:
                answer = await self._ask(one, session, message)
                outcome = "passed" if answer is None else "rewritten"
            except ProtocolError:
                outcome = "refused"
                raise
            except TimeoutError:
                outcome = "timed_out"
                if not one.fails_open:
                    raise ProtocolError(
                        ErrorCode.TIMEOUT, "a check of this message took too long"
                    ) from None
                continue
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                if being_cancelled():
                    # Its sender is gone, and nobody waits for the answer.
                    outcome = ""
                    raise
                self._failures.note(one.plugin, _HOOK, error)
                if not one.fails_open:
                    raise check_failed() from error
                continue
            finally:
                if outcome:
                    self._metrics.filters[one.plugin, outcome] += 1
            if answer is not None:
                return Filtered(True, answer.room, answer.data)
        return Filtered()

    async def _ask(
        self, one: _Filter, session: Session, message: Envelope
    ) -> Envelope | None:
        """Ask one filter.

        Raises:
            TimeoutError: It has not answered within its budget.
            BaseException: What it raised.
        """
        kind = message.svc, message.type
        answer = one.function(session, message)
        if one.is_async:
            answer = await self._within_budget(answer)
        return judge_message(kind, message, answer)

    async def _within_budget(self, answer: Awaitable[Any]) -> Any:
        task = asyncio.ensure_future(answer)
        try:
            await asyncio.wait({task}, timeout=self._budget)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                self._abandoned.add(task)
                task.add_done_callback(self._forget)
        raise TimeoutError

    def _forget(self, task: asyncio.Future[Any]) -> None:
        """Let go of one that answers too late, whatever it says."""
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()
