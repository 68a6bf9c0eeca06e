from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from wsprism_core.config import Config
from wsprism_core.settings.environment import override, variable_of
from wsprism_core.settings.tree import key_paths


class Chat(BaseModel):
    max_length: int = 1
    token: str = ""


FILE: dict[str, Any] = {
    "version": 1,
    "gateway": {"lanes": {"bulk": {"max_bytes": 1}}},
    "tenants": [{"id": "acme"}, {"id": "a.b-c"}, {"id": "a__b", "limits": None}],
    "plugins": {"chat": {"max_length": 10}},
}


def overridden(**variables: str) -> Any:
    environ = {f"WSPRISM_{name}": text for name, text in variables.items()}
    value, _, problems = override(FILE, environ, {"chat": Chat})
    assert problems == []
    return value


def problem(name: str, text: str = "1") -> str:
    value, found, problems = override(FILE, {f"WSPRISM_{name}": text}, {"chat": Chat})
    assert (value, found) == (FILE, [])
    (told,) = problems
    assert told.startswith(f"WSPRISM_{name}: ")
    return told


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("GATEWAY__PING_INTERVAL_MS", "10000", "gateway.ping_interval_ms", 10_000),
        ("GATEWAY__DEFLATE__ENABLED", "true", "gateway.deflate.enabled", True),
        ("GATEWAY__ALLOWED_ORIGINS", "[a, b]", "gateway.allowed_origins", ["a", "b"]),
        ("GATEWAY__ALLOWED_ORIGINS", "null", "gateway.allowed_origins", None),
        ("GATEWAY__LISTEN", "127.0.0.1:1", "gateway.listen", "127.0.0.1:1"),
        # A key may look like a number, a comment or a mapping.
        ("GATEWAY__ADMIN__API_KEY", "123", "gateway.admin.api_key", "123"),
        ("GATEWAY__ADMIN__API_KEY", "#a: {", "gateway.admin.api_key", "#a: {"),
        ("GATEWAY__ADMIN__API_KEY", "null", "gateway.admin.api_key", None),
        ("GATEWAY__DEFLATE", "{level: 3}", "gateway.deflate", {"level": 3}),
        ("GATEWAY__LANES__BULK__MAX_BYTES", "7", "gateway.lanes.bulk.max_bytes", 7),
        ("GATEWAY__LANES__MARKET__MAX_BYTES", "7", "gateway.lanes.market.max_bytes", 7),
        ("TENANTS__ACME__LIMITS__MAX_ROOMS_TOTAL", "5", "tenants.0.limits", None),
        ("TENANTS__A_B_C__LIMITS__MAX_ROOMS_TOTAL", "5", "tenants.1.limits", None),
        ("TENANTS__A__B__LIMITS__MAX_ROOMS_TOTAL", "5", "tenants.2.limits", None),
        ("PLUGINS__CHAT__MAX_LENGTH", "9", "plugins.chat.max_length", 9),
        ("PLUGINS__CHAT__TOKEN", "9", "plugins.chat.token", "9"),
    ],
)
def test_a_variable_says_a_key(name: str, text: str, path: str, value: Any) -> None:
    here = overridden(**{name: text})
    for part in path.split("."):
        here = here[int(part) if part.isdigit() else part]
    assert here == ({"max_rooms_total": 5} if path.startswith("tenants") else value)


def test_the_file_is_left_as_it_is_and_so_is_what_is_the_same_elsewhere() -> None:
    shared = {"max_rooms_total": 1}
    file = {"tenants": [{"id": "a", "limits": shared}, {"id": "b", "limits": shared}]}
    environ = {"WSPRISM_TENANTS__A__LIMITS__MAX_ROOMS_TOTAL": "2"}
    value, _, _ = override(file, environ, {})
    assert [t["limits"]["max_rooms_total"] for t in value["tenants"]] == [2, 1]
    assert shared == {"max_rooms_total": 1}
    assert [tenant["limits"] for tenant in file["tenants"]] == [shared, shared]


def test_the_more_exact_variable_counts() -> None:
    value = overridden(GATEWAY__DEFLATE="{level: 3}", GATEWAY__DEFLATE__LEVEL="4")
    assert value["gateway"]["deflate"] == {"level": 4}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "GATEWAY__PING_INTERVALL_MS",
            "no PING_INTERVALL_MS in gateway; did you mean 'PING_INTERVAL_MS'?",
        ),
        (
            "GATWAY__LISTEN",
            "there is no GATWAY in the configuration; did you mean 'GATEWAY'?",
        ),
        ("TENANTS__ACM__LIMITS", "there is no ACM in tenants; did you mean 'ACME'?"),
        ("TENANTS__0__LIMITS", "there is no 0 in tenants"),
        ("TENANTS__ACME__LIMIT__X", "there is no LIMIT in tenants.0; did you mean"),
        ("GATEWAY__LISTEN__X", "there is no X in gateway.listen"),
        ("GATEWAY__", "there is no key in gateway"),
        ("PLUGINS__CHAT__MAXLENGTH", "did you mean 'MAX_LENGTH'?"),
        ("GATEWAY_LISTEN", "no such key; did you mean 'WSPRISM_GATEWAY__LISTEN'?"),
        ("GATEWAY_ADMIN_API_KEY", "did you mean 'WSPRISM_GATEWAY__ADMIN__API_KEY'?"),
    ],
)
def test_a_variable_that_is_no_key_is_told(name: str, told: str) -> None:
    assert told in problem(name)
    # An empty one is none, but its name is wrong all the same.
    assert told in problem(name, "")


def test_a_value_that_is_no_yaml_is_told_and_not_shown() -> None:
    told = problem("GATEWAY__DEFLATE", "{sesame")
    assert told == "WSPRISM_GATEWAY__DEFLATE: its value is no YAML"


def test_an_id_that_may_be_one_or_another_is_refused() -> None:
    file = {"tenants": [{"id": "a-b"}, {"id": "a.b"}]}
    environ = {"WSPRISM_TENANTS__A_B__LIMITS": "{}"}
    _, _, problems = override(file, environ, {})
    assert problems == [
        "WSPRISM_TENANTS__A_B__LIMITS: A_B may be one or another of tenants"
    ]


def test_what_is_somebody_elses_is_let_be() -> None:
    environ = {
        "WSPRISM_PORT": "tcp://10.0.0.1:8080",
        "WSPRISM_SERVICE_HOST": "10.0.0.1",
        "WSPRISM_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "WSPRISM_PLUGINS": "chat",
        "WSPRISM_GATEWAY__LISTEN": "",
        "wsprism_gateway__listen": "x",
        "OTHER__LISTEN": "x",
    }
    assert override(FILE, environ, {}) == (FILE, [], [])


@pytest.mark.parametrize("path", [path for path in key_paths(Config) if path[1:]])
def test_every_key_has_a_variable(path: tuple[str, ...]) -> None:
    _, found, problems = override(FILE, {variable_of(path): "1"}, {})
    assert problems == []
    assert [one.path for one in found] == [path]


@given(st.text(alphabet="ABGTWY_01.", max_size=20), st.text(max_size=10))
def test_any_variable_is_read_or_told_once(name: str, text: str) -> None:
    _, found, problems = override(FILE, {f"WSPRISM_{name}": text}, {"chat": Chat})
    assert len(found) + len(problems) <= 1
