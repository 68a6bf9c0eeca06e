from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from wsprism_core.config import Config, ConfigError, out_of_the_box
from wsprism_core.settings.file import load_config


class Chat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_length: int = 1


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "wsprism.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ=environ, sections={"chat": Chat})


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    return caught.value.problems


def test_every_fault_is_told_with_its_line_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    assert problems(
        tmp_path,
        "version: 1\n"
        "gatway: {}\n"
        "tenants:\n"
        "  - id: acme\n"
        "    policy:\n"
        "      rate_limit_rsp: 3\n"
        "      hot_allowlist:\n"
        "        - '1:*'\n"
        "        - 17\n"
        "  - limits: {}\n"
        "gateway:\n"
        "  idle_timeout_ms: soon\n"
        "plugins:\n"
        "  chat:\n"
        "    max_lenght: 5\n"
        "  caht: {}\n",
    ) == [
        "line 2: gatway: unknown key; did you mean 'gateway'?",
        (
            "line 6: tenants[0].policy.rate_limit_rsp: unknown key;"
            " did you mean 'rate_limit_rps'?"
        ),
        "line 9: tenants[0].policy.hot_allowlist[1]: Input should be a valid string",
        "line 10: tenants[1].id: Field required",
        "line 12: gateway.idle_timeout_ms: Input should be a valid integer",
        "line 15: plugins.chat.max_lenght: unknown key; did you mean 'max_length'?",
        (
            "line 16: plugins.caht: no loaded plugin of that name takes a"
            " configuration; did you mean 'chat'?"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: 1\ntenants: [", "line 2: is no YAML: "),
        ("version: 1\nversion: 1\n", "line 2: is no YAML: key 'version' stands twice"),
        ("", "must be a mapping with `version` and `tenants`"),
        ("version: 1\n", "line 1: tenants: Field required"),
        (
            "version: 1\ntenants: [{id: a}]\nplugins: [chat]\n",
            "line 3: plugins: Input should be a valid dictionary",
        ),
        (
            "version: 1\ntenants: [{id: a}]\nplugins:\n  chat: 3\n",
            "line 4: plugins.chat: Input should be a valid dictionary",
        ),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, told: str) -> None:
    assert problems(tmp_path, text)[0].startswith(told)


MINIMAL = "version: 1\ntenants:\n  - id: acme\n"


def test_the_environment_counts_more_than_the_file(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        f"gateway: {{ping_interval_ms: 5}}\n{MINIMAL}",
        WSPRISM_GATEWAY__PING_INTERVAL_MS="10000",
        WSPRISM_TENANTS__ACME__POLICY__EXT_ALLOWLIST='["chat:*"]',
        WSPRISM_PLUGINS__CHAT__MAX_LENGTH="7",
    )
    assert config.gateway.ping_interval_ms == 10_000
    assert config.tenants[0].policy.ext_allowlist == ("chat:*",)
    assert config.plugins == {"chat": {"max_length": 7}}


def test_a_wrong_value_of_a_variable_is_told_with_its_name(tmp_path: Path) -> None:
    assert problems(
        tmp_path,
        MINIMAL + "more: 1\n",
        WSPRISM_GATEWAY__PING_INTERVAL_MS="soon",
        WSPRISM_GATEWAY__ADMIN__API_KEY="sesame",
        WSPRISM_GATEWAY__PONG="1",
    ) == [
        (
            "WSPRISM_GATEWAY__PING_INTERVAL_MS: gateway.ping_interval_ms:"
            " Input should be a valid integer"
        ),
        (
            "WSPRISM_GATEWAY__ADMIN__API_KEY: gateway.admin.api_key: must be at least"
            " 16 characters of ASCII without spaces, such as `openssl rand -hex 24`"
            " prints"
        ),
        "line 4: more: unknown key",
        "WSPRISM_GATEWAY__PONG: there is no PONG in gateway",
    ]


def test_without_a_file_the_environment_changes_what_runs_out_of_the_box() -> None:
    assert load_config(None, environ={}) == out_of_the_box()
    environ = {"WSPRISM_GATEWAY__LISTEN": "127.0.0.1:1"}
    changed = load_config(None, environ=environ)
    assert changed.gateway.listen == "127.0.0.1:1"
    assert changed.tenants == out_of_the_box().tenants
    with pytest.raises(ConfigError, match="the configuration cannot be used"):
        load_config(None, environ={"WSPRISM_GATEWAY__LISTN": "x"})


def test_sections_of_plugins_that_nobody_asks_for_are_not_checked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "wsprism.yaml"
    path.write_text(MINIMAL + "plugins: {any: {thing: 1}}\n", encoding="utf-8")
    assert load_config(path, environ={}).plugins == {"any": {"thing": 1}}
