"""Reloading in a process that runs: read again, let it hold, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from wsprism_core.config import ConfigError
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.reload import Change, ReloadReport
from wsprism_core.logs import EventLog
from wsprism_core.options import RunOptions
from wsprism_core.settings.loading import configuration, idle_patterns

__all__ = ("Outcome", "Reloaded", "Reloading")

_log = EventLog("reloading")

#: Changes, or faults, that one line of the log holds; of further ones it says how many.
_LOGGED: Final = 50


class Outcome(StrEnum):
    """What came of reading the configuration again."""

    #: It holds now.
    APPLIED = "applied"
    #: It says what it said before.
    UNCHANGED = "unchanged"
    #: Some of it holds only after a restart; the rest holds now.
    NEEDS_RESTART = "needs_restart"
    #: It cannot be used; nothing has changed.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the configuration again, and why.

    Args:
        outcome: In a word.
        report: What changed, and what waits; empty where it was refused.
        problems: Why it was refused, one line for each fault.
    """

    outcome: Outcome
    report: ReloadReport = field(default_factory=ReloadReport)
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "outcome": self.outcome.value,
            "applied": _lines(self.report.applied),
            "needs_restart": _lines(self.report.needs_restart),
            "problems": list(self.problems),
        }


class Reloading:
    """Reads the configuration of a gateway again when somebody asks for it.

    Args:
        options: How the gateway was started: which file, and how strict.
        gateway: The gateway.
    """

    def __init__(self, options: RunOptions, gateway: Gateway) -> None:
        self._options = options
        self._gateway = gateway
        gateway.metrics.reloads.foresee(Outcome)
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[None]] = set()

    async def reload(self) -> Reloaded:
        """Read the file again and let it hold, as far as that is possible.

        It is one line of the log and one count of the metric, whatever comes of it. It
        never raises: what cannot be used changes nothing.
        """
        async with self._one_at_a_time:
            try:
                done = await self._reload()
            except ConfigError as error:
                done = Reloaded(Outcome.REFUSED, problems=tuple(error.problems))
            except Exception as error:
                # A defect of ours; the gateway goes on with what it has.
                text = f"failed: {type(error).__name__}"
                done = Reloaded(Outcome.REFUSED, problems=(text,))
                _log.error("reload_failed", exc=error)
        self._gateway.metrics.reloads[done.outcome] += 1
        self._note(done)
        return done

    def ask(self, done: Callable[[dict[str, Any]], None]) -> None:
        """Reload, and tell what came of it in a later turn."""

        async def reload() -> None:
            done((await self.reload()).as_dict())

        task = asyncio.ensure_future(reload())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def whenever(self, asked: asyncio.Event) -> None:
        """Reload each time that an event is set, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            await self.reload()

    async def _reload(self) -> Reloaded:
        options, gateway = self._options, self._gateway
        if options.config is None:
            raise _refused("the gateway runs without a configuration file")
        if options.record is not None:
            raise _refused(
                "a recording is of one configuration: restart without --record"
            )
        # In a thread: a long file takes its time, and nobody else is to wait.
        config = await asyncio.to_thread(configuration, options, gateway.plugins)
        report = gateway.reload(config)
        if report.needs_restart:
            return Reloaded(Outcome.NEEDS_RESTART, report)
        return Reloaded(
            Outcome.APPLIED if report.applied else Outcome.UNCHANGED, report
        )

    def _note(self, done: Reloaded) -> None:
        if done.outcome is Outcome.REFUSED:
            _log.error("reload_refused", problems=_bounded(done.problems))
            return
        idle = list(idle_patterns(self._gateway.config, self._gateway.plugins))
        fields = {
            "applied": _bounded(_lines(done.report.applied)),
            "needs_restart": _bounded(_lines(done.report.needs_restart)),
            "warnings": _bounded(idle),
        }
        log = _log.warning if done.outcome is Outcome.NEEDS_RESTART else _log.info
        log(
            "reloaded",
            outcome=done.outcome.value,
            **{name: lines for name, lines in fields.items() if lines},
        )


def _refused(text: str) -> ConfigError:
    return ConfigError("the configuration", [text])


def _lines(changes: Iterable[Change]) -> list[str]:
    return [str(change) for change in changes]


def _bounded(lines: Iterable[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    all_lines = list(lines)
    more = len(all_lines) - _LOGGED
    return all_lines[:_LOGGED] + ([f"and {more} more"] if more > 0 else [])
