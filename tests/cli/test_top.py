from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from support.command_line import environment, read_until, wsprism
from support.peers import client_frame, handshake
from wsprism_cli.main import cli
from wsprism_core.realtime.lanes import DEFAULT_LANES

FLOOD = 400


def test_where_nothing_listens_it_says_what_to_do() -> None:
    result = CliRunner().invoke(cli, ["top", "--url", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: nothing listens on http://127.0.0.1:1;")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--url", "ws://127.0.0.1"], "is no address of an admin listener"),
        (["--interval", "0"], "Invalid value for '--interval'"),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(cli, ["top", *arguments])
    assert result.exit_code == 2
    assert text in result.stderr


# ------------------------------------------------------------------- a real gateway


class Running:
    """A gateway in a process of its own, in which a slow reader is flooded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        lines = read_until("warning: ", process.stdout)
        found = {line.split()[0]: line.split()[1] for line in lines[:2]}
        self.admin = found["admin"]
        self.port = int(found["listening"].split(":")[2].partition("/")[0])
        self.slow = self.connect("slow", receive_buffer=4_096)
        self.fast = self.connect("ann")
        chat = {"svc": "chat", "type": "send", "room": "lobby"}
        self.say(self.fast, {**chat, "data": {"msg": "x" * 2_000}}, times=FLOOD)
        self.heard(self.fast, b'"seq":%d,' % FLOOD)

    def connect(self, user: str, receive_buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        client.sendall(handshake(f"/v1/ws?ticket=dev:{user}"))
        self.say(client, {"svc": "room", "type": "join", "room": "lobby"})
        self.heard(client, b'"joined"')
        return client

    def say(self, client: socket.socket, message: Any, *, times: int = 1) -> None:
        client.sendall(client_frame(1, json.dumps(message).encode()) * times)

    def heard(self, client: socket.socket, what: bytes) -> None:
        heard = b""
        while what not in heard:
            got = client.recv(65_536)
            assert got, "the gateway ended it"
            heard = heard[-100:] + got


#: A gateway as it is without a file, but that who reads nothing is not cut.
PATIENT = """
version: 1
gateway: {writer_send_timeout_ms: 0, min_write_bytes_per_s: 0}
tenants:
  - id: default
    limits: {max_frame_bytes: 65536}
    policy: {rate_limit_rps: 0, ext_allowlist: ["*:*"], hot_allowlist: ["*:*"]}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("top") / "wsprism.yaml"
    path.write_text(PATIENT)
    where = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0")
    arguments = ("run", "--config", str(path), "--dev", *where)
    with wsprism(*arguments, stderr=subprocess.DEVNULL) as process:
        running = Running(process)
        with running.slow, running.fast:
            yield running


def top(gateway: Running, *options: str) -> str:
    arguments = ("top", "--url", gateway.admin, "--interval", "0.1", *options)
    with wsprism(*arguments, env=environment(COLUMNS="120")) as process:
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    return out


def test_a_slow_reader_is_seen_as_json(gateway: Running) -> None:
    told = json.loads(top(gateway, "--json"))
    assert set(told) == {"overview", "sessions", "rooms"}
    assert told["overview"]["sessions"] == 2
    assert told["overview"]["stalled"] == 1
    assert told["overview"]["uptime_s"] > 0
    assert told["overview"]["loop_lag"]["max"] >= 0
    slow, fast = told["sessions"]["items"]
    assert (slow["user"], fast["user"]) == ("user:slow", "user:ann")
    lanes = {lane["lane"]: lane for lane in slow["lanes"]}
    assert list(lanes) == [lane.name for lane in DEFAULT_LANES]
    waiting = lanes["interactive"]
    assert 0 < waiting["messages"] <= FLOOD
    assert waiting["bytes"] > 2_000 * (waiting["messages"] - 1)
    assert waiting["oldest_s"] > 0
    assert slow["stalled_s"] >= waiting["oldest_s"]
    assert slow["bytes"] == told["overview"]["waiting_bytes"]
    assert (fast["bytes"], fast["stalled_s"]) == (0, None)
    (room,) = told["rooms"]["items"]
    assert (room["name"], room["members"], room["seq"]) == ("lobby", 2, FLOOD)


@pytest.mark.parametrize("options", [["--once"], []])
def test_a_slow_reader_is_seen_in_a_table(gateway: Running, options: list[str]) -> None:
    # Nobody looks at a terminal here: it shows one reading, asked or not.
    text = top(gateway, *options)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].startswith(f"wsprism top  {gateway.admin}  up ")
    assert "sessions 2 (1 stalled)" in lines[0]
    slow = next(line for line in lines if " user:slow " in line)
    assert " KiB  interactive " in slow
    assert any(line.startswith("lobby ") for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_somebody_who_looks_sees_it_live(gateway: Running, key: bytes) -> None:
    ours, theirs = os.openpty()
    environ = environment(TERM="xterm-256color", COLUMNS="110", LINES="30")
    arguments = ("top", "--url", gateway.admin, "--interval", "0.1")
    with wsprism(
        *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        shown = b""
        while b"sessions by waiting" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"s")
        while b"sessions by stalled" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, key)
        while b"\x1b[?1049l" not in shown:
            shown += os.read(ours, 4096)
        assert process.wait(30) == 0
    os.close(ours)
    assert b"user:slow" in shown
    assert b"Traceback" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_second_gateway_runs_without_it() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8081))
            taken.listen()
        except OSError:
            pass  # somebody listens there already: just the same
        with wsprism("run", "--port", "0") as process:
            lines = read_until("warning: ", process.stdout)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    assert process.returncode == 0
    assert lines[1] == (
        "admin     not there: 127.0.0.1:8081 is in use: stop what listens there,"
        " or choose another port with --admin-port"
    )


def test_the_key_is_asked_for(tmp_path: Any) -> None:
    key = "0123456789abcdef"
    path = tmp_path / "wsprism.yaml"
    path.write_text(
        "version: 1\n"
        f"gateway: {{listen: '127.0.0.1:0', admin: {{api_key: {key}}}}}\n"
        "tenants: [{id: acme}]\n"
    )
    arguments = ("run", "--config", str(path), "--admin-port", "0", "--plugins", "chat")
    with wsprism(*arguments, stderr=subprocess.PIPE) as process:
        lines = read_until("warning: ", process.stdout)
        (url,) = (line.split()[1] for line in lines if line.startswith("admin "))
        runner = CliRunner(env={"WSPRISM_ADMIN_KEY": None})
        ask = ["top", "--json", "--interval", "0.1", "--url", url]
        refused = runner.invoke(cli, ask)
        wrong = runner.invoke(cli, [*ask, "--key", "f" * 16])
        flag = runner.invoke(cli, [*ask, "--key", key])
        variable = runner.invoke(cli, ask, env={"WSPRISM_ADMIN_KEY": key})
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    for result in (refused, wrong):
        assert result.exit_code == 1
        assert "answered 401: an API key is needed" in result.stderr
        assert "WSPRISM_ADMIN_KEY" in result.stderr
    for result in (flag, variable):
        assert result.exit_code == 0
        assert json.loads(result.stdout)["overview"]["sessions"] == 0
    assert errors.count("status=401") == 2
    assert key not in errors
    assert "f" * 16 not in errors
