"""Hangups, pid files and checking, as `wsprism run` and `wsprism check` have them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.command_line import (
    Echo,
    environment,
    install_only,
    read_until,
    wsprism,
)
from support.waiting import until
from wsprism_core import hookimpl
from wsprism_core.config import ConfigError
from wsprism_core.gateway import Gateway
from wsprism_core.options import RunOptions
from wsprism_core.runner import RunError, check, prepare, serve

# As in test_runner: the event loop swallows what the other method raises.
pytestmark = [
    pytest.mark.timeout(60, method="thread"),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP"),
]


@pytest.fixture(autouse=True)
def _only_echo_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install_only(monkeypatch, echo=Echo)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(**keys: object) -> Path:
        path = tmp_path / "wsprism.yaml"
        lines = ["version: 1", "tenants: [{id: acme}]", "gateway:"]
        lines += [f"  {key}: {value}" for key, value in keys.items()]
        path.write_text("\n".join(lines) + "\n  listen: 127.0.0.1:0\n")
        return path

    return write


def serve_and(prepared: Any, work: Callable[[Gateway], Any]) -> int:
    """Serve; when it has started, do some work, then end."""
    tasks: list[asyncio.Task[None]] = []

    async def do(gateway: Gateway) -> None:
        try:
            await work(gateway)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def started(gateway: Gateway) -> None:
        tasks.append(asyncio.ensure_future(do(gateway)))

    code = serve(prepared, started=started)
    tasks[0].result()
    return code


def test_a_hangup_lets_it_read_its_file_again(write: Callable[..., Path]) -> None:
    prepared = prepare(RunOptions(config=write()))

    async def hang_up(gateway: Gateway) -> None:
        write(max_strikes=3)
        os.kill(os.getpid(), signal.SIGHUP)
        assert await until(lambda: gateway.config.gateway.max_strikes == 3)
        write(max_strikes="many")
        os.kill(os.getpid(), signal.SIGHUP)
        assert await until(lambda: gateway.metrics.reloads["refused"] == 1)
        assert gateway.config.gateway.max_strikes == 3

    before = signal.getsignal(signal.SIGHUP)
    assert serve_and(prepared, hang_up) == 0
    assert signal.getsignal(signal.SIGHUP) == before


def test_without_a_file_a_hangup_ends_it_as_it_ends_any_program() -> None:
    with wsprism("run", "--port", "0", "--plugins", "", env=environment()) as gateway:
        read_until("listening", gateway.stdout)
        gateway.send_signal(signal.SIGHUP)
        assert gateway.wait(30) == -signal.SIGHUP


def test_its_number_is_in_a_file_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "wsprism.pid"

    async def look(gateway: Gateway) -> None:
        assert path.read_text() == f"{os.getpid()}\n"

    assert serve_and(prepare(RunOptions(port=0, pid_file=path)), look) == 0
    assert not path.exists()


def test_a_pid_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "wsprism.pid"
    with pytest.raises(RunError, match=r"cannot write .*: No such file") as caught:
        serve(prepare(RunOptions(port=0, pid_file=path)))
    assert caught.value.exit_code == 2


# ----------------------------------------------------------------------- checking


def test_what_can_run_passes_and_nothing_is_started(write: Callable[..., Path]) -> None:
    started = []

    class Starts(Echo):
        @hookimpl
        def on_start(self) -> None:
            started.append(True)

    with pytest.MonkeyPatch.context() as patch:
        install_only(patch, echo=Starts)
        check(prepare(RunOptions(config=write())))
    assert started == []


def test_what_shows_only_when_it_is_put_together(write: Callable[..., Path]) -> None:
    prepared = prepare(RunOptions(config=write(lanes="{nope: {max_bytes: 1}}")))
    with pytest.raises(RunError, match="no lane is named 'nope'") as caught:
        check(prepared)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value.__cause__, ConfigError)


def test_told_to_be_strict_it_refuses_what_it_else_warns_of(
    tmp_path: Path,
) -> None:
    path = tmp_path / "wsprism.yaml"
    path.write_text(
        "version: 1\ntenants: [{id: acme, policy: {hot_allowlist: ['7:*']}}]\n"
    )
    (told, *_) = prepare(RunOptions(config=path)).warnings
    with pytest.raises(RunError) as caught:
        prepare(RunOptions(config=path, strict=True))
    assert caught.value.exit_code == 2
    assert told in str(caught.value)
