from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest

from support.transport_host import EchoHost
from support.transport_stage import (
    Built,
    ManualTimers,
    Stage,
    memory,
    running,
    tcp,
    websocket,
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test here on each event loop that there is."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if sys.platform != "win32":
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    path = tmp_path_factory.mktemp("tls")
    key, certificate = path / "key.pem", path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        f" -keyout {key} -out {certificate}"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())
    return certificate


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The libraries log what a callback raised, and go on."""
    yield
    assert [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


@pytest.fixture
def host() -> EchoHost:
    return EchoHost()


def build(request: pytest.FixtureRequest) -> Built:
    match request.param:
        case "memory":
            return memory()
        case "tcp":
            return tcp()
        case "wss":
            return websocket(request.getfixturevalue("certificate"))
    return websocket()


@pytest.fixture(params=["websocket", "wss", "tcp", "memory"])
async def stage(request: pytest.FixtureRequest, host: EchoHost) -> AsyncIterator[Stage]:
    """Each transport in turn."""
    async with running(build(request), host) as built:
        yield built


@pytest.fixture(params=["websocket", "tcp"])
async def socket_stage(
    request: pytest.FixtureRequest, host: EchoHost
) -> AsyncIterator[Stage]:
    """Each transport that has sockets and deadlines."""
    async with running(build(request), host) as built:
        yield built


@pytest.fixture
async def ws(host: EchoHost) -> AsyncIterator[Stage]:
    """The WebSocket transport alone."""
    async with running(websocket(), host) as built:
        yield built


@pytest.fixture
def timers(request: pytest.FixtureRequest) -> ManualTimers:
    """Virtual time for the deadlines of the stage that the test has."""
    name = "ws" if "ws" in request.fixturenames else "socket_stage"
    stage: Stage = request.getfixturevalue(name)
    manual = ManualTimers(stage.stream.loop)
    stage.stream.loop = cast("asyncio.AbstractEventLoop", manual)
    stage.host.after = manual.call_later  # type: ignore[method-assign]
    return manual
