"""What tests of the command line share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Final

from wsprism_core import Inbound, Service, hookimpl

if TYPE_CHECKING:
    import pytest

#: Runs the program of this environment; its arguments follow.
WSPRISM: Final = (
    sys.executable,
    "-c",
    "import sys; from wsprism_core.launcher import main; sys.exit(main())",
)


class Echo:
    """A plugin with a service that answers nothing."""

    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(name="echo", svc_id=200, inbound=(Inbound(name="say"),))

    @hookimpl
    def on_message(self) -> None:
        return None


def install_only(monkeypatch: pytest.MonkeyPatch, **plugins: object) -> None:
    """Make plugins the only ones that are installed."""
    module = ModuleType("installed_plugins")
    vars(module).update(plugins)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    offers = [
        EntryPoint(name, f"{module.__name__}:{name}", "wsprism") for name in plugins
    ]
    monkeypatch.setattr("wsprism_core.plugins.entry_points", lambda group: offers)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without what is wsPrism's, and with some variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WSPRISM_")}
    return {**kept, **variables}


@contextmanager
def wsprism(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the program in a process of its own; it is killed if it is still there."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(
        [*WSPRISM, *arguments], text=True, **{**pipes, **options}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(text: str, stream: IO[str] | None) -> list[str]:
    """Return the lines up to the first that begins with `text`, with it."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line.rstrip("\n"))
        if line.startswith(text):
            return lines
    raise AssertionError(f"no line begins with {text!r}: {lines}")
