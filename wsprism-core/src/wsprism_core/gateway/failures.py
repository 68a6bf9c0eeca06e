"""What happens to exceptions that are not ours: counted, logged, and no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics

__all__ = ("STOPS_THE_PROCESS", "Failures")

P = ParamSpec("P")
T = TypeVar("T")

#: What is let through everywhere; anything else fails one call of one plugin.
STOPS_THE_PROCESS = (KeyboardInterrupt, SystemExit)


class Failures:
    """Notes the failures of plugins.

    Args:
        metrics: Where they are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = EventLog("plugins")

    def note(
        self, plugin: str, hook: str, error: BaseException, *, secret: bool = False
    ) -> None:
        """Count and log that a plugin's function raised.

        Args:
            plugin: Whose function.
            hook: Which of them.
            error: What it raised.
            secret: Whether its text may hold a ticket; then only its type is logged.
        """
        self._metrics.plugin_failures[plugin, hook] += 1
        if secret:
            kind = type(error).__name__
            self._log.error("plugin_failed", plugin=plugin, hook=hook, error=kind)
        else:
            self._log.error("plugin_failed", plugin=plugin, hook=hook, exc=error)
        # A frame that keeps it is held by it: without the collector neither would go.
        # By its method, for an exception that is a frozen dataclass refuses the rest.
        error.with_traceback(None)

    def guard(
        self, plugin: str, hook: str, function: Callable[P, T]
    ) -> Callable[P, T | None]:
        """Return a function that is None where `function` raises, and notes it."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                self.note(plugin, hook, error)
                return None

        return guarded
