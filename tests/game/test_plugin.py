from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from wsprism_core import (
    BroadcastFrame,
    Delivery,
    Gateway,
    HotFrame,
    ProtocolError,
    PushFrame,
    RoomRule,
    Session,
)
from wsprism_game.gameplay.manifest import manifest
from wsprism_game.gameplay.plugin import GamePlugin


class FakeGateway:
    def __init__(self) -> None:
        self.counted: list[str] = []

    def now(self) -> float:
        return 2.0

    def count(self, counter: str, amount: int = 1) -> None:
        self.counted += [counter] * amount


@dataclass
class FakeSession:
    id: str
    tenant: str = "acme"
    numbers: dict[str, int] = field(default_factory=dict)

    def number_in(self, room: str) -> int:
        return self.numbers[room]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def plugin(gateway: FakeGateway) -> GamePlugin:
    plugin = GamePlugin()
    plugin.on_start(cast("Gateway", gateway))
    return plugin


def send(plugin: GamePlugin, session: FakeSession, frame: HotFrame) -> Any:
    return plugin.on_binary(cast("Session", session), frame)


def frame(opcode: int, room: str | None, seq: int | None = None) -> HotFrame:
    return HotFrame(1, opcode, 0, b"\1\0\0\0\0\0\0\0", seq=seq, room=room)


def test_a_frame_carries_the_senders_number_in_its_room(plugin: GamePlugin) -> None:
    ann = FakeSession("s1", numbers={"arena": 3, "lobby": 8})
    payload = frame(2, "lobby").payload
    assert send(plugin, ann, frame(2, "lobby")) == BroadcastFrame(2, payload, sender=8)


def test_an_old_input_is_counted_and_goes_nowhere(
    plugin: GamePlugin, gateway: FakeGateway
) -> None:
    ann = FakeSession("s1", numbers={"arena": 3})
    assert send(plugin, ann, frame(1, "arena", seq=5)) is not None
    assert gateway.counted == []
    assert send(plugin, ann, frame(1, "arena", seq=5)) is None
    assert gateway.counted == ["game_stale_inputs"]
    assert gateway.counted == list(manifest().counters)


def test_who_left_a_room_counts_anew_in_it(plugin: GamePlugin) -> None:
    ann = FakeSession("s1", numbers={"arena": 3})
    send(plugin, ann, frame(1, "arena", seq=5))
    plugin.on_leave(cast("Session", ann), "arena")
    assert send(plugin, ann, frame(1, "arena", seq=1)) is not None


def test_tenants_are_apart(plugin: GamePlugin) -> None:
    for tenant in ("acme", "evil"):
        session = FakeSession("s1", tenant, {"arena": 3})
        assert send(plugin, session, frame(1, "arena", seq=5)) is not None


@pytest.mark.parametrize("opcode", [1, 2, 16])
def test_a_frame_for_no_room_is_refused(plugin: GamePlugin, opcode: int) -> None:
    with pytest.raises(ProtocolError, match="BAD_REQUEST"):
        send(plugin, FakeSession("s1"), frame(opcode, None))


def test_clock_needs_no_room(plugin: GamePlugin) -> None:
    answer = send(plugin, FakeSession("s1"), frame(5, None))
    payload = frame(5, None).payload + (2_000_000).to_bytes(8, "little")
    assert answer == PushFrame(5, payload, session="s1", key=0)


def test_the_manifest_has_the_names_on_the_wire() -> None:
    service = GamePlugin().register_services()
    assert (service.name, service.svc_id, service.lane) == ("game", 1, "realtime")
    opcodes = {opcode.number: opcode for opcode in service.opcodes}
    assert sorted(opcodes) == [1, 2, 3, 4, 5, *range(16, 256)]
    assert [opcodes[n].name for n in range(1, 6)] == [
        *("INPUT", "EVENT", "SNAPSHOT", "DELTA", "CLOCK")
    ]
    assert {n for n, op in opcodes.items() if not op.inbound} == {3, 4}
    assert {n for n, op in opcodes.items() if op.room is RoomRule.NONE} == {5}
    latest = {n for n, op in opcodes.items() if op.delivery is Delivery.LATEST}
    assert latest == {1, 3, 4, 5}
    others = {op.delivery for n, op in opcodes.items() if n not in latest}
    assert others == {Delivery.RELIABLE}
