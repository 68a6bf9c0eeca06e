from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Echo, install_only
from wsprism_core import hookimpl
from wsprism_core.logs import EventLog, summed_up
from wsprism_core.options import RunOptions
from wsprism_core.runner import AdminAddress, RunError, prepare

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


@pytest.mark.parametrize(
    "auth",
    [
        f"jwt: [{{algorithms: [HS256], keys: [{{secret: {'x' * 32}}}]}}]",
        "connect_tickets: {enabled: true}",
    ],
)
def test_an_auth_section_is_a_source_of_tickets(
    install: Install, write: Callable[[str], Path], auth: str
) -> None:
    file = write(
        f"tenants: [{{id: acme, auth: {{{auth}}}}}, {{id: other, auth: {{}}}}]"
    )
    (warning,) = prepare(RunOptions(config=file)).warnings
    assert warning.startswith("tenant 'other' has no source of tickets")


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


# ------------------------------------------------------------------ the admin listener


def admin_of(
    write: Callable[[str], Path], section: str, **options: Any
) -> AdminAddress | None:
    gateway = f"gateway: {{listen: '127.0.0.1:9000', {section}}}\n"
    return prepare(RunOptions(config=write(gateway + TENANT), **options)).admin


KEY = "0123456789abcdef"


def test_without_a_file_operators_look_in_where_the_port_is_free(
    install: Install,
) -> None:
    admin = prepare(RunOptions()).admin
    assert admin is not None
    assert (admin.host, admin.port, admin.optional) == ("127.0.0.1", 8081, True)
    asked = prepare(RunOptions(admin_port=0)).admin
    assert asked is not None
    assert (asked.port, asked.optional) == (0, False)
    open_to_others = RunOptions(host="0.0.0.0", allow_insecure_dev=True)
    assert prepare(open_to_others).admin is None


def test_with_a_file_operators_look_in_where_it_says(
    install: Install, write: Callable[[str], Path]
) -> None:
    assert admin_of(write, "") is None
    assert admin_of(write, "", dev=True) is None
    for listen, place in (
        ("127.0.0.1:9001", ("127.0.0.1", 9001)),
        ("0.0.0.0:9001", ("0.0.0.0", 9001)),
        ("[::1]:9001", ("::1", 9001)),
    ):
        section = f"admin: {{listen: '{listen}', api_key: {KEY}}}"
        admin = admin_of(write, section)
        assert admin is not None
        assert (admin.host, admin.port, admin.optional) == (*place, False)
        moved = admin_of(write, section, admin_port=9002)
        assert moved is not None
        assert (moved.host, moved.port) == (place[0], 9002)


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("admin: {}", {}),
        ("admin: {listen: '127.0.0.1:9001'}", {}),
        ("admin: {listen: '0.0.0.0:9001'}", {"dev": True}),
        ("", {"admin_port": 0}),
        # What other machines reach has tickets for anybody, but no operators for all.
        (
            "admin: {listen: '127.0.0.1:9001'}",
            {"dev": True, "host": "0.0.0.0", "allow_insecure_dev": True},
        ),
    ],
)
def test_without_a_key_the_admin_listener_is_refused(
    install: Install,
    write: Callable[[str], Path],
    section: str,
    options: dict[str, Any],
) -> None:
    with pytest.raises(
        RunError, match=r"needs a key, gateway\.admin\.api_key"
    ) as caught:
        admin_of(write, section, **options)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("options", [{"dev": True}, {"dev": True, "admin_port": 0}])
def test_development_on_loopback_needs_no_key(
    install: Install, write: Callable[[str], Path], options: dict[str, Any]
) -> None:
    assert admin_of(write, "admin: {}", **options) is not None


@pytest.mark.parametrize("key", ["short", KEY[:15], f"{KEY} ", f"{KEY}\u00e4", ""])
def test_a_weak_key_is_refused_and_not_shown(
    install: Install, write: Callable[[str], Path], key: str
) -> None:
    with pytest.raises(RunError, match="at least 16 characters of ASCII") as caught:
        admin_of(write, f'admin: {{api_key: "{key}"}}')
    assert caught.value.exit_code == 2
    assert "gateway.admin.api_key: " in str(caught.value)
    assert not key or key not in str(caught.value)


def test_how_many_warnings_are_logged_is_configured(
    install: Install, write: Callable[[str], Path]
) -> None:
    prepare(RunOptions(config=write("gateway: {warnings_per_second: 1}\n" + TENANT)))
    for _ in range(3):
        EventLog("x").warning("refused")
    assert summed_up() == 2
