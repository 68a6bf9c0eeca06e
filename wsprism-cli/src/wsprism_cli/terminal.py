"""What commands write with: foreign text stays text, errors are plain lines."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ("console", "fail", "is_interactive", "is_rich", "printable", "warn")


def console() -> Console:
    """Return standard output for styled text; nothing in a text is taken for markup."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def is_interactive() -> bool:
    """Whether somebody types and looks, at a terminal that can move its cursor."""
    return (
        sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    )


def is_rich() -> bool:
    """Whether somebody looks at standard output and does not mind colours.

    See https://no-color.org for the variable.
    """
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def printable(text: str) -> str:
    r"""Return text that can't command the terminal: `\x1b` for what is not printed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def warn(text: str) -> None:
    """Write a warning to standard error, on one line."""
    click.echo(f"warning: {printable(text)}", err=True)


def fail(text: str, code: int) -> NoReturn:
    """Write an error to standard error and end the command with an exit code."""
    lines = [printable(line) for line in text.split("\n")]
    click.echo("error: " + "\n".join(lines), err=True)
    raise click.exceptions.Exit(code)
