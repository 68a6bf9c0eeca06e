from __future__ import annotations

from pathlib import Path

import pytest

from wsprism_core.config import Config, ConfigError, out_of_the_box
from wsprism_core.settings.file import load_config


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "wsprism.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ={})


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return caught.value.problems


MINIMAL = "version: 1\ntenants:\n  - id: acme\n"


def test_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    gateway, tenant = config.gateway, config.tenants[0]
    assert gateway.listen == "0.0.0.0:8080"
    assert gateway.ping_interval_ms == 20_000
    assert gateway.idle_timeout_ms == 60_000
    assert gateway.writer_send_timeout_ms == 1_500
    assert gateway.drain_grace_ms == 5_000
    assert not gateway.handshake_limit.enabled
    assert gateway.handshake_limit.global_rps == 100
    assert gateway.handshake_limit.global_burst == 200
    assert gateway.handshake_limit.per_ip_rps == 10
    assert gateway.handshake_limit.per_ip_burst == 50
    assert gateway.handshake_limit.max_ip_entries == 50_000
    assert tenant.limits.max_frame_bytes == 4_096
    assert tenant.limits.max_sessions_total == 0
    assert tenant.limits.max_rooms_total == 0
    assert tenant.limits.max_users_per_room == 0
    assert tenant.limits.max_rooms_per_user == 0
    policy = tenant.policy
    assert (policy.rate_limit_rps, policy.rate_limit_burst) == (200, 400)
    assert policy.rate_limit_scope == "connection"
    assert policy.sessions.mode == "multi"
    assert policy.sessions.max_sessions_per_user == 4
    assert policy.sessions.on_exceed == "deny"
    assert policy.hot_error_mode == "sys_error"
    assert policy.hot_requires_active_room


def test_every_key_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
version: 1
tenants:
  - id: bench
    limits: {max_frame_bytes: 65536, max_sessions_total: 1, max_users_per_room: 2,
             max_rooms_total: 3, max_rooms_per_user: 4}
    policy:
      rate_limit_rps: 10000000
      rate_limit_burst: 20000000
      rate_limit_scope: both
      sessions: {mode: single, max_sessions_per_user: 2, on_exceed: kick_oldest}
      ext_allowlist: ["room:*", "chat:*"]
      hot_allowlist: ["1:*", "2:17"]
      hot_error_mode: silent
      hot_requires_active_room: false
gateway:
  listen: "127.0.0.1:9000"
  handshake_limit: {enabled: true, per_ip_rps: 3}
  allowed_origins: ["https://app.example.com"]
plugins:
  chat: {max_length: 10}
""",
    )
    tenant = config.tenants[0]
    assert tenant.limits.max_rooms_per_user == 4
    assert tenant.policy.ext_allowlist == ("room:*", "chat:*")
    assert tenant.policy.sessions.on_exceed == "kick_oldest"
    assert config.gateway.handshake_limit.per_ip_rps == 3
    assert config.gateway.allowed_origins == ("https://app.example.com",)
    assert config.plugins == {"chat": {"max_length": 10}}


def test_every_fault_is_told_at_once_with_its_path_and_the_nearest_name(
    tmp_path: Path,
) -> None:
    found = problems(
        tmp_path,
        """
version: 1
gatway: {}
gateway: {ping_intervall_ms: 1, idle_timeout_ms: "soon", lanes: {bulk: {max_byte: 1}}}
tenants:
  - id: acme
    policy: {rate_limit_rsp: 3, hot_allowlist: ["one:two"]}
""",
    )
    text = "\n".join(found)
    assert "gatway: unknown key; did you mean 'gateway'?" in text
    assert (
        "gateway.ping_intervall_ms: unknown key; did you mean 'ping_interval_ms'?"
        in text
    )
    assert (
        "tenants[0].policy.rate_limit_rsp: unknown key; did you mean 'rate_limit_rps'?"
        in text
    )
    lane = "gateway.lanes.bulk.max_byte: unknown key; did you mean 'max_bytes'?"
    assert lane in text
    assert "gateway.idle_timeout_ms: Input should be a valid integer" in text
    assert "tenants[0].policy.hot_allowlist[0]: String should match pattern" in text
    assert len(found) == 6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a mapping"),
        ("[1, 2]", "must be a mapping"),
        ("version: 2\ntenants: [{id: a}]", "version: Input should be less"),
        ("version: true\ntenants: [{id: a}]", "version: Input should be a valid int"),
        ("version: 1\ntenants: []", "tenants: List should have at least 1 item"),
        ("version: 1", "tenants: Field required"),
        ("version: 1\ntenants: [{id: a}, {id: a}]", "tenant 'a' is configured twice"),
        ("version: 1\nversion: 1\ntenants: [{id: a}]", "key 'version' stands twice"),
        ("version: 1\ntenants: [{id: 'a b'}]", "tenants[0].id: String should match"),
        ("version: 1\ngateway: {listen: '8080'}\ntenants: [{id: a}]", "HOST:PORT"),
        ("version: 1\ngateway: {listen: 'h:99999'}\ntenants: [{id: a}]", "HOST:PORT"),
        ("a: [", "is no YAML"),
        ("!!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in "\n".join(problems(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be used"):
        load_config(tmp_path / "nowhere.yaml", environ={})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path, environ={})


def test_out_of_the_box_there_is_one_open_tenant_on_loopback() -> None:
    config = out_of_the_box()
    (tenant,) = config.tenants
    assert config.gateway.listen == "127.0.0.1:8080"
    assert tenant.id == "default"
    assert tenant.policy.ext_allowlist == tenant.policy.hot_allowlist == ("*:*",)
    assert tenant.policy.rate_limit_rps == 0


@pytest.mark.parametrize("pattern", ["256:1", "1:256", "999:*", "-1:1", "01:1", "1"])
def test_hot_allowlists_have_numbers_that_fit_a_byte(
    tmp_path: Path, pattern: str
) -> None:
    policy = f"policy: {{hot_allowlist: ['{pattern}']}}"
    text = f"version: 1\ntenants: [{{id: a, {policy}}}]"
    assert "String should match pattern" in problems(tmp_path, text)[0]


def test_hot_allowlists_have_every_byte(tmp_path: Path) -> None:
    for number in ("0", "9", "10", "99", "100", "199", "200", "249", "250", "255"):
        policy = f"policy: {{hot_allowlist: ['{number}:*', '*:{number}']}}"
        load(tmp_path, f"version: 1\ntenants: [{{id: a, {policy}}}]")
