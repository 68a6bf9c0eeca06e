"""Logs: one line an event, fields that stay on their line, never a ticket.

Code logs an event's name and its fields; how they look is the handler's business.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Final

from wsprism_core.log_sampling import WARNINGS_PER_SECOND, SampledHandler

__all__ = (
    "EventLog",
    "JsonFormatter",
    "LineFormatter",
    "configure",
    "fields_of",
    "plain",
    "summed_up",
)

_ROOT: Final = "wsprism"
#: How much of an exception's text is logged.
MAX_ERROR_CHARS: Final = 300


class EventLog:
    """A logger of events, named after where they happen.

    Args:
        area: Such as `gateway` or `plugins`.
    """

    def __init__(self, area: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{area}")

    def debug(self, event: str, **fields: Any) -> None:
        """Log what only somebody who looks for it wants to know."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log what an operator wants to know."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what an operator should look at."""
        self._log(logging.WARNING, event, fields)

    def error(
        self, event: str, *, exc: BaseException | None = None, **fields: Any
    ) -> None:
        """Log what is broken; `exc` adds its traceback at level DEBUG only."""
        if exc is not None:
            fields["error"] = _described(exc)
        self._log(logging.ERROR, event, fields)
        if exc is not None and self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug("traceback", exc_info=exc, extra={"fields": {}})

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        logger = self._logger
        if logger.isEnabledFor(level):
            # As `Logger.log` does, but for the walk up the stack to the caller's line:
            # nothing shows it, and it takes as long as all the rest.
            record = logger.makeRecord(
                logger.name, level, "", 0, event, (), None, extra={"fields": fields}
            )
            logger.handle(record)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of an event; none of a record that is no event of ours."""
    found: dict[str, Any] = getattr(record, "fields", {})
    return found


def plain(value: Any) -> str:
    """Return a value without anything that could end or colour a line."""
    text = str(value)
    if text and text.isprintable() and " " not in text and '"' not in text:
        return text
    # Everything but ASCII is escaped, lone surrogates and odd line breaks too.
    return json.dumps(text)


class LineFormatter(logging.Formatter):
    """`12:00:01 INFO session_open user=user:ann`, whatever the fields hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        parts = [self.formatTime(record, "%H:%M:%S"), record.levelname]
        parts.append(plain(record.getMessage()))
        fields = fields_of(record).items()
        parts += [f"{plain(name)}={plain(value)}" for name, value in fields]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry = {
            "ts": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(
    level: str = "info",
    *,
    as_json: bool = False,
    warnings_per_second: int = WARNINGS_PER_SECOND,
) -> None:
    """Send the gateway's events to standard error.

    They are coloured where somebody looks at a terminal, has nothing against colours
    (`NO_COLOR`) and has rich installed; else they are plain lines.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        as_json: One JSON object a line instead of lines for people.
        warnings_per_second: Warnings of one kind that are logged one by one; what comes
            beyond it within a second is summed up in one line.
    """
    handler = SampledHandler(
        _handler(as_json=as_json), warnings_per_second, seconds=1.0
    )
    root = logging.getLogger(_ROOT)
    before, root.handlers[:] = root.handlers[:], [handler]
    for one in before:
        if isinstance(one, SampledHandler):
            one.close()
    root.setLevel(level.upper())
    root.propagate = False


def _described(exc: BaseException) -> str:
    """Return an exception's name and text, cut: it may hold what a client sent."""
    name = type(exc).__name__
    try:
        return f"{name}: {exc}"[:MAX_ERROR_CHARS]
    except Exception:
        # A plugin's exception whose own text cannot be had.
        return f"{name}: no text"


def summed_up() -> int:
    """Return how many warnings were summed up instead of logged one by one."""
    handlers = logging.getLogger(_ROOT).handlers
    return sum(one.summed_up for one in handlers if isinstance(one, SampledHandler))


def _handler(*, as_json: bool) -> logging.Handler:
    if not as_json and _is_for_colours():
        # Imported where there is a terminal: it takes 0.1 s.
        try:
            from wsprism_core.log_console import ConsoleHandler
        except ModuleNotFoundError:  # rich comes with wsprism-cli
            pass
        else:
            return ConsoleHandler()
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    return handler


def _is_for_colours() -> bool:
    """Whether somebody looks at standard error and does not mind colours.

    See https://no-color.org for the variable.
    """
    return (
        sys.stderr.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
