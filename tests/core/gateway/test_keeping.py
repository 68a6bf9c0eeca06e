"""Where rooms are kept, and what senders learn of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.json_values import values
from support.late_store import LateStore
from support.waiting import until
from wsprism_core import (
    Actions,
    Broadcast,
    Envelope,
    Inbound,
    Outbound,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.config import HistoryConfig, KeptRooms
from wsprism_core.gateway.egress import BESIDE_DATA, TIMES_JSON
from wsprism_core.gateway.keeping import history_store, plugin_state
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import NewMessage
from wsprism_core.history.sqlite import SqliteStore
from wsprism_core.protocol.codecs import CODECS, JSON, MAX_OUTBOUND_DEPTH
from wsprism_core.protocol.envelope import numbered
from wsprism_core.protocol.layout import MAX_SAFE_INTEGER
from wsprism_core.realtime.wire import Outgoing, Wire
from wsprism_core.state.port import StateBounds, StateFull
from wsprism_core.testing import GatewayHarness, VirtualClock, config_with
from wsprism_core.transports.framed import TcpFraming
from wsprism_core.transports.frames import WebSocketFraming

TOLD = {"msg": "hi"}


def test_history_is_in_memory_unless_there_is_a_file(tmp_path: Path) -> None:
    assert isinstance(
        history_store(HistoryConfig(), str, dedup=1, quiet_ms=1), MemoryStore
    )
    config = HistoryConfig(file=str(tmp_path / "h.db"))
    assert isinstance(history_store(config, str, dedup=1, quiet_ms=1), SqliteStore)


def test_the_first_class_that_fits_says_how_much_is_kept() -> None:
    config = HistoryConfig(
        messages=5,
        classes=(
            KeptRooms(rooms="team-1", messages=1),
            KeptRooms(rooms="team-*", messages=2),
        ),
    )
    store = history_store(config, lambda: "e", dedup=1, quiet_ms=1)

    def kept(name: str) -> int:
        room = store.open("acme", name)
        for n in range(9):
            room.append(NewMessage(n, "chat", "msg", n), lambda seq: None)
        return len(room.read(limit=9))

    assert [kept(name) for name in ("team-1", "team-2", "lobby")] == [1, 2, 5]


def test_each_plugin_has_a_state_of_its_own_and_what_is_too_much_is_counted() -> None:
    refused: Counter[str] = Counter()
    state_of = plugin_state(None, StateBounds(1, 9), refused)
    chat, party = state_of("chat"), state_of("party")
    chat.put("a", b"1")
    assert party.get("a") is None
    with pytest.raises(StateFull):
        chat.put("b", b"2")
    assert refused == {"chat": 1}


async def test_state_outlives_the_gateway_where_history_has_a_file(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    config = config_with(
        gateway={
            "history": {"file": str(tmp_path / "h.db")},
            "max_state_items": 2,
            "max_state_bytes": 3,
        }
    )
    async with gateway("chat", config=config) as gw:
        gw.api.state.put("gone", b"1")
        gw.api.state.put("kept", b"2")
        gw.api.state.delete("gone")
        gw.api.state.put("kept", b"3")
        assert gw.api.state is gw.api.state
    async with gateway("chat", config=config) as gw:
        assert list(gw.api.state.items()) == [("kept", b"3")]
        gw.api.state.put("more", b"4")
        for key, value in ("full", b"5"), ("kept", b"long"):
            with pytest.raises(StateFull):
                gw.api.state.put(key, value)
        assert gw.metrics.state_refused == {"chat": 2}
    async with gateway("chat", config=config_with()) as gw:
        assert list(gw.api.state.items()) == []


class Durable:
    """A gateway whose store waits to be told, and two members of its lobby."""

    def __init__(
        self,
        harness: type[GatewayHarness],
        plugin: object = "chat",
        **config: Any,
    ) -> None:
        clock = VirtualClock()
        self.store = LateStore()
        self.gw = harness(
            plugin,
            config=config_with(**config),
            clock=clock,
            backplane=MemoryBackplane(clock, self.store),
        )


async def test_what_is_acknowledged_is_stored(gateway: type[GatewayHarness]) -> None:
    durable = Durable(gateway)
    async with durable.gw as gw, gw.connect("ann") as ann, gw.connect("bob") as bob:
        await ann.join("lobby")
        await bob.join("lobby")
        await gw.advance(1)
        await ann.read_all()
        await bob.read_all()
        ref = await ann.send("chat", "send", TOLD, room="lobby", ack=True)
        await gw.settle()
        ann.expect_nothing()
        bob.expect_nothing()
        durable.store.commit()
        said = await bob.expect_push("chat.msg")
        assert (said["seq"], said["data"]["msg"]) == (1, "hi")
        await ann.expect_push("chat.msg")
        ack = await ann.expect_reply(ref)
        assert (ack["type"], ack["data"]["seq"]) == ("ack", 1)
        # What came into the room meanwhile begins behind what was stored.
        assert (await bob.join("lobby"))["data"]["seq"] == 1


@pytest.mark.parametrize("ack", [True, False])
async def test_what_cannot_be_stored_is_told_to_its_sender(
    gateway: type[GatewayHarness], ack: bool
) -> None:
    durable = Durable(gateway)
    async with durable.gw as gw, gw.connect("ann") as ann, gw.connect("bob") as bob:
        await ann.join("lobby")
        await bob.join("lobby")
        await gw.advance(1)
        await bob.read_all()
        ref = await ann.send("chat", "send", TOLD, room="lobby", ack=ack)
        durable.store.fail()
        error = await ann.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        assert error["retry_after_ms"] > 0
        bob.expect_nothing()
        ref = await ann.send("chat", "send", TOLD, room="lobby", ack=True)
        durable.store.commit()
        assert (await ann.expect_reply(ref))["data"]["seq"] == 1
        assert list(gw.complaints()) == []


async def test_a_store_that_is_full_refuses(gateway: type[GatewayHarness]) -> None:
    durable = Durable(gateway)
    async with durable.gw as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        durable.store.is_full = True
        ref = await ann.send("chat", "send", TOLD, room="lobby")
        await ann.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        assert list(gw.complaints()) == []


async def test_what_could_not_be_sent_is_not_stored(
    gateway: type[GatewayHarness],
) -> None:
    durable = Durable(
        gateway, gateway={"lanes": {"interactive": {"max_message_bytes": 300}}}
    )
    async with durable.gw as gw, gw.connect("ann") as ann:
        await ann.join("lobby")
        await ann.send("chat", "send", {"msg": "x" * 400}, room="lobby")
        await ann.expect_error("PAYLOAD_TOO_LARGE")
        assert not durable.store.pending


class Teller:
    """Tells a room what a test wants told."""

    wsprism_api = 1
    name = "teller"

    def __init__(self) -> None:
        self.told: object = None

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="teller",
            inbound=(Inbound(name="tell", room=RoomRule.MEMBER),),
            outbound=(Outbound(name="told", recoverable=True),),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        return Broadcast("told", self.told)


def nested(levels: int) -> list[object]:
    made: list[object] = []
    for _ in range(levels - 1):
        made = [made]
    return made


NEVER_SENT = {
    "a level too deep": nested(MAX_OUTBOUND_DEPTH),
    "bytes": b"x",
    "a key that is no text": {1: 2},
    "no number": float("nan"),
    "too large": "x" * 140_000,
    "too large in one of the codecs": [0.0] * 20_000,
}


@pytest.mark.parametrize("case", NEVER_SENT)
async def test_what_no_codec_could_send_is_not_stored(
    gateway: type[GatewayHarness], case: str
) -> None:
    teller = Teller()
    durable = Durable(gateway, teller)
    async with durable.gw as gw, gw.connect("ann", codec="msgpack") as ann:
        await ann.join("lobby")
        # The deepest that can be.
        for teller.told in (nested(MAX_OUTBOUND_DEPTH - 1), [0.0] * 100):
            await ann.send("teller", "tell", room="lobby")
            durable.store.commit()
            await ann.expect_push("teller.told")
        teller.told = NEVER_SENT[case]
        await ann.send("teller", "tell", room="lobby")
        await ann.expect_error("PAYLOAD_TOO_LARGE" if "large" in case else "INTERNAL")
        assert not durable.store.pending


LONGEST = "x" * 128


@given(values | st.lists(st.floats(allow_nan=False, allow_infinity=False)))
@example([0.0] * 5_000)
def test_no_codec_takes_more_than_is_reckoned_with(data: Any) -> None:
    reckoned = BESIDE_DATA + TIMES_JSON * len(JSON.encode({"data": data}))
    envelope = numbered(
        LONGEST, LONGEST, LONGEST, MAX_SAFE_INTEGER, MAX_SAFE_INTEGER, data
    )
    for codec in CODECS.values():
        for framing in (WebSocketFraming(), TcpFraming()):
            form = Outgoing(0, envelope=envelope).form(Wire(codec, framing))
            assert form.size < reckoned


async def test_a_sender_that_is_gone_is_told_nothing(
    gateway: type[GatewayHarness],
) -> None:
    durable = Durable(gateway)
    async with durable.gw as gw, gw.connect("bob") as bob:
        async with gw.connect("ann") as ann:
            await ann.join("lobby")
            await bob.join("lobby")
            for _ in range(2):
                await ann.send("chat", "send", TOLD, room="lobby", ack=True)
        await gw.settle()
        durable.store.pending.popleft()(False)
        durable.store.commit()
        assert (await bob.expect_push("chat.msg"))["seq"] == 1
        assert list(gw.complaints()) == []


async def test_a_room_goes_on_after_a_restart(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    file = {"file": str(tmp_path / "history.db")}
    config = config_with(gateway={"history": file})
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        joined = await ann.join("lobby")
        for n in range(3):
            await ann.send("chat", "send", {"msg": f"m{n}"}, room="lobby")
        async with asyncio.timeout(10):
            # The file is written by a thread, in its own time.
            while len(ann.unread) < 3:
                await gw.settle()
        where = {"epoch": joined["data"]["epoch"], "seq": 1}
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        again = await ann.request("room", "join", where, room="lobby")
        assert again["data"]["recovered"] is True
        assert again["data"]["n"] > joined["data"]["n"]
        for seq in (2, 3):
            assert (await ann.expect_push("chat.msg"))["seq"] == seq


async def test_what_grew_too_old_in_a_quiet_room_is_not_promised(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    file = tmp_path / "h.db"
    config = config_with(gateway={"history": {"file": str(file)}})
    async with gateway("chat", config=config) as gw, gw.connect("ann") as ann:
        joined = (await ann.join("lobby"))["data"]
        for _ in range(3):
            await ann.send("chat", "send", TOLD, room="lobby")
        assert await until(lambda: gw.metrics.history["stored"] == 3)
        await ann.read_all()

        async def catch_up(seq: int) -> tuple[str | None, int]:
            since = {"epoch": joined["epoch"], "seq": seq}
            told = await ann.request("room", "join", since, room="lobby")
            return told["data"].get("reason"), len(await ann.read_all())

        def sweep(seq: int) -> None:
            """Forget, as the store does by itself, of rooms that are open as well."""
            with closing(sqlite3.connect(file)) as db, db:
                db.execute("DELETE FROM messages WHERE seq <= ?", (seq,))

        assert await catch_up(0) == (None, 3)
        sweep(1)
        assert [await catch_up(seq) for seq in (0, 1)] == [("too_old", 0), (None, 2)]
        sweep(3)
        assert [await catch_up(seq) for seq in (2, 3)] == [("too_old", 0), (None, 0)]
