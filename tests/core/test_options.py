from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core.options import RUN_OPTIONS, OptionError, RunOptions, run_options

BY_FLAG = {option.flag: option for option in RUN_OPTIONS}


def test_the_table_has_the_options_that_are_promised() -> None:
    assert list(BY_FLAG) == [
        "--config",
        "--host",
        "--port",
        "--tcp-port",
        "--admin-port",
        "--plugins",
        "--strict",
        "--pid-file",
        "--dev",
        "--allow-insecure-dev",
        "--record",
        "--record-max-bytes",
        "--log-level",
        "--log-json",
    ]


@pytest.mark.parametrize("option", RUN_OPTIONS, ids=lambda option: option.name)
def test_every_option_explains_itself(option: Any) -> None:
    assert option.flag == "--" + option.name.replace("_", "-")
    assert option.summary.endswith(".")
    assert option.env is None or option.env in option.help
    assert hasattr(RunOptions(), option.name)


def test_what_may_open_a_gateway_is_never_said_by_the_environment() -> None:
    flags = ("--host", "--port", "--tcp-port", "--admin-port")
    for flag in (*flags, "--dev", "--allow-insecure-dev", "--record"):
        assert BY_FLAG[flag].env is None


def test_a_recording_is_not_begun_by_the_environment() -> None:
    assert BY_FLAG["--record"].env is None


def test_the_command_line_is_asked_first_then_the_environment() -> None:
    environ = {
        "WSPRISM_PLUGINS": "chat, game,",
        "WSPRISM_LOG_LEVEL": "DEBUG",
        "WSPRISM_LOG_JSON": "yes",
        "WSPRISM_CONFIG": "there.yaml",
    }
    assert run_options({}, {}) == RunOptions()
    assert run_options({}, environ) == RunOptions(
        plugins=("chat", "game"),
        log_level="debug",
        log_json=True,
        config=Path("there.yaml"),
    )
    options = run_options({"plugins": ("party",), "port": 9}, environ)
    assert (options.plugins, options.port) == (("party",), 9)
    assert options.log_level == "debug"


def test_an_empty_variable_counts_as_none() -> None:
    assert run_options({}, {"WSPRISM_PLUGINS": "", "WSPRISM_LOG_JSON": ""}) == (
        RunOptions()
    )


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(OptionError, match=r"^WSPRISM_LOG_LEVEL: must be one of debug"):
        run_options({}, {"WSPRISM_LOG_LEVEL": "loud"})
    with pytest.raises(OptionError, match=r"^WSPRISM_LOG_JSON: must be one of 1, true"):
        run_options({}, {"WSPRISM_LOG_JSON": "maybe"})


def test_a_wrong_variable_matters_only_where_it_counts() -> None:
    options = run_options({"log_level": "error"}, {"WSPRISM_LOG_LEVEL": "loud"})
    assert options.log_level == "error"


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--host", "127.0.0.1", "127.0.0.1"),
        ("--host", "[::1]", "::1"),
        ("--port", "0", 0),
        ("--port", "65535", 65535),
        ("--plugins", "b,a", ("b", "a")),
        ("--plugins", "", ()),
        ("--log-json", "Off", False),
        ("--log-level", "Warning", "warning"),
        ("--record-max-bytes", "4096", 4096),
    ],
)
def test_values_are_parsed(flag: str, text: str, value: object) -> None:
    assert BY_FLAG[flag].parse(text) == value


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--host", " "),
        ("--host", "[]"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--port", "http"),
        ("--port", "tcp://10.0.0.1:8080"),
        ("--port", "²"),
        ("--log-level", "verbose"),
        ("--record-max-bytes", "0"),
        ("--record-max-bytes", "1 GiB"),
    ],
)
def test_wrong_values_are_refused(flag: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        BY_FLAG[flag].parse(text)


@given(st.text())
def test_any_text_is_a_port_or_is_refused(text: str) -> None:
    try:
        port = BY_FLAG["--port"].parse(text)
    except ValueError:
        return
    assert 0 <= port <= 65535
    assert text.isascii()
