from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ssl import SSLCertVerificationError
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.command_line import environment, read_until, wsprism
from wsprism_cli.connect import full_url
from wsprism_cli.main import cli
from wsprism_core.client import HandshakeRefused


@pytest.mark.parametrize(
    ("url", "tcp", "full"),
    [
        ("ws://127.0.0.1:8080/v1/ws", False, "ws://127.0.0.1:8080/v1/ws"),
        ("wss://example.com", False, "wss://example.com"),
        ("tcp://[::1]:9001", False, "tcp://[::1]:9001"),
        ("tcp://[::1]:9001", True, "tcp://[::1]:9001"),
        ("127.0.0.1:8080", False, "ws://127.0.0.1:8080"),
        ("127.0.0.1:9001", True, "tcp://127.0.0.1:9001"),
    ],
)
def test_urls(url: str, tcp: bool, full: str) -> None:
    assert full_url(url, tcp=tcp) == full


@pytest.mark.parametrize(
    ("url", "tcp", "why"),
    [
        ("http://127.0.0.1", False, "must begin with ws://, wss:// or tcp://"),
        ("ws://127.0.0.1", True, "is no tcp:// address"),
        ("ws:///v1/ws", False, "has no host"),
        ("", False, "has no host"),
        ("tcp://", False, "has no host"),
    ],
)
def test_what_is_no_url(url: str, tcp: bool, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        full_url(url, tcp=tcp)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://127.0.0.1"], "Invalid value for 'URL': must begin with"),
        (["--tcp"], "Invalid value for 'URL': is no tcp:// address"),
        (["--codec", "xml"], "Invalid value for '--codec'"),
        (["--wait", "-1"], "Invalid value for '--wait'"),
        (["tcp://127.0.0.1"], "error: tcp://127.0.0.1: a tcp:// URL needs a host and"),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(cli, ["connect", *arguments])
    assert result.exit_code == 2
    assert text in result.stderr


def test_where_nothing_listens_it_says_what_to_do() -> None:
    # Port 1 is one of the system's that nobody uses.
    result = CliRunner().invoke(cli, ["connect", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stderr == (
        "error: nothing listens on ws://127.0.0.1:1;"
        " start a gateway with: wsprism run\n"
    )


class Lines:
    """Connections that are lost at once, and how many are open."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.open = 0
        self._outcomes = list(outcomes)

    @contextlib.asynccontextmanager
    async def connect(self, url: str, **options: Any) -> AsyncIterator[Any]:
        if (outcome := self._outcomes.pop(0)) is not None:
            raise outcome
        self.open += 1
        authed = {"user": "u", "tenant": "t", "services": {}}
        yield SimpleNamespace(authed=authed, closed=(1006, ""))
        self.open -= 1


def reconnecting(
    monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None
) -> tuple[Result, list[int]]:
    """Lose every connection; return what came of it, and how many were open when."""
    lines, were_open = Lines(*outcomes), list[int]()

    async def converse(client: Any, *_: Any, back: Any, **options: Any) -> int:
        while client is not None:
            were_open.append(lines.open)
            client = await back(client)
        return 1

    monkeypatch.setattr("wsprism_core.client.connect", lines.connect)
    monkeypatch.setattr("wsprism_cli.repl.converse", converse)
    monkeypatch.setattr("wsprism_cli.returning.FIRST_PAUSE", 0.0)
    return CliRunner().invoke(cli, ["connect", "--reconnect"]), were_open


def test_what_was_lost_is_closed_before_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, refused = [None] * 3, HandshakeRefused(401, "no")
    result, were_open = reconnecting(monkeypatch, *good, refused)
    assert (result.exit_code, were_open) == (1, [1, 1, 1])


def test_a_certificate_that_is_bad_later_ends_it_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = SSLCertVerificationError(1, "bad")
    bad.verify_message = "certificate has expired"
    result, _ = reconnecting(monkeypatch, None, ConnectionRefusedError(), bad)
    assert result.exit_code == 1
    assert "cannot be trusted: certificate has expired" in result.stderr


# ------------------------------------------------------------------- a real gateway


class Running:
    """A gateway in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        lines = read_until("warning: ", process.stdout)
        self.ws, self.tcp = (line.split()[1] for line in lines[:2])


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with wsprism(
        "run", "--port", "0", "--tcp-port", "0", stderr=subprocess.DEVNULL
    ) as process:
        yield Running(process)


def talk(url: str, text: str, *options: str, **environ: str) -> tuple[int, list[str]]:
    """Return the exit code and what was shown for lines from a pipe."""
    arguments = ("connect", url, "--wait", "0.3", *options)
    with wsprism(*arguments, env=environment(**environ)) as process:
        out, errors = process.communicate(text, timeout=30)
    assert "Traceback" not in errors
    return process.returncode, (out + errors).splitlines()


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("transport", ["ws", "tcp"])
def test_lines_from_a_pipe(gateway: Running, transport: str, codec: str) -> None:
    url = getattr(gateway, transport)
    room = f"{transport}-{codec}"
    text = f"/join {room}\nchat.send héllo\n/hot 1 2 hi {room} seq=5\nwhat\n/ping"
    code, shown = talk(url, text, "--ticket", "dev:ann", "--codec", codec)
    assert code == 0
    assert shown[0] == (
        f"connected to {url} as user:ann, tenant default;"
        " services: chat, game, market, party; /help says what to type"
    )
    assert f"< sys.joined room={room} " in shown[1]
    assert "? not understood; try chat.send hello, or /help" in shown
    messages = [line for line in shown if line.startswith("< chat.msg ")]
    assert len(messages) == 1
    assert re.match(rf"< chat\.msg room={room} seq=1 ts=\d+ ", messages[0])
    assert '"from":"user:ann","msg":"héllo"' in messages[0]
    assert f'< game.EVENT hot room={room} seq=5 from=1 2 bytes "hi"' in shown
    assert any(line.startswith("< sys.pong ") for line in shown)


def test_the_ticket_may_come_from_the_environment(gateway: Running) -> None:
    code, shown = talk(gateway.ws, "", WSPRISM_TICKET="dev:eve")
    assert code == 0
    assert "as user:eve, tenant default" in shown[0]


def test_a_ticket_in_the_url_counts_and_is_not_shown(gateway: Running) -> None:
    code, shown = talk(f"{gateway.ws}?ticket=dev:zoe", "")
    assert code == 0
    assert shown[0].startswith(f"connected to {gateway.ws} as user:zoe,")
    code, shown = talk(f"{gateway.ws}?ticket=secret", "")
    assert code == 1
    assert "secret" not in "".join(shown)


def test_quit_ends_it_at_once(gateway: Running) -> None:
    code, shown = talk(gateway.ws, "/quit\n/ping\n", "--wait", "3600")
    assert code == 0
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("transport", "options", "why"),
    [
        ("ws", ["--ticket", "bad"], "refused 401: the ticket is not good"),
        ("tcp", ["--ticket", "bad"], "closed 4503: the ticket is not good"),
        ("ws", ["--tenant", "nope"], "refused 400: unknown tenant"),
    ],
)
def test_a_refusal_exits_1_and_shows_no_ticket(
    gateway: Running, transport: str, options: list[str], why: str
) -> None:
    url = getattr(gateway, transport)
    code, shown = talk(url, "", *options)
    assert code == 1
    assert shown == [f"error: cannot connect to {url}: {why}"]


@contextlib.contextmanager
def at_a_terminal(*arguments: str) -> Iterator[Terminal]:
    ours, theirs = os.openpty()
    # No terminal is there to answer where its cursor is.
    environ = environment(TERM="xterm-256color", PROMPT_TOOLKIT_NO_CPR="1")
    options: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "env": environ}
    with wsprism(*arguments, **options) as process:
        os.close(theirs)
        yield Terminal(ours, process)
    os.close(ours)


class Terminal:
    """What somebody sees who types at a terminal."""

    def __init__(self, descriptor: int, process: subprocess.Popen[str]) -> None:
        self._descriptor = descriptor
        self.process = process
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def until_prompt(self) -> None:
        """Read until the first line may be typed."""
        self.until("/help says what to type")
        self.until(">")

    def until(self, text: str) -> str:
        """Read until something is shown; return what was shown up to it."""
        while text not in self.seen:
            ready, _, _ = select.select([self._descriptor], [], [], 30)
            assert ready, f"no {text!r} in {self.seen!r}"
            shown = os.read(self._descriptor, 65536).decode(errors="replace")
            self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
        before, _, self.seen = self.seen.partition(text)
        return before


pty_only = pytest.mark.skipif(
    sys.platform == "win32", reason="there are no such terminals"
)


@pty_only
def test_what_arrives_leaves_alone_what_is_being_typed(gateway: Running) -> None:
    with at_a_terminal("connect", gateway.ws, "--ticket", "dev:ann") as terminal:
        terminal.until_prompt()
        terminal.type("/join lobby\r")
        terminal.until("sys.joined")
        terminal.type("chat.send half")
        terminal.until("chat.send half")
        talk(gateway.ws, "/join lobby\nchat.send other\n", "--ticket", "dev:bob")
        terminal.until('"msg":"other"')
        terminal.until("> chat.send half")
        terminal.type(" and half\r")
        terminal.until('"msg":"half and half"')
        terminal.type("/quit\r")
        assert terminal.process.wait(30) == 0


@pty_only
@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_either_key_ends_it(gateway: Running, key: str) -> None:
    with at_a_terminal("connect", gateway.ws) as terminal:
        terminal.until_prompt()
        terminal.type(key)
        assert terminal.process.wait(30) == 0


@pty_only
def test_a_gateway_that_ends_it_leaves_the_terminal() -> None:
    with wsprism(
        "run", "--port", "0", "--tcp-port", "0", stderr=subprocess.DEVNULL
    ) as process:
        gateway = Running(process)
        with at_a_terminal("connect", gateway.ws) as terminal:
            terminal.until_prompt()
            process.send_signal(signal.SIGTERM)
            terminal.until("closed: 1001 going away: draining")
            assert terminal.process.wait(30) == 1
        assert process.wait(30) == 0


def test_ctrl_c_ends_a_pipe_that_never_does(gateway: Running) -> None:
    with wsprism("connect", gateway.ws) as process:
        read_until("connected to", process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""
