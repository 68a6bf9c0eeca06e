"""A gateway on real sockets is recorded; the recording runs again, to the byte."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as websocket_connect

from support.recorded import Oracle, Recorded, Slow, kinds, recording, records
from wsprism_chat.conversation import Conversation
from wsprism_core import Envelope, ProtocolError, Session, hookimpl
from wsprism_core.client import Client, ClientError, ConnectionClosed, connect
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.recording.format import Kind
from wsprism_core.recording.replayer import Replay, ReplayedLink, ReplayError, replay
from wsprism_core.testing import config_with
from wsprism_game.gameplay.service import GameOpcode

SERVICES = ("chat", "game", "market", "party")
TEXT = "word " * 200
GATEWAY = {"ping_interval_ms": 80, "presence_batch_ms": 5, "drain_grace_ms": 50}
CONFIG = config_with(gateway=GATEWAY)
LONG = config_with(gateway=GATEWAY, plugins={"chat": {"max_length": 16_000}})
MARKET = config_with(
    gateway=GATEWAY,
    plugins={"market": {"source": {"kind": "random_walk", "per_second": 200.0}}},
)


async def again(path: Path, *plugins: object, config: Any = None) -> Replay:
    loaded = PluginSet.load(
        [one for one in plugins if isinstance(one, str)],
        extra=[one for one in plugins if not isinstance(one, str)],
    )
    return await replay(path, plugins=loaded, config=config or CONFIG)


async def play_together(ann: Client, bob: Client) -> None:
    """Use every service, and be wrong now and then."""
    alias = (await ann.join("r1"))["data"]["alias"]
    await bob.join("r1")
    for number in range(30):
        await ann.request("chat", "send", {"msg": f"m{number}"}, room="r1")
        await bob.send_frame(1, 1, bytes([number]), seq=number + 1, alias=alias)
        await ann.send_frame(1, 16, b"event", seq=number, alias=alias)
        await bob.send_frame(1, GameOpcode.CLOCK, bytes(8))
    await bob.request("chat", "history", {"limit": 5}, room="r1")
    await bob.request("market", "subscribe", {"symbols": ["BTC-USD", "E*"]})
    await ann.request("party", "create")
    await ann.request("party", "invite", {"user": "user:bob"})
    invite = await anext(bob.messages("party.invited"))
    await bob.request("party", "accept", {"party": invite.data["party"]})
    for svc, type, data in (
        ("chat", "send", {"msg": 7}),
        ("chat", "nothing", None),
        ("nobody", "x", None),
        ("oracle", "fail", None),
        ("oracle", "refuse", None),
    ):
        with pytest.raises(ClientError):
            await ann.request(svc, type, data)
    await ann.send_raw_text("{")
    await ann.send_raw_text('{"svc": "chat", "type": "send", "wrong": 1}')
    for question in range(5):
        said = await bob.request("oracle", "ask", {"q": question})
        assert said["data"]["answer"] == "yes"
    await bob.request("oracle", "tell")
    async for event in bob.messages("oracle.told"):
        if event.data == {"count": 2}:
            break
    await ann.request("sys", "ping", {"client_ts": 1})
    tickers = bob.messages("market.ticker")
    for _ in range(40):  # enough for a ping or two
        await anext(tickers)
    await bob.leave("r1")


async def test_everything_at_once_is_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "one.rec"
    async with recording(path, *SERVICES, Oracle(), config=MARKET) as live:
        async with (
            connect(live.ws, ticket="dev:ann", codec="json") as ann,
            connect(live.ws, ticket="key:bob", codec="msgpack") as bob,
            connect(live.tcp, ticket="dev:cleo", codec="msgpack") as cleo,
        ):
            await cleo.join("r1")
            with pytest.raises(ConnectionClosed):
                # Who is not let in is not recorded, and moves nothing on.
                async with connect(live.tcp, ticket="nobody"):
                    pass
            await play_together(ann, bob)
            await cleo.request("chat", "history", room="r1")
        async with connect(live.ws, ticket="dev:dan") as dan:
            await dan.join("r1")
            await live.gateway.drain()
            async for _ in dan.events():
                pass
    assert kinds(path) >= {
        Kind.OPEN,
        Kind.TEXT,
        Kind.BINARY,
        Kind.PONG,
        Kind.RESULT,
        Kind.ACTIONS,
        Kind.DRAIN,
        Kind.CLOSED,
        Kind.CLOSE,
    }
    # The oracle would say something else, were it asked.
    oracle = Oracle("no")
    result = await again(path, *SERVICES, oracle, config=MARKET)
    assert result.same, result
    assert result.warnings == ("plugin oracle failed in on_message: 1",)
    assert oracle.asked == 0
    assert result.ended == "closed"
    assert (result.sessions, result.inputs > 100) == (4, True)
    assert result.messages > 300


async def flood(live: Recorded, slow: Slow) -> None:
    """Fill a slow reader's socket while others talk, and let him read on."""
    async with connect(live.ws, ticket="dev:ann") as ann:
        await ann.join("r1")
        slow.send({"svc": "room", "type": "join", "room": "r1"})
        async for event in ann.messages("room.presence"):
            if event.data["joined"]:
                break
        text = "x" * 16_000
        while live.gateway.delivery.counters[3].lost < 20:
            await ann.request("chat", "send", {"msg": text}, room="r1")
        await ann.request("chat", "send", {"msg": "the end"}, room="r1")
        await slow.read_until(b"the end")


async def record_a_flood(path: Path) -> None:
    async with recording(path, "chat", config=LONG) as live:
        with closing(Slow(live.tcp, "slow")) as slow:
            await flood(live, slow)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_slow_reader_gets_the_same_again(tmp_path: Path, loop: str) -> None:
    path = tmp_path / "slow.rec"
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(record_a_flood(path))
    assert kinds(path) >= {Kind.FULL, Kind.RESUME}
    result = asyncio.run(again(path, "chat", config=LONG))
    assert result.same, result
    assert result.messages > 50


async def test_compressed_messages_are_compared_by_what_they_say(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deflate.rec"
    config = config_with(gateway={"deflate": {"enabled": True}})
    async with recording(path, "chat", config=config) as live:
        async with websocket_connect(f"{live.ws}/v1/ws?ticket=dev:ann") as ann:
            for message in (
                {"svc": "room", "type": "join", "room": "r1"},
                {"svc": "chat", "type": "send", "room": "r1", "data": {"msg": TEXT}},
            ):
                await ann.send(JSON.encode(message).decode())
            while TEXT not in str(await ann.recv()):
                pass
    (opened,) = (one for one in records(path) if one[0] == Kind.OPEN)
    assert opened[4] == "websocket+deflate"
    written = b"".join(one[2] for one in records(path) if one[0] == Kind.WRITE)
    assert TEXT.encode() not in written
    result = await again(path, "chat", config=config)
    assert result.same, result
    with pytest.raises(ReplayError, match=r"has the framing 'websocket\+deflate'"):
        await again(path, "chat")


class Moderator:
    """Asks someone outside about each message of chat."""

    wsprism_api = 1
    name = "moderator"

    def __init__(self) -> None:
        self.asked = 0

    @hookimpl
    async def check_message(self, message: Envelope) -> Envelope | None:
        await asyncio.sleep(0)
        self.asked += 1
        match message.data["msg"]:
            case "m1":
                message.data = {"msg": "***"}
                return message
            case "m2":
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "not that")
            case "m3":
                raise LookupError("nobody is there")
        return None


async def test_what_an_async_check_answered_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "moderated.rec"
    async with recording(path, "chat", Moderator(), config=CONFIG) as live:
        async with connect(live.ws, ticket="dev:ann") as ann:
            await ann.join("r1")
            for number in range(5):
                with suppress(ClientError):
                    text = {"msg": f"m{number}"}
                    await ann.request("chat", "send", text, room="r1")
    moderator = Moderator()
    result = await again(path, "chat", moderator)
    assert result.same, result
    assert moderator.asked == 0
    assert len([one for one in records(path) if one[0] == Kind.RESULT]) == 5


# ----------------------------------------------------------------- what is different


async def talk(live: Recorded, count: int = 5) -> None:
    async with (
        connect(live.ws, ticket="dev:ann") as ann,
        connect(live.ws, ticket="dev:bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        for number in range(count):
            await ann.request("chat", "send", {"msg": f"m{number}"}, room="r1")


class Deaf(Conversation):
    """Chat that swallows one message."""

    def send(self, session: Session, room: str, data: Any) -> Any:
        said = super().send(session, room, data)
        return None if data["msg"] == "m3" else said


class Backward(Conversation):
    """Chat that says one message behind its successor."""

    held: Any = None

    def send(self, session: Session, room: str, data: Any) -> Any:
        said = super().send(session, room, data)
        if data["msg"] == "m2":
            self.held = said
            return None
        if data["msg"] == "m3":
            return [said, self.held]
        return said


async def test_a_message_that_is_dropped_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.rec"
    async with recording(path, "chat", config=CONFIG) as live:
        await talk(live)
    assert (await again(path, "chat")).same
    monkeypatch.setattr("wsprism_chat.service.Conversation", Deaf)
    result = await again(path, "chat")
    assert (result.same, result.differing) == (False, 2)
    first = result.first
    assert first is not None
    assert (first.session, first.user) == ("1", "user:ann")
    # Three messages with their acknowledgements, and maybe that Bob is there.
    assert (first.lane, first.index in (6, 7)) == ("interactive", True)
    assert first.expected is not None
    assert '"msg":"m3"' in first.expected
    assert first.got is not None
    assert '"type":"ack"' in first.got
    where = f"session 1 (user:ann), lane interactive, message {first.index}:"
    assert where in str(result)


async def test_messages_in_another_order_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.rec"
    async with recording(path, "chat", config=CONFIG) as live:
        await talk(live)
    monkeypatch.setattr("wsprism_chat.service.Conversation", Backward)
    result = await again(path, "chat")
    assert result.differing == 2
    assert result.first is not None
    assert '"msg":"m2"' in (result.first.expected or "")


async def test_the_last_message_missing_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.rec"
    async with recording(path, "chat", config=CONFIG) as live:
        await talk(live, count=4)
    monkeypatch.setattr("wsprism_chat.service.Conversation", Deaf)
    async with recording(tmp_path / "deaf.rec", "chat", config=CONFIG) as live:
        await talk(live, count=4)
    missing = (await again(path, "chat")).first
    assert missing is not None
    assert (missing.user, missing.lane) == ("user:ann", "interactive")
    monkeypatch.undo()
    extra = (await again(tmp_path / "deaf.rec", "chat")).first
    assert extra is not None
    assert '"msg":"m3"' in (extra.got or "")


@pytest.mark.interpreted
async def test_lanes_may_be_mixed_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of one lane is promised, and what goes between is not."""
    path = tmp_path / "two.rec"
    async with recording(path, "chat", "game", config=CONFIG) as live:
        async with connect(live.ws, ticket="dev:ann") as ann:
            await ann.join("r1")
            for number in range(5):
                await ann.send("chat", "send", {"msg": "hi"}, room="r1")
                await ann.send_frame(1, 16, b"x", seq=number)
            await ann.request("sys", "ping")
    # Each message goes out when it is posted: chat that came first is not overtaken.
    monkeypatch.setattr("wsprism_core.realtime.delivery.POSTED_LIMIT", 0)
    written: list[bytes] = []
    write = ReplayedLink.write

    def spy(link: ReplayedLink, data: bytes) -> bool:
        written.append(data)
        return write(link, data)

    monkeypatch.setattr(ReplayedLink, "write", spy)
    result = await again(path, "chat", "game")
    assert result.same, result
    then = [one[2] for one in records(path) if one[0] == Kind.WRITE]
    assert b"".join(written) != b"".join(then)
    assert sorted(b"".join(written)) == sorted(b"".join(then))
