"""The command with real gateways and real load, as little of it as shows something."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict

from support.command_line import environment, read_until, wsprism
from wsprism_cli.bench.client import LoadError
from wsprism_cli.bench.conductor import Progress, Setting, conduct, divide_cores
from wsprism_cli.bench.gateway import configuration, own_gateway, target_of
from wsprism_cli.bench.results import Result
from wsprism_cli.bench.scenarios import SCENARIOS, Wishes
from wsprism_cli.bench.verdict import judge
from wsprism_cli.main import cli


class Strict(BaseModel):
    """What programs may rely on: no key more, none less, none of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Delay(Strict):
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    count: int


class Connects(Strict):
    count: int
    seconds: float
    per_s: float
    connect: Delay
    join: Delay
    gateway_cpu: float | None
    client_cpu: float
    memory_bytes_each: float | None


class LaneRow(Strict):
    lane: str
    stream: str
    sent: int
    unsent: int
    received: int
    sent_per_s: float
    received_per_s: float
    delay: Delay
    lost: int | None
    conflated: int | None
    dropped: int | None
    overflows: int | None


class Phase(Strict):
    name: str
    seconds: float
    gateway_cpu: float | None
    gateway_memory_bytes: int | None
    gateway_memory_peak_bytes: int | None
    client_cpu: float
    client_lag: Delay
    others_cpu: float | None
    lanes: list[LaneRow]


class Moment(Strict):
    at_s: float
    gateway_memory_bytes: int | None
    gateway_cpu: float | None
    p99_us: dict[str, float]


class Account(Strict):
    received: int
    lost: int
    missing: int
    repeated: int


class Comeback(Strict):
    dropped: int
    back: Delay
    whole: Delay
    again: int
    refused: dict[str, int]


class Document(Strict):
    format: int
    wsprism: str
    scenario: str
    ok: bool
    problems: list[str]
    warnings: list[str]
    summary: list[str]
    clients: int
    workers: int
    own_gateway: bool
    gateway_cores: list[int]
    load_cores: list[int]
    connects: Connects
    phases: list[Phase]
    samples: list[Moment]
    accounts: list[Account]
    closed: dict[str, int]
    errors: dict[str, int]
    reconnects: int
    returns: Comeback | None
    sessions_left: int | None


def parsed(text: str) -> Document:
    return Document.model_validate_json(text)


# ------------------------------------------------------- every scenario, one gateway

TINY: dict[str, Wishes] = {
    "echo": Wishes(duration=0.4, clients=3),
    "fanout": Wishes(duration=0.4, clients=12, rate=40),
    "flood": Wishes(duration=2.0, clients=24, rate=40),
    # More than the readers take and their lanes hold.
    "slow": Wishes(duration=0.6, clients=2, rate=3_000, size=100),
    "storm": Wishes(duration=0.2, clients=60),
    "resume": Wishes(duration=1.5, clients=60, rate=40),
    "history": Wishes(duration=0.8, clients=12),
    "soak": Wishes(duration=1.0, clients=8),
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Run all scenarios side by side."""

    async def run() -> dict[str, Result]:
        plugins, at_once = ("chat", "game", "market"), asyncio.Semaphore(3)
        async with own_gateway(plugins, 50, ()) as gateway:

            async def measure(name: str, workers: int) -> Result:
                setting = Setting(
                    target=replace(gateway.target, ticket=f"dev:{name}{{n}}"),
                    plugins=(),
                    quotes_per_s=0,
                    workers=workers,
                )
                plan = SCENARIOS[name].make(TINY[name])
                if name == "slow":
                    *fast, slow = plan.groups
                    slow = replace(slow, bytes_per_s=200_000)
                    plan = replace(plan, groups=(*fast, slow))
                async with at_once:
                    return await conduct(plan, setting, lambda progress: None)

            measured = await asyncio.gather(
                *(measure(name, 2 if name == "flood" else 1) for name in TINY)
            )
        return dict(zip(TINY, measured, strict=True))

    return asyncio.run(run())


@pytest.mark.parametrize("name", TINY)
def test_a_scenario_runs_and_nothing_is_wrong(
    name: str, results: dict[str, Result]
) -> None:
    result = results[name]
    judge(result)
    assert result.problems == []
    assert result.errors == {}
    assert result.summary
    told = parsed(json.dumps(result.to_json()))
    assert (told.scenario, told.ok, told.own_gateway) == (name, True, False)


@pytest.mark.parametrize("name", TINY)
def test_every_stream_flows_and_its_delays_are_known(
    name: str, results: dict[str, Result]
) -> None:
    for phase in results[name].phases:
        for one in phase.measured:
            assert one.delays.count > 0
            assert 0 < one.delays.quantile(0.5) <= one.delays.max < 20e9
            assert one.counts is not None


def test_an_echo_sends_as_much_as_it_receives(results: dict[str, Result]) -> None:
    for phase in results["echo"].phases:
        (one,) = phase.measured
        # What was under way at the beginning and at the end.
        assert abs(one.sent - one.received) <= 2 * results["echo"].clients


def test_a_fanout_delivers_to_everybody(results: dict[str, Result]) -> None:
    for phase in results["fanout"].phases:
        (one,) = phase.measured
        # What was under way at the beginning and at the end: a few, for 12 members.
        assert abs(one.received - 12 * one.sent) <= 12 * 20


def test_input_comes_whatever_floods(results: dict[str, Result]) -> None:
    for phase in results["flood"].phases:
        assert phase.of("game").sent > 0
    assert results["flood"].phase("flood").of("chat").received > 100


def test_slow_readers_are_told_of_what_they_miss(results: dict[str, Result]) -> None:
    accounts = results["slow"].accounts
    assert len(accounts) == 2
    for account in accounts:
        assert account.received > 0
        assert account.lost > 0
        assert (account.missing, account.repeated) == (0, 0)


def test_a_storm_counts_its_connections(results: dict[str, Result]) -> None:
    connects = results["storm"].connects
    assert connects.count == connects.connect.count == connects.join.count == 60


def test_all_whose_connections_dropped_come_back_whole(
    results: dict[str, Result],
) -> None:
    result = results["resume"]
    assert result.returns is not None
    assert result.returns.dropped == 60
    assert result.returns.back.count == result.returns.whole.count == 60
    assert len(result.accounts) == 60
    # One room: each has had every message of it, before and after.
    assert len({account.received for account in result.accounts}) == 1
    for account in result.accounts:
        assert (account.lost, account.missing, account.repeated) == (0, 0, 0)


def test_pages_come_beside_what_is_live(results: dict[str, Result]) -> None:
    paging = results["history"].phase("paging")
    assert paging.of("pages").received > 3
    chat = paging.of("chat")
    # What was under way at the beginning and at the end.
    assert abs(chat.received - 12 * chat.sent) <= 12 * 20


def test_passers_by_come_back(results: dict[str, Result]) -> None:
    assert results["soak"].reconnects > 0


# ---------------------------------------------------------------- a gateway of its own


def test_it_prints_one_json_document_and_draws(tmp_path: Path) -> None:
    plot = tmp_path / "flood.svg"
    arguments = ("--clients", "8", "--duration", "2.0", "--plot", str(plot), "--json")
    with wsprism("bench", *arguments, env=environment(WSPRISM_PLUGINS="no")) as process:
        out, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors
    told = parsed(out)
    assert (told.scenario, told.ok, told.clients) == ("flood", True, 8)
    assert told.sessions_left == 0
    calm, flood = told.phases
    assert {row.lane for row in calm.lanes} == {"control", "realtime", "market"}
    assert {row.lane for row in flood.lanes} >= {"interactive"}
    assert flood.gateway_cpu is not None
    assert flood.gateway_memory_bytes
    assert "flood: connecting 8 clients\n" in errors
    assert "<!-- interactive (chat), flood -->" in plot.read_text(encoding="utf-8")


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = os.openpty()
    yield ours, theirs
    os.close(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_whatever_ends_it_ends_what_it_started(
    name: str, terminal: tuple[int, int]
) -> None:
    number = signal.Signals[name]
    ours, theirs = terminal
    environ = environment(TERM="xterm-256color", COLUMNS="90", NO_COLOR="")
    options: dict[str, Any] = {"stderr": theirs, "env": environ}
    with wsprism("bench", "flood", "--clients", "10", **options) as process:
        os.close(theirs)
        shown = b""
        while b"calm" not in shown:
            shown += os.read(ours, 4096)
        started = children_of(process.pid)
        process.send_signal(number)
        out = process.communicate(timeout=30)[0]
    _, alive = psutil.wait_procs(started, timeout=20)
    # The gateway, the load, and the process of those who are apart.
    assert (len(started), alive, out) == (3, [], "")
    assert "wsprism bench flood - Ctrl-C ends it" in shown.decode()
    if name != "SIGKILL":
        assert process.returncode == 1
        assert b"error: interrupted" in os.read(ours, 65_536)


async def test_a_gateway_that_ends_in_the_middle_is_an_error() -> None:
    setting = Setting(target=None, plugins=("chat", "game"), quotes_per_s=5, workers=1)
    plan = SCENARIOS["echo"].make(Wishes(duration=30))

    def kill(progress: Progress) -> None:
        if progress.doing == "chat":
            for child in children_of(os.getpid()):
                if "wsprism_cli.bench.gateway" in child.cmdline():
                    child.kill()

    with pytest.raises(LoadError, match=r"gateway (ended|closed)"):
        await conduct(plan, setting, kill)


async def test_a_gateway_that_does_not_start_says_why() -> None:
    setting = Setting(target=None, plugins=("chat", "nope"), quotes_per_s=5, workers=1)
    with pytest.raises(LoadError, match="no plugin 'nope' is installed"):
        await conduct(SCENARIOS["echo"].make(Wishes()), setting, lambda progress: None)


@asynccontextmanager
async def another_gateway(tmp_path: Path) -> AsyncIterator[tuple[Any, Setting]]:
    """Run a gateway that the bench knows by its address alone."""
    config = tmp_path / "wsprism.yaml"
    config.write_text(json.dumps(configuration(("chat", "game"), 5)))
    options = ("--config", str(config), "--dev", "--plugins", "chat,game")
    with wsprism("run", *options) as process:
        (line,) = read_until("listening", process.stdout)
        target = target_of(line.split()[1], None, "dev:b{n}")
        yield process, Setting(target=target, plugins=(), quotes_per_s=0, workers=1)
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.skipif(sys.platform == "win32", reason="there a signal drains nothing")
async def test_a_gateway_that_closes_sessions_fails_the_run(tmp_path: Path) -> None:
    """The gateway drains, and says so with 1001."""
    async with another_gateway(tmp_path) as (process, setting):

        def drain(progress: Progress) -> None:
            if progress.doing == "game":
                process.terminate()

        plan = SCENARIOS["echo"].make(Wishes(duration=1.0, clients=2))
        result = await conduct(plan, setting, drain)
    judge(result)
    assert "2 connections were closed, code 1001" in result.problems


async def test_a_refusal_is_told_in_the_gateways_words(tmp_path: Path) -> None:
    async with another_gateway(tmp_path) as (_, setting):
        assert setting.target is not None
        wrong = replace(setting, target=replace(setting.target, ticket="wrong-{n}"))
        plan = SCENARIOS["echo"].make(Wishes())
        with pytest.raises(LoadError, match=r"refused the connection: .* 401") as error:
            await conduct(plan, wrong, lambda progress: None)
    assert "wrong-" not in str(error.value)


# ----------------------------------------------------------------------------- usage


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["bench", *arguments])
    assert result.stdout == ""
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["storms"], "is not one of"),
        (["flood", "--clients", "1"], "flood needs at least 2 clients"),
        (["--duration", "0"], "'--duration'"),
        (["--size", "3"], "'--size'"),
        (["echo", "--plugins", "chat"], "'--plugins': the scenario needs game too"),
        (["--url", "http://x"], "'--url': must begin with ws:// or wss://"),
        (["--tenant", "acme"], "--tenant goes with --url"),
        (["--url", "ws://x", "--plugins", "chat"], "--plugins goes with a gateway"),
        (["--plot", "x.pdf"], "error: x.pdf must end in .svg or .png"),
    ],
)
def test_usage_errors_exit_2(arguments: list[str], text: str) -> None:
    code, errors = invoke(*arguments)
    assert code == 2
    assert text in errors


def test_where_nobody_listens_it_exits_1() -> None:
    code, errors = invoke("echo", "--url", "ws://127.0.0.1:1")
    assert code == 1
    assert errors.splitlines()[-1].startswith("error: nothing answers on 127.0.0.1:1: ")
    assert "starting the gateway" not in errors


def test_what_the_gateway_lacks_is_said() -> None:
    run = ("run", "--plugins", "chat", "--port", "0", "--log-json")
    with wsprism(*run, env=environment()) as process:
        assert process.stderr is not None
        entries = map(json.loads, process.stderr)
        url = next(one["address"] for one in entries if one["event"] == "listening")
        code, errors = invoke("echo", "--url", url)
        process.terminate()
    assert code == 1
    said = "the gateway has no service game, which this scenario needs"
    assert errors.splitlines()[-1] == f"error: {said}"


def test_the_load_keeps_away_from_the_gateways_core() -> None:
    assert divide_cores([3, 1, 2]) == ((1,), (2, 3))
    assert divide_cores([0]) == ((), ())
    assert divide_cores([]) == ((), ())


def test_only_what_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from wsprism_cli.main import cli; cli.get_command(None, 'bench');"
        "assert not {'asyncio', 'psutil', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
