"""`wsprism reload`: a gateway reads its configuration file again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import click

from wsprism_cli.terminal import fail

__all__ = ("reload",)

_EPILOG: Final = """\
\b
Examples:
  wsprism run --config wsprism.yaml --pid-file /run/wsprism.pid
  wsprism reload --pid-file /run/wsprism.pid
"""
#: Where Linux says what a process does with its signals.
_PROC: Final = Path("/proc")


@click.command(short_help="Let a gateway read its configuration again.", epilog=_EPILOG)
@click.option("--pid", type=click.IntRange(min=2), metavar="PID", help="Its number.")
@click.option(
    "--pid-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file that holds its number, as wsprism run --pid-file writes it.",
)
def reload(pid: int | None, pid_file: Path | None) -> None:
    """Let a gateway on this machine read its configuration file again.

    It is sent SIGHUP. Sessions stay, limits hold for what comes next, and a file that
    is wrong changes nothing. What came of it stands in the gateway's log, as "reloaded"
    or "reload_refused", and in its metric wsprism_reloads_total: a signal brings back
    no answer. Try a file before with wsprism check.
    """
    if (pid is None) == (pid_file is None):
        fail("name one gateway, with --pid PID or --pid-file FILE", 2)
    if not hasattr(signal, "SIGHUP"):
        fail("this system has no SIGHUP: restart the gateway", 2)
    number = _number_in(pid_file) if pid_file is not None else pid
    assert number is not None
    if not _hears_hangups(number):
        fail(
            f"process {number} does not listen for SIGHUP, which would end it:"
            " a gateway does where it runs with --config",
            1,
        )
    try:
        os.kill(number, signal.SIGHUP)
    except ProcessLookupError:
        fail(f"there is no process {number}", 1)
    except PermissionError:
        fail(f"you may not signal process {number}", 1)
    click.echo(f"process {number} was asked to read its configuration; its log tells")


def _number_in(path: Path) -> int:
    """Return the number that a file holds, or end the command."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it holds no number"
        fail(f"cannot read {path}: {reason}", 1)
    # 1 is no gateway, and 0 and less are groups of processes.
    if not text.isdigit() or len(text) > 10 or int(text) < 2:
        fail(f"{path} holds no number of a process", 1)
    return int(text)


def _hears_hangups(number: int) -> bool:
    """Whether a process catches SIGHUP; where nobody can tell, it is taken to."""
    try:
        status = (_PROC / str(number) / "status").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return True
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (signal.SIGHUP - 1) & 1)
    return True
