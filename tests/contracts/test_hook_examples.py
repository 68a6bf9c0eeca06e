"""One example for each hook; docs/reference/hooks.md shows what is between marks."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click
from click.testing import CliRunner

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    ConnectRequest,
    Envelope,
    ErrorCode,
    Gateway,
    HotFrame,
    HttpRequest,
    HttpResponse,
    Identity,
    Inbound,
    Opcode,
    Outbound,
    ProtocolError,
    Push,
    Reply,
    RoomRule,
    Route,
    Service,
    Session,
    Timer,
    hookimpl,
)
from wsprism_core.hookspecs import HookSpecs
from wsprism_core.options import RunOptions
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.fields import i16, u32
from wsprism_core.protocol.packets import Packet
from wsprism_core.testing import GatewayHarness
from wsprism_core.transports.port import Transport
from wsprism_core.transports.tcp import TcpTransport

Harness = type[GatewayHarness]


# begin register_services
class EchoPlugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="echo",
            summary="Says what it hears",
            inbound=(Inbound(name="say", room=RoomRule.NONE),),
            outbound=(Outbound(name="said"),),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        return Reply("said", message.data)


# end register_services


async def test_hook_register_services(gateway: Harness) -> None:
    async with gateway(EchoPlugin) as gw, gw.connect() as client:
        assert client.authed["services"] == {"echo": None}
        said = await client.request("echo", "say", {"n": 1})
        assert (said["type"], said["data"]) == ("said", {"n": 1})


# begin register_routes
class StatusPlugin:
    wsprism_api = 1

    @hookimpl
    def register_routes(self) -> Iterable[Route]:
        return [Route("/status", self.status)]

    def status(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b'{"open": true}', content_type="application/json")


# end register_routes


async def test_hook_register_routes(gateway: Harness) -> None:
    async with gateway(StatusPlugin) as gw:
        request = HttpRequest("GET", "/status", {}, {}, "127.0.0.1")
        answer = gw.gateway.host.http(request)
        assert (answer.status, answer.body) == (200, b'{"open": true}')


# begin register_transports
class SideDoorPlugin:
    wsprism_api = 1

    @hookimpl
    def register_transports(self, options: RunOptions) -> Iterable[Transport]:
        return [TcpTransport(options.host or "127.0.0.1", 0)]


# end register_transports


async def test_hook_register_transports(gateway: Harness) -> None:
    hook = PluginSet.load([], extra=[SideDoorPlugin]).hook("register_transports")
    ((transport,),) = hook(options=RunOptions())
    async with gateway() as gw:
        await transport.start(gw.gateway.host)
        assert transport.address.startswith("tcp://127.0.0.1:")
        await transport.stop()


# begin register_commands
class GreetingPlugin:
    wsprism_api = 1

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        @cli.command()
        @click.argument("name")
        def greet(name: str) -> None:
            """Say hello to NAME."""
            click.echo(f"Hello, {name}!")


# end register_commands


def test_hook_register_commands() -> None:
    program = click.Group("wsprism")
    PluginSet.load([], extra=[GreetingPlugin]).hook("register_commands")(cli=program)
    assert CliRunner().invoke(program, ["greet", "Ann"]).output == "Hello, Ann!\n"


# begin on_start
class TickerPlugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(name="clock", outbound=(Outbound(name="tick"),))

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.timer: Timer = gateway.every(60.0, self.tick)

    def tick(self) -> None:
        now = {"ms": self.gateway.wall_ms()}
        for tenant in self.gateway.tenants():
            tick = Broadcast("tick", now, room="clock")
            self.gateway.perform(tick, svc="clock", tenant=tenant)

    # end on_start

    # begin on_stop
    @hookimpl
    def on_stop(self, gateway: Gateway) -> None:
        self.timer.cancel()

    # end on_stop


async def test_hook_on_start(gateway: Harness) -> None:
    async with gateway(TickerPlugin) as gw, gw.connect() as client:
        await client.join("clock")
        await gw.advance(30)
        client.expect_nothing()
        await gw.advance(30)
        tick = await client.expect_push("clock.tick")
        assert tick["data"] == {"ms": gw.clock.wall_ms()}


async def test_hook_on_stop(gateway: Harness) -> None:
    class CountingPlugin(TickerPlugin):
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1

    plugin = CountingPlugin()
    async with gateway(plugin) as gw:
        await gw.advance(60)
    gw.clock.advance(120)
    assert plugin.ticks == 1


# begin authenticate
class KeyPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.keys = {"ann": "correct horse battery staple"}

    @hookimpl
    def authenticate(
        self, ticket: str, tenant: str, request: ConnectRequest
    ) -> Identity | None:
        name, _, key = ticket.partition(":")
        known = self.keys.get(name)
        if known is None or not hmac.compare_digest(known.encode(), key.encode()):
            return None  # another plugin may know it
        return Identity(user=f"user:{name}", tenant=tenant)


# end authenticate


async def test_hook_authenticate(gateway: Harness) -> None:
    async with gateway(KeyPlugin) as gw:
        ann = await gw.dial(ticket="ann:correct horse battery staple")
        assert (await ann.expect_push("sys.authed"))["data"]["user"] == "user:ann"
        for wrong in "ann:battery", "eve:", "ann":
            assert (await gw.dial(ticket=wrong)).closed is not None


# begin check_join
class StaffRoomPlugin:
    wsprism_api = 1

    @hookimpl
    def check_join(self, session: Session, room: str) -> bool | None:
        if room.startswith("staff:"):
            return session.user in ("user:ann", "user:bob")
        return None  # not ours to decide


# end check_join


async def test_hook_check_join(gateway: Harness) -> None:
    async with (
        gateway(StaffRoomPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("eve") as eve,
    ):
        await ann.join("staff:office")
        ref = await eve.send("room", "join", room="staff:office")
        await eve.expect_error("NOT_ALLOWED", ref=ref)
        await eve.join("lobby")


# begin check_message
class CalmPlugin:
    wsprism_api = 1

    @hookimpl
    def check_message(self, session: Session, message: Envelope) -> Envelope | None:
        if (message.svc, message.type) != ("chat", "send"):
            return None
        text = message.data["msg"]
        if "buy now" in text.lower():
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "no advertising here")
        if text.isupper():
            message.data = {**message.data, "msg": text.capitalize()}
            return message
        return None


# end check_message


async def test_hook_check_message(gateway: Harness) -> None:
    async with gateway("chat", CalmPlugin) as gw, gw.connect() as client:
        await client.join("r1")
        for text, heard in ("HELLO", "Hello"), ("Good day", "Good day"):
            await client.send("chat", "send", {"msg": text})
            assert (await client.expect_push("chat.msg"))["data"]["msg"] == heard
        ref = await client.send("chat", "send", {"msg": "Buy now!"})
        await client.expect_error("NOT_ALLOWED", ref=ref)
        client.expect_nothing()


# begin on_open
class WelcomePlugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(name="news", outbound=(Outbound(name="welcome"),))

    @hookimpl
    def on_open(self, session: Session) -> Actions:
        return Push("welcome", {"user": session.user}, session=session.id)


# end on_open


async def test_hook_on_open(gateway: Harness) -> None:
    async with gateway(WelcomePlugin) as gw, gw.connect("ann") as ann:
        welcome = await ann.expect_push("news.welcome")
        assert welcome["data"] == {"user": "user:ann"}


# begin on_join
class DoorPlugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        doors = (Outbound(name="opened"), Outbound(name="closed"))
        return Service(name="door", outbound=doors)

    @hookimpl
    def on_join(self, session: Session, room: str) -> Actions:
        who = {"user": session.user}
        return Broadcast("opened", who, room=room, exclude=session.id)

    # end on_join

    # begin on_leave
    @hookimpl
    def on_leave(self, session: Session, room: str) -> Actions:
        return Broadcast("closed", {"user": session.user}, room=room)

    # end on_leave


async def test_hook_on_join(gateway: Harness) -> None:
    async with (
        gateway(DoorPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        opened = await ann.expect_push("door.opened")
        assert (opened["room"], opened["data"]) == ("r1", {"user": "user:bob"})
        bob.expect_nothing()


async def test_hook_on_leave(gateway: Harness) -> None:
    async with (
        gateway(DoorPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await bob.leave("r1")
        closed = await ann.expect_push("door.closed")
        assert closed["data"] == {"user": "user:bob"}
        bob.expect_nothing()


# begin on_message
class PollPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.votes: dict[str, Counter[str]] = {}

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="poll",
            inbound=(
                Inbound(name="vote", schema=str, room=RoomRule.MEMBER),
                Inbound(name="result", schema=None, room=RoomRule.MEMBER),
            ),
            outbound=(Outbound(name="voted"), Outbound(name="result")),
        )

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        assert message.room is not None  # RoomRule.MEMBER sees to it
        votes = self.votes.setdefault(message.room, Counter())
        if message.type == "result":
            return Reply("result", dict(votes))
        if len(votes) == 10 and message.data not in votes:
            raise ProtocolError(ErrorCode.RESOURCE_EXHAUSTED, "ten choices are enough")
        votes[message.data] += 1
        return Broadcast("voted", {"by": session.user, "for": message.data})


# end on_message


async def test_hook_on_message(gateway: Harness) -> None:
    async with (
        gateway(PollPlugin) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("r1")
        await bob.join("r1")
        await ann.request("poll", "vote", "tea")
        assert (await bob.expect_push("poll.voted"))["data"] == {
            "by": "user:ann",
            "for": "tea",
        }
        result = await bob.request("poll", "result")
        assert result["data"] == {"tea": 1}
        for number in range(9):
            await bob.request("poll", "vote", str(number))
        ref = await bob.send("poll", "vote", "coffee")
        await bob.expect_error("RESOURCE_EXHAUSTED", ref=ref)
        ref = await bob.send("poll", "vote", 7)
        await bob.expect_error("BAD_REQUEST", ref=ref)


# begin on_binary
class Move(Packet):
    tick: int = u32()
    x: int = i16()
    y: int = i16()


class BoardPlugin:
    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        move = Opcode(number=1, name="MOVE", layout=Move)
        return Service(name="board", svc_id=200, lane="realtime", opcodes=(move,))

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        assert frame.room is not None  # RoomRule.MEMBER, the default of an opcode
        move = Move.unpack(frame.payload)
        if abs(move.x) > 100 or abs(move.y) > 100:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "off the board")
        sender = session.number_in(frame.room)
        return BroadcastFrame(frame.opcode, frame.payload, sender=sender)


# end on_binary


async def test_hook_on_binary(gateway: Harness) -> None:
    async with gateway(BoardPlugin) as gw, gw.connect() as client:
        n = (await client.join("r1"))["data"]["n"]
        move = Move(tick=1, x=-3, y=4).pack()
        await client.send_frame(200, 1, move)
        frame = await client.expect_frame(200, 1)
        assert (frame.payload, frame.sender) == (move, n)
        far = await client.send_frame(200, 1, Move(tick=2, x=101, y=0).pack())
        await client.expect_error("BAD_REQUEST", ref=far)
        short = await client.send_frame(200, 1, move[:-1])
        await client.expect_error("BAD_REQUEST", ref=short)


# begin on_close
class VisitsPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.since: dict[str, float] = {}
        self.seconds: Counter[str] = Counter()

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @hookimpl
    def on_open(self, session: Session) -> None:
        self.since[session.id] = self.gateway.now()

    @hookimpl
    def on_close(self, session: Session, code: int, reason: str) -> None:
        began = self.since.pop(session.id)
        self.seconds[session.user] += round(self.gateway.now() - began)


# end on_close


async def test_hook_on_close(gateway: Harness) -> None:
    plugin = VisitsPlugin()
    async with gateway(plugin) as gw, gw.connect("ann"):
        await gw.advance(12)
    assert plugin.seconds == {"user:ann": 12}
    assert plugin.since == {}


# begin on_detach
class AwayPlugin:
    wsprism_api = 1

    def __init__(self) -> None:
        self.away: set[str] = set()

    @hookimpl
    def on_detach(self, session: Session) -> None:
        self.away.add(session.id)

    @hookimpl
    def on_resume(self, session: Session) -> None:
        self.away.discard(session.id)

    @hookimpl
    def on_close(self, session: Session) -> None:
        self.away.discard(session.id)


# end on_detach


async def test_hook_on_detach(gateway: Harness) -> None:
    """Nothing is detached by this version; pluggy itself calls the hook here."""
    plugin = AwayPlugin()
    await _with_a_session(gateway, plugin, "on_detach")
    assert len(plugin.away) == 1


async def test_hook_on_resume(gateway: Harness) -> None:
    """As `test_hook_on_detach`."""
    plugin = AwayPlugin()
    await _with_a_session(gateway, plugin, "on_detach", "on_resume")
    assert plugin.away == set()


async def _with_a_session(gateway: Harness, plugin: object, *hooks: str) -> None:
    plugins = PluginSet.load([], extra=[plugin])
    async with gateway() as gw, gw.connect() as client:
        session = gw.api.session(client.authed["sid"])
        for hook in hooks:
            plugins.hook(hook)(session=session)


def test_every_hook_has_its_test() -> None:
    hooks = {name for name in vars(HookSpecs) if not name.startswith("_")}
    tests: dict[str, Any] = globals()
    tested = {name.removeprefix("test_hook_") for name in tests if "test_hook_" in name}
    assert tested == hooks
