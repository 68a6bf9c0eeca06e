from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wsprism_core import (
    Actions,
    Broadcast,
    Delivery,
    Envelope,
    EventLog,
    Gateway,
    JoinRoom,
    Push,
    RoomRule,
    Session,
    Timer,
)
from wsprism_market.config import FileConfig, MarketConfig, RandomWalkConfig
from wsprism_market.manifest import BAD_LINES, MARKET, QUOTES, REFUSED_QUOTES
from wsprism_market.plugin import MarketPlugin


class FakeTimer:
    def cancel(self) -> None:
        """Nothing runs by itself here."""


class FakeGateway:
    """As much of a gateway as the plugin asks for."""

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.log = EventLog("plugins.market")
        self.seconds = 50.0
        self.performed: list[tuple[str, Any]] = []
        self.counted: Counter[str] = Counter()
        self.work: list[Callable[[], None]] = []

    def now(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return 0xABCDEF

    def perform(self, actions: Actions, *, tenant: str) -> None:
        assert isinstance(actions, list)
        self.performed += [(tenant, action) for action in actions]

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        self.work.append(work)
        return FakeTimer()

    def count(self, counter: str, amount: int = 1) -> None:
        assert counter in MARKET.counters
        self.counted[counter] += amount

    def pass_on(self, seconds: float) -> None:
        self.seconds += seconds
        (work,) = self.work
        self.work.clear()
        work()


class Rig:
    def __init__(self, config: MarketConfig) -> None:
        self.gateway = FakeGateway(config)
        self.plugin = MarketPlugin()
        self.plugin.on_start(cast("Gateway", self.gateway))

    def subscribe(self, session: Session, *names: str) -> list[Any]:
        data = {"symbols": list(names)}
        actions = self.plugin.on_message(
            session, Envelope("market", "subscribe", data=data)
        )
        assert isinstance(actions, list)
        return actions


def session(name: str, tenant: str = "acme") -> Session:
    return cast("Session", SimpleNamespace(id=name, tenant=tenant))


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """Return events and their fields; all are in the gateway's own log."""
    assert {record.name for record in caplog.records} <= {"wsprism.plugins.market"}
    return [(record.msg, record.__dict__["fields"]) for record in caplog.records]


WALK = MarketConfig(source=RandomWalkConfig(symbols=["A", "B"], per_second=10))


def test_manifest() -> None:
    assert MarketPlugin.wsprism_api == 1
    manifest = MarketPlugin().register_services()
    assert (manifest.name, manifest.svc_id, manifest.lane) == ("market", 4, "market")
    assert manifest.config is MarketConfig
    assert {each.name for each in manifest.inbound} == {"subscribe", "unsubscribe"}
    assert {each.room for each in manifest.inbound} == {RoomRule.NONE}
    latest = {each.name for each in manifest.outbound if each.delivery != "reliable"}
    assert latest == {"ticker"}
    # One lane for all of it, so that a snapshot is never behind its updates.
    assert {each.lane for each in manifest.inbound} == {None}
    assert {each.lane for each in manifest.outbound} == {None}
    assert manifest.outbound[-1].delivery is Delivery.LATEST


def test_out_of_the_box_there_is_a_ticker() -> None:
    rig = Rig(MarketConfig())
    symbols = RandomWalkConfig().symbols
    *_, live = rig.subscribe(session("s1"), "*")
    assert live == Push("live", {"symbols": symbols}, session="s1")
    rig.gateway.pass_on(1)
    assert len(rig.gateway.performed) == 5
    for tenant, action in rig.gateway.performed:
        assert tenant == "acme"
        assert isinstance(action, Broadcast)
        assert action.key in symbols


def test_the_epoch_is_that_of_the_start() -> None:
    rig = Rig(WALK)
    actions = rig.subscribe(session("s1"), "A")
    assert actions[2].data["epoch"] == "abcdef"
    assert actions[2].data["ts"] == 0xABCDEF


def test_tenants_are_told_the_same_apart() -> None:
    rig = Rig(WALK)
    rig.subscribe(session("s1", "acme"), "*")
    rig.subscribe(session("s2", "other"), "*")
    rig.subscribe(session("s3", "idle"), "NEW")
    rig.gateway.pass_on(0.1)
    (one, first), (two, second) = rig.gateway.performed
    assert (one, two) == ("acme", "other")
    assert first == second


def test_sessions_of_one_tenant_are_not_another_s() -> None:
    rig = Rig(WALK)
    rig.subscribe(session("s1", "acme"), "*")
    rig.plugin.on_close(session("s1", "other"))
    rig.gateway.pass_on(0.1)
    assert len(rig.gateway.performed) == 1


def test_a_session_of_a_new_tenant_may_end_meanwhile() -> None:
    rig = Rig(WALK)
    rig.subscribe(session("s1", "acme"), "*")
    perform = rig.gateway.perform

    def perform_and_close(actions: Actions, *, tenant: str) -> None:
        perform(actions, tenant=tenant)
        rig.plugin.on_close(session("s2", "new"))

    rig.gateway.perform = perform_and_close  # type: ignore[method-assign]
    rig.gateway.pass_on(1)
    assert len(rig.gateway.performed) == 10


def test_a_closed_session_is_told_nothing() -> None:
    rig = Rig(WALK)
    rig.subscribe(session("s1"), "*")
    assert rig.plugin.on_close(session("s1")) is None
    rig.gateway.pass_on(1)
    assert rig.gateway.performed == []


@pytest.mark.parametrize(
    ("room", "answer"),
    [("market:A", False), ("market:", False), ("lobby", None), ("markets:A", None)],
)
def test_clients_do_not_join_a_symbol_s_room(room: str, answer: bool | None) -> None:
    assert MarketPlugin().check_join(room) is answer


def test_a_recording_is_played(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "day.csv"
    path.write_text("ts,symbol,bid,ask,last\n1,A,1,1,1\nnonsense\n501,A,1,1,2\n")
    rig = Rig(MarketConfig(source=FileConfig(kind="file", path=str(path))))
    rig.subscribe(session("s1"), "A")
    assert rig.gateway.counted == {QUOTES: 1, BAD_LINES: 1}
    assert logged(caplog) == [
        (
            "bad_line_skipped",
            {"where": f"{path}:3", "reason": "1 columns instead of 5"},
        )
    ]
    rig.gateway.pass_on(0.5)
    ((_, action),) = rig.gateway.performed
    assert (action.data["last"], action.data["seq"]) == (2, 2)


def test_a_recording_that_is_not_there_refuses_to_start(tmp_path: Path) -> None:
    path = str(tmp_path / "day.csv")
    with pytest.raises(FileNotFoundError):
        Rig(MarketConfig(source=FileConfig(kind="file", path=path)))


def test_a_symbol_too_many_is_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = RandomWalkConfig(symbols=["A", "B", "C"], per_second=10)
    rig = Rig(MarketConfig(source=source, max_symbols=1))
    rig.subscribe(session("s1"), "*")
    rig.gateway.pass_on(3)
    taken, refused = rig.gateway.counted[QUOTES], rig.gateway.counted[REFUSED_QUOTES]
    assert taken + refused == 33
    assert refused > 10
    told = {"symbol": "B", "max_symbols": 1, "further": "counted"}
    assert logged(caplog) == [("no_room_for_symbol", told)]
    assert {action.key for _, action in rig.gateway.performed} == {"A"}


def test_a_new_symbol_is_begun_for_those_who_wait(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("ts,symbol,bid,ask,last\n1,A,1,1,1\n1001,B,1,1,1\n")
    rig = Rig(MarketConfig(source=FileConfig(kind="file", path=str(path))))
    rig.subscribe(session("s1"), "B")
    rig.gateway.pass_on(1)
    joined, shown, live = (action for _, action in rig.gateway.performed)
    assert joined == JoinRoom("s1", "market:B", quiet=True)
    assert shown.data["symbol"] == "B"
    assert live == Push("live", {"symbols": ["B"]}, session="s1")


def test_stop() -> None:
    rig = Rig(WALK)
    rig.subscribe(session("s1"), "*")
    rig.plugin.on_stop()
    rig.gateway.pass_on(1)
    assert rig.gateway.performed == []
