from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from support.command_line import Echo, install_only
from wsprism_core import Gateway as PluginGateway
from wsprism_core import hookimpl
from wsprism_core.gateway import Gateway
from wsprism_core.options import RunOptions
from wsprism_core.protocol.framing import FrameDecoder, encode_frame
from wsprism_core.protocol.layout import CloseCode, FrameKind
from wsprism_core.recording.format import Kind, RecordingReader
from wsprism_core.runner import RunError, prepare, serve, summary
from wsprism_core.transports.port import Host
from wsprism_core.transports.websocket import WebSocketTransport

# A gateway that does not stop is beyond the reach of pytest-timeout's signal: the event
# loop swallows what its handler raises.
pytestmark = pytest.mark.timeout(60, method="thread")

TENANT = "tenants: [{id: acme}]\n"


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what makes plugins the only ones that are installed; before, none is."""
    install_only(monkeypatch)
    return lambda **plugins: install_only(monkeypatch, **plugins)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "wsprism.yaml"
        path.write_text("version: 1\n" + text)
        return path

    return write


def told(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(
    install: Install, number: signal.Signals
) -> None:
    install(echo=Echo)
    shown: dict[str, str] = {}
    prepared = prepare(RunOptions(port=0, tcp_port=0))

    def started(gateway: Gateway) -> None:
        rows = summary(prepared, gateway)
        assert [label for label, _ in rows] == [
            "listening",
            "listening",
            "admin",
            "plugins",
            "tenants",
        ]
        shown.update(ws=rows[0][1], tcp=rows[1][1], plugins=rows[3][1])
        told(number)

    before = signal.getsignal(number)
    assert serve(prepared, started=started) == 0
    assert signal.getsignal(number) == before
    assert shown["plugins"] == "echo"
    scheme, _, rest = shown["ws"].partition("://127.0.0.1:")
    port, _, path = rest.partition("/")
    assert (scheme, path) == ("ws", "v1/ws")
    assert int(port) > 0
    assert int(shown["tcp"].removeprefix("tcp://127.0.0.1:")) > 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_it_runs_on_uvloop_where_there_is_one(
    install: Install, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    seen = []

    def started(gateway: Gateway) -> None:
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        told(signal.SIGTERM)

    assert serve(prepare(RunOptions(port=0)), started=started) == 0
    assert seen == [loop]


def test_what_lives_at_the_start_is_never_collected_again(install: Install) -> None:
    frozen = []

    def started(gateway: Gateway) -> None:
        asyncio.get_running_loop().call_soon(look)

    def look() -> None:
        frozen.append(gc.get_freeze_count())
        told(signal.SIGTERM)

    assert serve(prepare(RunOptions(port=0)), started=started) == 0
    assert frozen[0] > 1000
    assert gc.get_freeze_count() == 0


def test_a_gateway_without_plugins_says_none(install: Install) -> None:
    prepared = prepare(RunOptions(port=0))
    rows: list[tuple[str, str]] = []

    def started(gateway: Gateway) -> None:
        rows.extend(summary(prepared, gateway))
        told(signal.SIGTERM)

    assert serve(prepared, started=started) == 0
    assert rows[2:] == [("plugins", "none"), ("tenants", "default")]


class Client:
    """A TCP client in the gateway's own event loop."""

    def __init__(self, gateway: Gateway, script: Callable[[Client], Any]) -> None:
        self.closed: list[tuple[int, str]] = []
        self.types: list[str] = []
        port = int(gateway.transports[1].address.rpartition(":")[2])
        self._task = asyncio.get_running_loop().create_task(self._run(port, script))

    async def _run(self, port: int, script: Callable[[Client], Any]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        auth = {"svc": "sys", "type": "auth", "data": {"ticket": "dev:ann"}}
        writer.write(encode_frame(FrameKind.TEXT, orjson.dumps(auth)))
        decoder = FrameDecoder(1 << 20)
        while data := await reader.read(65536):
            for kind, payload in decoder.feed(data):
                if kind == FrameKind.CLOSE:
                    code = int.from_bytes(payload[:2], "big")
                    self.closed.append((code, payload[2:].decode()))
                elif kind == FrameKind.TEXT:
                    self.types.append(orjson.loads(payload)["type"])
                    script(self)
        writer.close()


def test_clients_are_drained(install: Install, write: Callable[[str], Path]) -> None:
    file = write("gateway: {listen: '127.0.0.1:0', drain_grace_ms: 100}\n" + TENANT)
    clients = []

    def script(client: Client) -> None:
        if client.types == ["authed"]:
            told(signal.SIGTERM)

    prepared = prepare(RunOptions(config=file, dev=True, tcp_port=0))
    code = serve(
        prepared, started=lambda gateway: clients.append(Client(gateway, script))
    )
    assert code == 0
    assert clients[0].types == ["authed", "draining"]
    assert clients[0].closed == [(CloseCode.GOING_AWAY, "draining")]


def test_a_second_signal_does_not_wait_for_the_drain(
    install: Install, write: Callable[[str], Path]
) -> None:
    # An hour: without the second signal the test would time out.
    file = write("gateway: {listen: '127.0.0.1:0', drain_grace_ms: 3600000}\n" + TENANT)
    clients = []

    def script(client: Client) -> None:
        if client.types[-1] in ("authed", "draining"):
            told(signal.SIGINT)

    prepared = prepare(RunOptions(config=file, dev=True, tcp_port=0))
    code = serve(
        prepared, started=lambda gateway: clients.append(Client(gateway, script))
    )
    assert code == 0
    assert clients[0].types == ["authed", "draining"]
    assert clients[0].closed == [(CloseCode.GOING_AWAY, "draining")]


def test_a_signal_ends_a_start_that_hangs(install: Install) -> None:
    class Slow:
        wsprism_api = 1
        stopped = False

        @hookimpl
        async def on_start(self, gateway: PluginGateway) -> None:
            told(signal.SIGTERM)
            await asyncio.Event().wait()

        @hookimpl
        def on_stop(self) -> None:
            Slow.stopped = True

    install(slow=Slow)
    assert serve(prepare(RunOptions(port=0)), started=lambda _: pytest.fail("no")) == 0
    assert Slow.stopped


def test_a_plugin_that_does_not_start_is_told_of(install: Install) -> None:
    class Broken:
        wsprism_api = 1

        @hookimpl
        def on_start(self) -> None:
            raise LookupError("no such table")

    install(broken=Broken)
    with pytest.raises(RunError, match="LookupError: no such table") as caught:
        serve(prepare(RunOptions(port=0)))
    assert caught.value.exit_code == 1


def test_services_that_clash_are_refused(install: Install) -> None:
    class Copy(Echo):
        pass

    install(echo=Echo, copy=Copy)
    with pytest.raises(RunError, match="the name is taken by") as caught:
        serve(prepare(RunOptions(port=0)))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("flag", ["--port", "--tcp-port"])
def test_an_address_in_use_is_named_and_the_way_out(
    install: Install, flag: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"port": 0, flag[2:].replace("-", "_"): port}
        with pytest.raises(RunError) as caught:
            serve(prepare(RunOptions(**ports)))
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        f"127.0.0.1:{port} is in use: stop what listens there,"
        f" or choose another port with {flag}"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(errno.EACCES, "no"), "you may not listen on [::1]:80: choose"),
        (OSError(errno.EADDRNOTAVAIL, "no"), "this machine has no address ::1; choose"),
        (socket.gaierror(-2, "no"), "no address is known for '::1'; choose another"),
        (OSError(errno.EMFILE, "too many files"), "cannot listen on [::1]:80: [Errno"),
    ],
)
def test_other_reasons_not_to_listen_are_told_too(
    install: Install, monkeypatch: pytest.MonkeyPatch, error: OSError, text: str
) -> None:
    async def fail(self: WebSocketTransport, host: Host) -> None:
        raise error

    monkeypatch.setattr(WebSocketTransport, "start", fail)
    with pytest.raises(RunError) as caught:
        serve(prepare(RunOptions(host="::1", port=80)))
    assert str(caught.value).startswith(text)
    assert caught.value.exit_code == 1


class Extra:
    """A transport that a plugin brings; it listens to nobody."""

    name = "extra"
    address = ""
    stopped = False

    def __init__(self, address: str) -> None:
        self._where = address

    async def start(self, host: Host) -> None:
        self.address = self._where

    async def stop_accepting(self) -> None:
        pass

    async def stop(self) -> None:
        Extra.stopped = True


def bringing(address: str) -> type:
    class Brings:
        wsprism_api = 1

        @hookimpl
        def register_transports(self, options: RunOptions) -> list[Extra]:
            assert options.port == 0
            return [Extra(address)]

    return Brings


def test_plugins_bring_transports(install: Install) -> None:
    install(quic=bringing("quic://127.0.0.1:4433"))
    prepared = prepare(RunOptions(port=0))
    rows: list[tuple[str, str]] = []

    def started(gateway: Gateway) -> None:
        rows.extend(summary(prepared, gateway))
        told(signal.SIGTERM)

    assert serve(prepared, started=started) == 0
    assert ("listening", "quic://127.0.0.1:4433") in rows


def test_development_tickets_are_refused_on_a_plugins_open_transport(
    install: Install,
) -> None:
    install(quic=bringing("quic://0.0.0.0:4433"))
    Extra.stopped = False
    with pytest.raises(RunError, match=r"0\.0\.0\.0 is none") as caught:
        serve(prepare(RunOptions(port=0)), started=lambda _: pytest.fail("no"))
    assert caught.value.exit_code == 2
    assert Extra.stopped

    insisting = prepare(RunOptions(port=0, allow_insecure_dev=True))
    assert serve(insisting, started=lambda _: told(signal.SIGTERM)) == 0


def test_a_plugin_that_cannot_make_its_transport_is_named(install: Install) -> None:
    class Broken:
        wsprism_api = 1

        @hookimpl
        def register_transports(self) -> None:
            raise OSError("no certificate")

    install(quic=Broken)
    with pytest.raises(RunError, match="plugin 'quic': register_transports") as caught:
        serve(prepare(RunOptions(port=0)))
    assert "OSError: no certificate" in str(caught.value)


def test_logs_for_programs_hold_the_warnings(
    install: Install,
    write: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(
        "gateway: {listen: '127.0.0.1:0'}\n"
        "tenants: [{id: acme, policy: {ext_allowlist: ['chat:*']}}]\n"
    )
    prepared = prepare(RunOptions(config=file, dev=True, log_json=True))
    assert serve(prepared, started=lambda _: told(signal.SIGTERM)) == 0
    entries = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    warnings = [entry for entry in entries if entry["level"] == "warning"]
    assert [entry["text"] for entry in warnings] == [
        prepared.alarm,
        prepared.warnings[0],
    ]
    assert {"event": "stopping", "signal": "SIGTERM"}.items() <= entries[-3].items()


def test_what_is_recorded_is_private_and_there_when_it_has_stopped(
    install: Install, tmp_path: Path
) -> None:
    install(echo=Echo)
    path = tmp_path / "a.rec"
    prepared = prepare(RunOptions(port=0, record=path))

    def started(gateway: Gateway) -> None:
        assert ("recording", str(path)) in summary(prepared, gateway)
        told(signal.SIGTERM)

    assert serve(prepared, started=started) == 0
    with RecordingReader(path) as reader:
        assert reader.header.plugins == (("echo", None, None),)
        assert reader.header.config is None
        assert [kind for turn in reader.turns() for kind, *_ in turn].count(
            Kind.DRAIN
        ) == 1
        assert reader.end == "closed"
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0


def test_a_recording_is_never_written_over(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_text("precious")
    with pytest.raises(RunError, match=r"a\.rec is there already") as caught:
        serve(prepare(RunOptions(port=0, record=path)))
    assert caught.value.exit_code == 2
    assert path.read_text() == "precious"


def test_a_recording_that_cannot_be_made(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.rec"
    with pytest.raises(RunError, match=r"cannot record into .*: No such file"):
        serve(prepare(RunOptions(port=0, record=path)))


def test_a_gateway_that_does_not_start_leaves_no_recording(
    install: Install, tmp_path: Path
) -> None:
    path = tmp_path / "a.rec"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match="is in use"):
            serve(prepare(RunOptions(port=port, record=path)))
    assert not path.exists()
