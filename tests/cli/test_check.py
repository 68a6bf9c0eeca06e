from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.command_line import install_only
from support.services import Lab
from wsprism_cli.main import cli

TENANTS = """\
version: 1
tenants:
  - id: acme
    policy:
      ext_allowlist: ["room:*", "lab:echo", "lab:nope", "chat:*"]
      hot_allowlist: ["200:*", "9:1"]
"""


@pytest.fixture(autouse=True)
def _only_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSPRISM_PLUGINS", raising=False)
    install_only(monkeypatch, lab=Lab)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wsprism.yaml"
    path.write_text(TENANTS)
    return path


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["check", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: object) -> tuple[int, Any]:
    code, out, err = invoke(*arguments, "--json")
    assert err == ""
    return code, json.loads(out)


IDLE = [
    (
        "tenant 'acme': ext_allowlist has 'chat:*', but no plugin that is loaded owns"
        " the service 'chat'"
    ),
    (
        "tenant 'acme': hot_allowlist has '9:1', but no plugin that is loaded owns the"
        " service '9'"
    ),
]


def test_a_file_that_can_be_used(file: Path) -> None:
    code, out, err = invoke(file, "--dev")
    assert (code, out) == (2, "")
    assert "0.0.0.0 is none" in err
    code, out, err = invoke(file)
    assert (code, out) == (0, f"{file} can be used\n")
    assert err.splitlines()[:2] == [f"warning: {line}" for line in IDLE]
    assert "has no source of tickets" in err.splitlines()[2]


def test_strictly_it_cannot(file: Path) -> None:
    code, out, err = invoke(file, "--strict")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {file} cannot be used:",
        *(f"  {line}" for line in IDLE),
    ]


def test_every_fault_is_told(file: Path) -> None:
    file.write_text(TENANTS + "gatway: {}\nplugins: {lab: {}}\n")
    code, out, err = invoke(file)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"error: {file} cannot be used:",
        "  line 7: gatway: unknown key; did you mean 'gateway'?",
        (
            "  line 8: plugins.lab: no loaded plugin of that name takes a"
            " configuration; name it in --plugins, or take the section out"
        ),
    ]


def test_what_shows_only_when_a_gateway_is_put_together(file: Path) -> None:
    file.write_text(TENANTS + "gateway: {lanes: {bluk: {max_bytes: 1}}}\n")
    code, _, err = invoke(file)
    assert code == 2
    assert "gateway.lanes: no lane is named 'bluk'" in err


def test_json_for_programs(file: Path) -> None:
    code, found = answer(file, "--explain", "acme", "lab:echo")
    assert code == 0
    assert found["valid"] is True
    assert found["problems"] == []
    assert found["warnings"][:2] == IDLE
    assert found["explained"] == [
        {
            "tenant": "acme",
            "message": "lab:echo",
            "passes": True,
            "rule": "policy.ext_allowlist[1]",
            "why": "may pass, by policy.ext_allowlist[1] 'lab:echo'",
        }
    ]
    file.write_text("version: 2\n")
    code, found = answer(file, "--explain", "acme", "lab:echo")
    assert code == 2
    assert found == {
        "valid": False,
        "problems": [
            "line 1: version: Input should be less than or equal to 1",
            "line 1: tenants: Field required",
        ],
        "warnings": [],
        "explained": [],
    }


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("lab:echo", "may pass, by policy.ext_allowlist[1] 'lab:echo'"),
        ("room:members", "may pass, by policy.ext_allowlist[0] 'room:*'"),
        ("sys:ping", "may pass, as sys always does"),
        ("lab:say", "may not pass: no pattern of policy.ext_allowlist fits"),
        (
            "lab:nope",
            (
                "may pass, by policy.ext_allowlist[2] 'lab:nope', but lab has no type"
                " 'nope'"
            ),
        ),
        (
            "chat:send",
            (
                "may pass, by policy.ext_allowlist[3] 'chat:*', but no loaded plugin"
                " owns the service 'chat'"
            ),
        ),
        ("200:1", "may pass, by policy.hot_allowlist[0] '200:*'"),
        (
            "200:99",
            "may pass, by policy.hot_allowlist[0] '200:*', but lab has no opcode 99",
        ),
        (
            "9:1",
            (
                "may pass, by policy.hot_allowlist[1] '9:1', but no loaded plugin owns"
                " the service '9'"
            ),
        ),
        ("1:1", "may not pass: no pattern of policy.hot_allowlist fits"),
    ],
)
def test_which_rule_decides(file: Path, message: str, why: str) -> None:
    code, out, _ = invoke(file, "--explain", "acme", message)
    assert (code, out) == (0, f"acme {message}: {why}\n")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("acme", "lab"), "'lab' is neither svc:type nor id:opcode"),
        (("acme", "256:1"), "'256:1' is neither svc:type nor id:opcode"),
        (("acme", "lab:*"), "'lab:*' is neither svc:type nor id:opcode"),
        (("other", "lab:echo"), "there is no tenant 'other', but acme"),
    ],
)
def test_what_cannot_be_explained(
    file: Path, asked: tuple[str, str], told: str
) -> None:
    code, out, err = invoke(file, "--explain", *asked)
    assert (code, out) == (2, "")
    assert told in err


def test_plugins_are_chosen(file: Path) -> None:
    code, _, err = invoke(file, "--plugins", "nope")
    assert code == 2
    assert "no plugin 'nope' is installed" in err
    assert "owns the service 'lab'" in invoke(file, "--plugins", "")[2]


def test_the_environment_counts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSPRISM_GATEWAY__PING", "1")
    code, found = answer(file)
    assert code == 2
    assert found["problems"] == ["WSPRISM_GATEWAY__PING: there is no PING in gateway"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    code, found = answer(tmp_path / "nowhere.yaml")
    assert code == 2
    assert found["problems"][0].startswith("cannot be read: ")
