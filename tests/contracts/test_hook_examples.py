"""One example for each hook; docs/reference/hooks.md shows what is between marks.

Those of the events stand in `test_event_hook_examples`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable

import click
from click.testing import CliRunner

from wsprism_core import (
    Actions,
    Broadcast,
    ConnectRequest,
    Envelope,
    ErrorCode,
    Gateway,
    HttpRequest,
    HttpResponse,
    Identity,
    Inbound,
    Outbound,
    ProtocolError,
    Reply,
    RoomRule,
    Route,
    Service,
    Session,
    Timer,
    hookimpl,
)
from wsprism_core.options import RunOptions
from wsprism_core.plugins import PluginSet
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
            self.gateway.perform(tick, tenant=tenant)

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


# begin async check_message
class ModeratedPlugin:
    wsprism_api = 1
    wsprism_fail_open = True

    async def is_fine(self, text: str) -> bool:
        """Ask another server."""
        await asyncio.sleep(0)
        return "buy now" not in text.lower()

    @hookimpl
    async def check_message(
        self, session: Session, message: Envelope
    ) -> Envelope | None:
        if (message.svc, message.type) == ("chat", "send"):
            if not await self.is_fine(message.data["msg"]):
                raise ProtocolError(ErrorCode.NOT_ALLOWED, "no advertising here")
        return None


# end async check_message


async def test_hook_check_message(gateway: Harness) -> None:
    async with gateway("chat", CalmPlugin) as gw, gw.connect() as client:
        await client.join("r1")
        for text, heard in ("HELLO", "Hello"), ("Good day", "Good day"):
            await client.send("chat", "send", {"msg": text})
            assert (await client.expect_push("chat.msg"))["data"]["msg"] == heard
        ref = await client.send("chat", "send", {"msg": "Buy now!"})
        await client.expect_error("NOT_ALLOWED", ref=ref)
        client.expect_nothing()


async def test_an_async_check_message(gateway: Harness) -> None:
    async with gateway("chat", ModeratedPlugin) as gw, gw.connect() as client:
        await client.join("r1")
        await client.send("chat", "send", {"msg": "Good day"})
        assert (await client.expect_push("chat.msg"))["data"]["msg"] == "Good day"
        ref = await client.send("chat", "send", {"msg": "Buy now!"})
        await client.expect_error("NOT_ALLOWED", ref=ref)
