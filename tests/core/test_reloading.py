from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.services import Lab
from support.waiting import until
from wsprism_core.options import RunOptions
from wsprism_core.plugins import PluginSet
from wsprism_core.reloading import Outcome, Reloading
from wsprism_core.settings.loading import configuration
from wsprism_core.testing import GatewayHarness

FILE = """\
version: 1
gateway: {max_strikes: %s, listen: "127.0.0.1:%s"}
tenants:
  - id: default
    policy: {ext_allowlist: %s}
"""


class Stage:
    """A gateway that was started with a file, and what reloads it."""

    def __init__(self, gw: GatewayHarness, file: Path, options: RunOptions) -> None:
        self.gw = gw
        self.file = file
        self.reloading = Reloading(options, gw.gateway)

    def write(self, strikes: Any = 10, port: int = 1, patterns: str = "[]") -> None:
        self.file.write_text(FILE % (strikes, port, patterns))

    @property
    def strikes(self) -> int:
        return self.gw.gateway.config.gateway.max_strikes

    def has(self, strikes: int) -> bool:
        return self.strikes == strikes

    @property
    def counted(self) -> dict[str, int]:
        return dict(self.gw.metrics.reloads)


@pytest.fixture
async def stage(gateway: type[GatewayHarness], tmp_path: Path) -> AsyncIterator[Stage]:
    file = tmp_path / "wsprism.yaml"
    file.write_text(FILE % (10, 1, "[]"))
    options = RunOptions(config=file)
    config = configuration(options, PluginSet.load([], extra=[Lab]))
    async with gateway(Lab(), config=config) as gw:
        yield Stage(gw, file, options)


def fields(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [
        (record.getMessage(), vars(record)["fields"])
        for record in caplog.records
        if record.name == "wsprism.reloading"
    ]


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsprism")


async def test_whatever_may_come_of_it_is_counted_from_0(stage: Stage) -> None:
    assert stage.gw.metrics.reloads.series() == dict.fromkeys(Outcome, 0)


async def test_what_the_file_says_holds(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.write(strikes=3, patterns="['nope:*']")
    done = await stage.reloading.reload()
    assert (done.outcome, stage.strikes) == (Outcome.APPLIED, 3)
    applied = [
        "gateway.max_strikes: 10 -> 3",
        'tenants[default].policy.ext_allowlist: [] -> ["nope:*"]',
    ]
    assert done.as_dict() == {
        "outcome": "applied",
        "applied": applied,
        "needs_restart": [],
        "problems": [],
    }
    ((event, told),) = fields(caplog)
    assert event == "reloaded"
    assert told["outcome"] == "applied"
    assert told["applied"] == applied
    assert "ext_allowlist has 'nope:*'" in told["warnings"][0]
    assert (await stage.reloading.reload()).outcome is Outcome.UNCHANGED
    assert stage.counted == {"applied": 1, "unchanged": 1}


async def test_what_needs_a_restart_is_told_and_left(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.write(strikes=3, port=2)
    for outcome in (Outcome.NEEDS_RESTART, Outcome.NEEDS_RESTART):
        assert (await stage.reloading.reload()).outcome is outcome
    assert stage.strikes == 3
    waiting = ['gateway.listen: "127.0.0.1:1" -> "127.0.0.1:2"']
    assert [told["needs_restart"] for _, told in fields(caplog)] == [waiting, waiting]
    assert {record.levelname for record in caplog.records[-2:]} == {"WARNING"}


async def test_a_file_that_is_wrong_changes_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    before = stage.gw.gateway.config
    stage.write(strikes="many")
    done = await stage.reloading.reload()
    told = ["line 2: gateway.max_strikes: Input should be a valid integer"]
    assert done.outcome is Outcome.REFUSED
    assert done.as_dict()["problems"] == told
    stage.file.unlink()
    assert "cannot be read" in (await stage.reloading.reload()).problems[0]
    assert stage.gw.gateway.config is before
    assert fields(caplog)[0] == ("reload_refused", {"problems": told})
    assert stage.counted == {"refused": 2}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"strict": True}, "no plugin that is loaded owns the service 'nope'"),
        ({"record": Path("x")}, "a recording is of one configuration"),
        ({"config": None}, "runs without a configuration file"),
    ],
)
async def test_what_a_gateway_does_not_take(
    stage: Stage, options: dict[str, Any], why: str
) -> None:
    stage.write(strikes=3, patterns="['nope:*']")
    given = {"config": stage.file, **options}
    done = await Reloading(RunOptions(**given), stage.gw.gateway).reload()
    assert done.outcome is Outcome.REFUSED
    assert why in done.problems[0]
    assert stage.strikes == 10


async def test_a_defect_of_ours_ends_nothing(
    stage: Stage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("sesame")

    stage.write(strikes=3)
    monkeypatch.setattr("wsprism_core.reloading.configuration", fail)
    done = await stage.reloading.reload()
    assert (done.outcome, done.problems) == (Outcome.REFUSED, ("failed: LookupError",))
    assert [event for event, _ in fields(caplog)] == [
        "reload_failed",
        "reload_refused",
    ]


async def test_a_line_of_the_log_is_bounded(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    more = "".join(f"  - id: t{n}\n" for n in range(60))
    stage.file.write_text(stage.file.read_text() + more)
    done = await stage.reloading.reload()
    assert len(done.report.applied) == 60
    (told,) = (told for event, told in fields(caplog) if event == "reloaded")
    assert len(told["applied"]) == 51
    assert told["applied"][-1] == "and 10 more"


async def test_each_time_that_somebody_asks(stage: Stage) -> None:
    asked = asyncio.Event()
    task = asyncio.ensure_future(stage.reloading.whenever(asked))
    for strikes in (3, 4):
        stage.write(strikes=strikes)
        asked.set()
        assert await until(partial(stage.has, strikes))
    assert stage.counted == {"applied": 2}
    task.cancel()
