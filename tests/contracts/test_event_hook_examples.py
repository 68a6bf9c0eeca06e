"""One example for each event hook; as in `test_hook_examples`."""

from __future__ import annotations

from collections import Counter

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    Envelope,
    ErrorCode,
    Gateway,
    HotFrame,
    Inbound,
    Opcode,
    Outbound,
    ProtocolError,
    Push,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.packets import Packet, i16, u32
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import GatewayHarness

Harness = type[GatewayHarness]


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
