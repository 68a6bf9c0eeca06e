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
from wsprism_game.gameplay.plugin import GamePlugin


class FakeGateway:
    def now(self) -> float:
        return 2.0


@dataclass
class FakeSession:
    id: str
    tenant: str = "acme"
    numbers: dict[str, int] = field(default_factory=dict)

    def number_in(self, room: str) -> int:
        return self.numbers[room]


@pytest.fixture
def plugin() -> GamePlugin:
    plugin = GamePlugin()
    plugin.on_start(cast("Gateway", FakeGateway()))
    return plugin


def send(plugin: GamePlugin, session: FakeSession, frame: HotFrame) -> Any:
    return plugin.on_binary(cast("Session", session), frame)


def frame(opcode: int, room: str | None, seq: int | None = None) -> HotFrame:
    return HotFrame(1, opcode, 0, b"\1\0\0\0\0\0\0\0", seq=seq, room=room)


def test_a_frame_carries_the_senders_number_in_its_room(plugin: GamePlugin) -> None:
    ann = FakeSession("s1", numbers={"arena": 3, "lobby": 8})
    payload = frame(2, "lobby").payload
    assert send(plugin, ann, frame(2, "lobby")) == BroadcastFrame(2, payload, sender=8)


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
    assert {n for n, op in opcodes.items() if op.drop_stale} == {1}
