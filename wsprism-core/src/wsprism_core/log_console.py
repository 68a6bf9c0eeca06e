"""Coloured lines for people at a terminal; what they say is what plain lines say."""

from __future__ import annotations

import logging
import sys
from typing import Final

from rich.console import Console
from rich.text import Text

from wsprism_core.logs import LineFormatter, fields_of, plain

__all__ = ("ConsoleHandler",)

_LEVELS: Final = {
    logging.DEBUG: "dim",
    logging.INFO: "green",
    logging.WARNING: "yellow",
    logging.ERROR: "bold red",
}


class ConsoleHandler(logging.Handler):
    """Writes events to a terminal, each on one line, however wide that is.

    Args:
        console: Where to; None is standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        # Nothing in a text is taken for markup.
        self._console = console or Console(
            file=sys.stderr, markup=False, emoji=False, highlight=False
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event."""
        try:
            # It is the terminal that wraps what is too wide.
            self._console.print(self._styled(record), soft_wrap=True)
        except Exception:
            self.handleError(record)

    def _styled(self, record: logging.LogRecord) -> Text:
        formatter = self.formatter
        assert formatter is not None
        line = Text()
        line.append(formatter.formatTime(record, "%H:%M:%S"), "dim")
        line.append(f" {record.levelname}", _LEVELS.get(record.levelno, ""))
        line.append(f" {plain(record.getMessage())}", "bold")
        for name, value in fields_of(record).items():
            line.append(f" {plain(name)}=", "cyan").append(plain(value))
        if record.exc_info:
            line.append("\n" + formatter.formatException(record.exc_info), "dim")
        return line
