from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Echo, install_only, logging_kept
from wsprism_core import hookimpl
from wsprism_core.options import RunOptions
from wsprism_core.runner import RunError, is_loopback, prepare

TENANT = "tenants: [{id: acme}]\n"


@pytest.fixture(autouse=True)
def _logging_is_put_back() -> Iterator[None]:
    with logging_kept():
        yield


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


def test_without_a_file_it_is_open_to_this_machine(install: Install) -> None:
    prepared = prepare(RunOptions())
    assert (prepared.host, prepared.port) == ("127.0.0.1", 8080)
    assert prepared.development
    assert "DEVELOPMENT TICKETS ARE ON" in prepared.alarm
    assert "INSECURE" not in prepared.alarm
    assert prepared.warnings == ()


@pytest.mark.parametrize(
    ("listen", "options", "host", "port"),
    [
        ("127.0.0.1:9000", {}, "127.0.0.1", 9000),
        ("'[::1]:9000'", {}, "::1", 9000),
        ("0.0.0.0:9000", {"host": "127.0.0.1"}, "127.0.0.1", 9000),
        ("127.0.0.1:9000", {"port": 0}, "127.0.0.1", 0),
    ],
)
def test_the_command_line_overrides_where_the_file_listens(
    install: Install,
    write: Callable[[str], Path],
    listen: str,
    options: dict[str, Any],
    host: str,
    port: int,
) -> None:
    file = write(f"gateway: {{listen: {listen}}}\n{TENANT}")
    prepared = prepare(RunOptions(config=file, **options))
    assert (prepared.host, prepared.port) == (host, port)
    assert not prepared.development
    assert prepared.alarm == ""


def test_a_bad_file_is_refused_with_every_fault(
    install: Install, write: Callable[[str], Path]
) -> None:
    file = write("tenant: []\ngateway: {listn: '127.0.0.1:1'}\n" + TENANT)
    with pytest.raises(RunError) as caught:
        prepare(RunOptions(config=file))
    assert caught.value.exit_code == 2
    assert "did you mean 'tenants'" in str(caught.value)
    assert "gateway.listn: unknown key; did you mean 'listen'?" in str(caught.value)


def test_a_plugin_that_is_not_installed_is_refused(install: Install) -> None:
    install(chat=Echo)
    with pytest.raises(RunError, match=r"pip install wsprism-game\)") as caught:
        prepare(RunOptions(plugins=("chat", "game")))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_development_tickets_are_for_this_machine_alone(
    install: Install, host: str
) -> None:
    with pytest.raises(RunError) as caught:
        prepare(RunOptions(host=host))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert f"{host} is none" in str(caught.value)
    assert "--allow-insecure-dev" in str(caught.value)


def test_development_tickets_beside_a_file_too(
    install: Install, write: Callable[[str], Path]
) -> None:
    file = write("gateway: {listen: '0.0.0.0:0'}\n" + TENANT)
    with pytest.raises(RunError, match=r"0\.0\.0\.0 is none"):
        prepare(RunOptions(config=file, dev=True))
    prepared = prepare(RunOptions(config=file, dev=True, host="localhost"))
    assert prepared.development
    assert prepared.alarm


def test_who_insists_is_warned_twice(install: Install) -> None:
    prepared = prepare(RunOptions(host="0.0.0.0", allow_insecure_dev=True))
    assert "DEVELOPMENT TICKETS ARE ON" in prepared.alarm
    assert "INSECURE: other machines reach 0.0.0.0" in prepared.alarm


def test_the_insecure_switch_alone_accepts_no_development_ticket(
    install: Install, write: Callable[[str], Path]
) -> None:
    prepared = prepare(RunOptions(config=write(TENANT), allow_insecure_dev=True))
    assert not prepared.development


def test_a_tenant_without_tickets_is_warned_about(
    install: Install, write: Callable[[str], Path]
) -> None:
    file = write("tenants: [{id: acme}, {id: other}]\n")
    warnings = prepare(RunOptions(config=file)).warnings
    assert [text.split(":")[0] for text in warnings] == [
        "tenant 'acme' has no source of tickets",
        "tenant 'other' has no source of tickets",
    ]
    assert "every handshake will get 401" in warnings[0]
    with_dev = prepare(RunOptions(config=file, dev=True, host="127.0.0.1"))
    assert with_dev.warnings == ()


def test_a_plugin_that_authenticates_is_a_source_of_tickets(
    install: Install, write: Callable[[str], Path]
) -> None:
    class Door:
        wsprism_api = 1

        @hookimpl
        def authenticate(self) -> None:
            return None

    install(door=Door)
    assert prepare(RunOptions(config=write(TENANT))).warnings == ()


def test_patterns_for_services_that_are_not_loaded_are_warned_about(
    install: Install, write: Callable[[str], Path]
) -> None:
    install(echo=Echo)
    policy = (
        "ext_allowlist: ['room:*', 'sys:ping', '*:join', 'echo:say', 'chat:*'],"
        " hot_allowlist: ['200:*', '*:1', '1:*']"
    )
    file = write(f"tenants: [{{id: acme, policy: {{{policy}}}}}]\n")
    prepared = prepare(RunOptions(config=file, dev=True, host="127.0.0.1"))
    but = "but no plugin that is loaded owns the service"
    assert prepared.warnings == (
        f"tenant 'acme': ext_allowlist has 'chat:*', {but} 'chat'",
        f"tenant 'acme': hot_allowlist has '1:*', {but} '1'",
    )


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
