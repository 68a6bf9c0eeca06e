"""The code of the how-to guides; docs/how-to shows what is between marks."""

from __future__ import annotations

import asyncio
from enum import IntFlag
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from wsprism_core import (
    Actions,
    Broadcast,
    Delivery,
    Envelope,
    ErrorCode,
    Gateway,
    HotFrame,
    Inbound,
    LatestInputs,
    Opcode,
    Outbound,
    ProtocolError,
    Pull,
    Push,
    Reply,
    RoomRule,
    Service,
    ServiceMissing,
    Session,
    hookimpl,
)
from wsprism_core.packets import (
    Packet,
    array,
    bitmask,
    f32,
    i32,
    optional,
    scaled,
    u8,
    u16,
    u32,
)
from wsprism_core.protocol.decimals import to_decimal, to_mantissa
from wsprism_core.protocol.errors import Malformed
from wsprism_core.protocol.javascript import module
from wsprism_core.testing import GatewayHarness, config_with

# ---------------------------------------------------------------- writing a plugin


# begin rules
class NotesService:
    """One note per room, which everybody in it sees."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.notes: dict[str, str] = {}

    def pin(self, user: str, room: str, text: str) -> Broadcast:
        if len(text) > self.max_length:
            raise ProtocolError(
                ErrorCode.PAYLOAD_TOO_LARGE, f"{self.max_length} characters at most"
            )
        self.notes[room] = text
        return Broadcast("pinned", {"by": user, "text": text}, room=room)

    def read(self, room: str) -> Reply:
        if room not in self.notes:
            raise ProtocolError(ErrorCode.NOT_FOUND, "there is no note")
        return Reply("note", {"text": self.notes[room]}, room=room)


# end rules


# begin manifest
class Pin(TypedDict):
    text: Annotated[str, Field(min_length=1)]


class NotesConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    max_length: int = Field(default=280, ge=1)


NOTES = Service(
    name="notes",
    summary="One note per room",
    inbound=(
        Inbound(name="pin", schema=Pin, room=RoomRule.MEMBER),
        Inbound(name="read", room=RoomRule.MEMBER),
    ),
    outbound=(Outbound(name="pinned"), Outbound(name="note")),
    config=NotesConfig,
    counters={"notes_pinned": "Notes that were pinned"},
)
# end manifest


# begin plugin
class NotesPlugin:
    name = "notes"
    wsprism_api = 1

    def __init__(self) -> None:
        self.services: dict[str, NotesService] = {}

    @hookimpl
    def register_services(self) -> Service:
        return NOTES

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway
        max_length = gateway.config.max_length
        for tenant in gateway.tenants():
            self.services[tenant] = NotesService(max_length)

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        service = self.services[session.tenant]
        assert message.room is not None  # RoomRule.MEMBER sees to it
        if message.type == "read":
            return service.read(message.room)
        pinned = service.pin(session.user, message.room, message.data["text"])
        self.gateway.count("notes_pinned")
        return pinned


# end plugin


# begin test_rules
def test_a_note_is_told_to_the_room() -> None:
    service = NotesService(max_length=5)
    told = service.pin("user:ann", "lobby", "hello")
    assert told == Broadcast(
        "pinned", {"by": "user:ann", "text": "hello"}, room="lobby"
    )
    assert service.read("lobby") == Reply("note", {"text": "hello"}, room="lobby")


def test_a_note_is_short() -> None:
    with pytest.raises(ProtocolError) as refused:
        NotesService(max_length=5).pin("user:ann", "lobby", "too long")
    assert refused.value.code is ErrorCode.PAYLOAD_TOO_LARGE


# end test_rules


# begin test_plugin
async def test_everybody_in_the_room_sees_a_note(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway(NotesPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        await ann.request("notes", "pin", {"text": "hello"})
        pinned = await bob.expect_push("notes.pinned")
        assert pinned["data"] == {"by": "user:ann", "text": "hello"}
        assert gw.metrics.plugin_counts["notes_pinned"] == 1


async def test_a_stranger_is_refused(gateway: type[GatewayHarness]) -> None:
    async with gateway(NotesPlugin) as gw, gw.connect("eve") as eve:
        ref = await eve.send("notes", "pin", {"text": "hello"}, room="lobby")
        await eve.expect_error("NOT_ALLOWED", ref=ref)


# end test_plugin


# begin test_config
async def test_the_length_is_configured(gateway: type[GatewayHarness]) -> None:
    config = config_with(plugins={"notes": {"max_length": 3}})
    async with gateway(NotesPlugin, config=config) as gw, gw.connect() as client:
        await client.join("lobby")
        await client.send("notes", "pin", {"text": "hello"})
        await client.expect_error("PAYLOAD_TOO_LARGE")


# end test_config


# begin test_slow
async def test_a_slow_reader_gets_the_newest_quote(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("market") as gw, gw.connect() as client:
        await gw.advance(5)
        await client.request("market", "subscribe", {"symbols": ["BTC-USD"]})
        await client.read_all()
        client.slow(bytes_per_s=0, buffer=0)
        await gw.advance(1.4)
        client.slow(None)
        under_way, newest = await client.read_all()
        assert isinstance(under_way, dict)
        assert isinstance(newest, dict)
        assert newest["data"]["prev_seq"] > under_way["data"]["seq"]


# end test_slow


# begin test_async
class OraclePlugin:
    """Answers when somebody else has."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="oracle",
            inbound=(Inbound(name="ask"),),
            outbound=(Outbound(name="says"),),
        )

    @hookimpl
    async def on_message(self) -> Reply:
        await self.ready.wait()
        return Reply("says", "yes")


async def test_the_oracle_takes_its_time(gateway: type[GatewayHarness]) -> None:
    oracle = OraclePlugin()
    async with gateway(oracle) as gw, gw.connect() as client:
        ref = await client.send("oracle", "ask")
        await gw.advance(60)
        client.expect_nothing()
        oracle.ready.set()
        answer = await client.expect_reply(ref)
        assert answer["data"] == "yes"


# end test_async


# begin newest
class Preview(TypedDict):
    shape: str
    x: int


NEWEST = Service(
    name="canvas",
    svc_id=200,
    inbound=(
        Inbound(name="cursor", latest=True, room=RoomRule.MEMBER),
        Inbound(name="preview", latest=True, key="shape", schema=Preview),
    ),
    opcodes=(Opcode(number=1, name="KEYS", drop_stale=True),),
)
# end newest


# begin tick
class MatchService:
    """Moves everybody at once, ten times a second."""

    def __init__(self) -> None:
        self.keys = LatestInputs[bytes](max_keys=1)
        self.x: dict[str, int] = {}

    def press(self, session: str, keys: bytes) -> None:
        self.keys.put(session, keys)

    def left(self, session: str) -> None:
        self.keys.forget(session)

    def tick(self, room: str) -> Broadcast:
        for session, _, keys in self.keys.take():
            self.x[session] = self.x.get(session, 0) + keys.count(b"d")
        return Broadcast("moved", dict(self.x), room=room)


# end tick


def test_at_a_tick_the_newest_keys_count() -> None:
    match = MatchService()
    for session, keys in (("s1", b"ddd"), ("s2", b"d"), ("s1", b"dd"), ("s3", b"d")):
        match.press(session, keys)
    match.left("s3")
    assert match.tick("arena") == Broadcast("moved", {"s1": 2, "s2": 1}, room="arena")
    assert match.keys.superseded == 1
    assert match.tick("arena") == Broadcast("moved", {"s1": 2, "s2": 1}, room="arena")


class CanvasPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen: list[object] = []

    @hookimpl
    def register_services(self) -> Service:
        return NEWEST

    @hookimpl
    async def on_message(self, message: Envelope) -> None:
        await self.open.wait()
        self.seen.append(message.data)

    @hookimpl
    def on_binary(self, frame: HotFrame) -> None:
        self.seen.append(frame.seq)


async def test_the_newest_counts_in_the_canvas(gateway: type[GatewayHarness]) -> None:
    canvas = CanvasPlugin()
    async with gateway(canvas) as gw, gw.connect() as client:
        await client.join("r1")
        for shape, x in (("a", 0), ("a", 1), ("b", 2), ("a", 3)):
            await client.send("canvas", "preview", {"shape": shape, "x": x})
        for number in (5, 4, 6):
            await client.send_frame(200, 1, seq=number)
        canvas.open.set()
        await gw.settle()
        assert canvas.seen == [
            *(5, 6),
            *({"shape": shape, "x": x} for shape, x in (("a", 0), ("a", 3), ("b", 2))),
        ]


# begin pull
class Scores:
    """The best three, and what each reader has."""

    def __init__(self) -> None:
        self.points: dict[str, int] = {}

    def pull(self, session: Session, budget: int) -> tuple[list[Push], bool]:
        best = sorted(self.points.values(), reverse=True)
        mine = self.points.get(session.user, 0)
        return [Push("rank", {"top": best[:3], "points": mine})], False


SCORES = Service(
    name="scores",
    inbound=(Inbound(name="point", room=RoomRule.MEMBER),),
    outbound=(Outbound(name="rank", delivery=Delivery.PULLED),),
)


class ScoresPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.scores = Scores()

    @hookimpl
    def register_services(self) -> Service:
        return SCORES

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Pull:
        points = self.scores.points
        points[session.user] = points.get(session.user, 0) + 1
        return Pull("rank", self.scores, room=message.room)


# end pull


async def test_each_reader_pulls_its_own_rank(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway(ScoresPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("arena")
        await bob.join("arena")
        await gw.advance(1)
        await ann.read_all()
        await bob.read_all()
        bob.slow(0, buffer=0)
        for _ in range(9):
            await ann.send("scores", "point")
        asked = [one for one in await ann.read_all() if isinstance(one, dict)]
        assert [one["data"]["points"] for one in asked] == list(range(1, 10))
        bob.slow(None)
        told = [one for one in await bob.read_all() if isinstance(one, dict)]
        # The first was under way when the socket filled up; then one marker waited.
        assert [one["data"]["top"] for one in told] == [[1], [9]]
        assert told[-1]["data"]["points"] == 0


# begin another service
class LeaderboardPlugin:
    wsprism_api = 1

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def team_of(self, session: Session) -> list[str]:
        try:
            party = self.gateway.call("party", "of", session.tenant, session.user)
        except ServiceMissing:
            party = None
        if party is None:
            return [session.user]
        return [member["user"] for member in party["members"]]


# end another service


async def test_a_service_copes_where_another_is_missing(
    gateway: type[GatewayHarness],
) -> None:
    for plugins in (), ("party",):
        plugin = LeaderboardPlugin()
        async with gateway(plugin, *plugins) as gw, gw.connect("ann") as ann:
            if plugins:
                await ann.request("party", "create")
            session = gw.api.session(ann.authed["sid"])
            assert session is not None
            assert plugin.team_of(session) == ["user:ann"]


# -------------------------------------------------------------------------- packets


# begin packet
class Buttons(IntFlag):
    JUMP = 1
    FIRE = 2


class Move(Packet):
    tick: int = u32()
    x: int = scaled(i32(), places=3)
    heading: float = f32()
    buttons: int = bitmask(u8(), Buttons)
    path: tuple[int, ...] = array(u16(), 4)
    boost: int | None = optional(u8(), default=None)


# end packet


def test_a_packet_is_packed_and_read() -> None:
    # begin using
    move = Move(tick=7, x=1500, heading=0.5, buttons=Buttons.FIRE, path=(1, 2, 3, 4))
    payload = move.pack()  # 21 bytes; 22 with a boost
    assert Move.unpack(payload) == move
    assert to_decimal(move.x, 3) == to_decimal(to_mantissa("1.5", 3), 3)
    # end using
    assert len(payload) == 21
    assert Move.sizes == (21, 22)
    with pytest.raises(Malformed):
        Move.unpack(payload[:-1])


def test_the_javascript_module_has_the_packet() -> None:
    # begin javascript
    text = module([Move], services={"board": 200}, opcodes={"board": {"MOVE": 1}})
    # end javascript
    assert "export const Move = " in text
