"""PROTOCOL section 6: a dropped session comes back within its window, whole."""

from __future__ import annotations

from typing import Any

import pytest

from support.entering import enter
from support.services import Lab
from wsprism_core import JoinRoom, Kick, LeaveRoom, Session, hookimpl
from wsprism_core.config import out_of_the_box
from wsprism_core.gateway.recovery import Refused
from wsprism_core.gateway.sessions import SessionDesk
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.layout import MAX_SAFE_INTEGER, MAX_U32
from wsprism_core.realtime.delivery import MessageTooLarge
from wsprism_core.realtime.lanes import DEFAULT_LANES
from wsprism_core.testing import GatewayHarness, config_with

#: Rooms that a session may be in.
MOST_ROOMS = out_of_the_box().gateway.max_rooms_per_session


def longest(number: int) -> str:
    """Return a name of a room, none of which is longer."""
    return f"{number:0128d}"


class Door(Lab):
    """Notes who goes and comes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    @hookimpl
    def on_open(self, session: Session) -> None:
        self.seen.append(("open", session.id))

    @hookimpl
    def on_detach(self, session: Session) -> None:
        self.seen.append(("detach", session.id))

    @hookimpl
    def on_resume(self, session: Session) -> None:
        self.seen.append(("resume", session.id))

    @hookimpl
    def on_leave(self, session: Session, room: str) -> None:
        self.seen.append(("leave", session.id))

    @hookimpl
    def on_close(self, session: Session, code: int, reason: str) -> None:
        self.seen.append((f"close {code}", session.id))

    @hookimpl
    def on_start(self, gateway: Any) -> None:
        self.gateway = gateway


async def test_a_dropped_session_goes_on(gateway: type[GatewayHarness]) -> None:
    door = Door()
    async with gateway("chat", door) as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        joined = (await ann.join("r1"))["data"]
        await ann.join("r2")
        await bob.join("r1")
        await gw.advance(1)
        await bob.read_all()
        ann.drop_link()
        await gw.advance(1)
        for n in range(3):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        again, back = await enter(gw, resume=told["resume"])
        assert (back["sid"], back["resumed"]) == (told["sid"], True)
        assert back["active_room"] == "r2"
        assert back["resume"] != told["resume"]
        first, second = back["rooms"]
        assert first == {
            "room": "r1",
            "alias": joined["alias"],
            "epoch": joined["epoch"],
            "seq": 3,
            "n": joined["n"],
            "recovered": True,
        }
        assert (second["room"], second["seq"]) == ("r2", 0)
        for seq in (1, 2, 3):
            said = await again.expect_push("chat.msg")
            assert (said["seq"], said["data"]["msg"]) == (seq, f"m{seq - 1}")
        await bob.send("chat", "send", {"msg": "live"}, room="r1")
        assert (await again.expect_push("chat.msg"))["seq"] == 4
        # Others have not noticed.
        await gw.advance(60)
        presence = [one for one in await bob.read_all() if isinstance(one, dict)]
        assert "presence" not in [one["type"] for one in presence]
        assert [what for what, sid in door.seen if sid == told["sid"]] == [
            "open",
            "detach",
            "resume",
        ]


async def test_a_session_that_does_not_come_back_is_over(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway("chat", door) as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        await ann.join("r1")
        await bob.join("r1")
        await gw.advance(1)
        await bob.read_all()
        ann.drop_link()
        await gw.advance(29)
        assert not await bob.read_all()
        await gw.advance(2)
        left, offline = await bob.read_all()
        assert isinstance(left, dict)
        assert isinstance(offline, dict)
        assert left["data"]["left"] == [{"n": 1}]
        assert (offline["svc"], offline["type"]) == ("chat", "status")
        assert [what for what, sid in door.seen if sid == told["sid"]] == [
            "open",
            "detach",
            "leave",
            "close 1006",
        ]
        _, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["reason"]) == (False, "expired")
        assert back["sid"] != told["sid"]


@pytest.mark.parametrize("spoil", ["user", "digest", "nothing", "text"])
async def test_a_token_is_good_for_its_own_user_alone(
    gateway: type[GatewayHarness], spoil: str
) -> None:
    async with gateway() as gw:
        ann, told = await enter(gw)
        ann.drop_link()
        token = told["resume"]
        user = "ann"
        match spoil:
            case "user":
                user = "eve"
            case "digest":
                token = token[:-1] + ("0" if token[-1] != "0" else "1")
            case "nothing":
                token = ""
            case "text":
                token = "é..." + token
        _, back = await enter(gw, user, token)
        assert (back["resumed"], back["reason"]) == (False, "unknown")
        _, back = await enter(gw, resume=told["resume"])
        assert back["resumed"] is True


async def test_a_token_is_good_once(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw:
        ann, told = await enter(gw)
        ann.drop_link()
        await enter(gw, resume=told["resume"])
        _, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["reason"]) == (False, "used")


async def test_who_comes_back_before_it_is_missed_takes_over(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    sessions = {"mode": "single", "on_exceed": "deny"}
    config = config_with(policy={"sessions": sessions, "ext_allowlist": ["*:*"]})
    async with gateway("chat", door, config=config) as gw:
        ann, told = await enter(gw)
        await ann.join("r1")
        await ann.request("chat", "send", {"msg": "hi"}, room="r1")
        again, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["sid"]) == (True, told["sid"])
        assert await ann.expect_closed(4505) == "resumed elsewhere"
        assert len(gw.gateway.sessions) == 1
        assert (await again.expect_push("chat.msg"))["seq"] == 1
        await again.request("chat", "send", {"msg": "hi"}, room="r1")
        assert door.seen == [("open", told["sid"]), ("resume", told["sid"])]
        await gw.advance(60)
        assert len(gw.gateway.sessions) == 1


async def test_what_was_proven_to_arrive_is_not_sent_again(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        await ann.join("r1")
        await bob.join("r1")
        for n in range(3):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        # A ping goes out behind them, and is answered.
        await gw.advance(21)
        await bob.request("chat", "send", {"msg": "m3"}, room="r1")
        ann.drop_link()
        await bob.request("chat", "send", {"msg": "m4"}, room="r1")
        again, back = await enter(gw, resume=told["resume"])
        assert back["rooms"][0]["recovered"] is True
        assert (await again.expect_push("chat.msg"))["seq"] == 4
        assert (await again.expect_push("chat.msg"))["seq"] == 5
        assert not [
            one
            for one in again.unread
            if isinstance(one, dict) and one["svc"] == "chat"
        ]


async def test_what_a_join_was_to_fetch_comes_again(
    gateway: type[GatewayHarness],
) -> None:
    """It was sent, and nothing says that it has arrived."""
    async with gateway("chat") as gw, gw.connect("bob") as bob:
        joined = (await bob.join("r1"))["data"]
        for n in range(3):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        ann, told = await enter(gw)
        saw = {"epoch": joined["epoch"], "seq": 1}
        await ann.request("room", "join", saw, room="r1")
        ann.drop_link()
        again, back = await enter(gw, resume=told["resume"])
        assert back["rooms"][0]["recovered"] is True
        assert (await again.expect_push("chat.msg"))["seq"] == 2
        assert (await again.expect_push("chat.msg"))["seq"] == 3


async def test_a_join_that_was_refused_what_it_missed_is_refused_again(
    gateway: type[GatewayHarness],
) -> None:
    """Nothing says that the client has heard so."""
    config = config_with(gateway={"history": {"messages": 2}})
    async with gateway("chat", config=config) as gw, gw.connect("bob") as bob:
        joined = (await bob.join("r1"))["data"]
        for n in range(4):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        for epoch in (joined["epoch"], "another"):
            ann, told = await enter(gw)
            saw = {"epoch": epoch, "seq": 1}
            await ann.request("room", "join", saw, room="r1")
            ann.drop_link()
            _, back = await enter(gw, resume=told["resume"])
            (about,) = back["rooms"]
            assert (about["recovered"], about["reason"]) == (False, "too_old")


async def test_a_ping_of_another_connection_proves_nothing(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat") as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        await ann.join("r1")
        await bob.join("r1")
        for n in range(3):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        # Its ping comes behind them all, and is never answered.
        ann.answers_pings = False
        await gw.advance(21)
        ann.drop_link()
        await enter(gw, resume=told["resume"])
        (session,) = gw.gateway.sessions.of_user("default", "user:ann")
        (membership,) = session.memberships.values()
        # The next ping may go while not all has been sent again, and asks of no more.
        assert (membership.probed, membership.proven) == (0, 0)
        presence = membership.presence_probed, membership.presence_proven
        assert presence == (-1, -1)


async def test_what_is_gone_is_told(gateway: type[GatewayHarness]) -> None:
    config = config_with(gateway={"history": {"messages": 2}})
    async with gateway("chat", config=config) as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        await ann.join("r1")
        await bob.join("r1")
        ann.drop_link()
        for n in range(3):
            await bob.request("chat", "send", {"msg": f"m{n}"}, room="r1")
        _, back = await enter(gw, resume=told["resume"])
        (about,) = back["rooms"]
        assert (about["recovered"], about["reason"]) == (False, "too_old")


@pytest.mark.parametrize("end", ["close", "kick", "strikes"])
async def test_who_was_sent_away_or_went_does_not_come_back(
    gateway: type[GatewayHarness], end: str
) -> None:
    door = Door()
    config = config_with(gateway={"max_strikes": 1})
    async with gateway(door, config=config) as gw:
        ann, told = await enter(gw)
        match end:
            case "close":
                await ann.close()
            case "kick":
                door.gateway.perform(
                    Kick(user="user:ann", reason="out"), tenant="default"
                )
            case "strikes":
                for _ in range(2):
                    await ann.send_text("{")
        await gw.settle()
        _, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["reason"]) == (False, "expired")


async def test_a_user_who_is_kicked_while_away_is_gone(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        ann, told = await enter(gw)
        ann.drop_link()
        door.gateway.perform(Kick(user="user:ann", reason="out"), tenant="default")
        _, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["reason"]) == (False, "expired")


async def test_all_of_a_user_who_are_away_end_and_nobody_else(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        tokens = []
        for user in ("ann", "bob", "ann"):
            client, told = await enter(gw, user)
            tokens.append((user, told["resume"], told["sid"]))
            client.drop_link()
        _, again = await enter(gw, "ann", tokens[2][1])
        assert again["resumed"] is True
        door.gateway.perform(Kick(user="user:ann", reason="out"), tenant="other")
        door.gateway.perform(Kick(user="user:ann", reason="out"), tenant="default")
        await gw.settle()
        ends = [sid for what, sid in door.seen if what.startswith("close")]
        assert sorted(ends) == sorted([tokens[0][2], tokens[2][2]])
        _, back = await enter(gw, "bob", tokens[1][1])
        assert back["resumed"] is True


async def test_so_many_are_kept(gateway: type[GatewayHarness]) -> None:
    config = config_with(gateway={"max_detached": 2})
    async with gateway(config=config) as gw:
        tokens = []
        for user in ("ann", "bob", "cat"):
            client, told = await enter(gw, user)
            tokens.append((user, told["resume"]))
            client.drop_link()
        back = [(await enter(gw, user, token))[1] for user, token in tokens]
        assert [one["resumed"] for one in back] == [False, True, True]


async def test_so_many_are_kept_of_one_user(gateway: type[GatewayHarness]) -> None:
    sessions = {"max_sessions_per_user": 2, "on_exceed": "kick_oldest"}
    config = config_with(policy={"sessions": sessions})
    async with gateway(config=config) as gw:
        bob, bobs = await enter(gw, "bob")
        bob.drop_link()
        tokens = []
        for _ in range(3):
            ann, told = await enter(gw)
            tokens.append(told["resume"])
            ann.drop_link()
        back = [(await enter(gw, resume=one))[1] for one in reversed(tokens)]
        assert [one["resumed"] for one in back] == [True, True, False]
        assert back[-1]["reason"] == "expired"
        assert (await enter(gw, "bob", bobs["resume"]))[1]["resumed"]


async def test_who_comes_back_takes_the_place_of_the_oldest(
    gateway: type[GatewayHarness],
) -> None:
    sessions = {"max_sessions_per_user": 2, "on_exceed": "kick_oldest"}
    config = config_with(policy={"sessions": sessions})
    async with gateway(config=config) as gw:
        away, told = await enter(gw)
        away.drop_link()
        first, _ = await enter(gw)
        await enter(gw)
        _, back = await enter(gw, resume=told["resume"])
        assert back["resumed"]
        await first.expect_closed(4502)
        assert len(gw.gateway.sessions.of_user("default", "user:ann")) == 2


async def test_a_tenant_ends_its_own_where_there_are_too_many(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"max_detached": 3}, tenants=("a", "b"))

    async with gateway(config=config) as gw:
        tokens = []
        for tenant, user in ("b", "vic"), *(("a", f"u{n}") for n in range(4)):
            client, told = await enter(gw, user, tenant=tenant)
            tokens.append((tenant, user, told["resume"]))
            client.drop_link()
        back = [
            (await enter(gw, user, tenant=tenant, resume=token))[1]["resumed"]
            for tenant, user, token in tokens
        ]
        assert back == [True, False, False, True, True]


async def test_without_a_window_it_is_not_offered(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"resume_window_ms": 0})
    async with gateway(config=config) as gw:
        ann, told = await enter(gw)
        assert "resume" not in told
        ann.drop_link()
        _, back = await enter(gw, resume="1.0.abc")
        assert (back["resumed"], back["reason"]) == (False, "not_offered")


async def test_a_detached_session_counts_in_no_limit_of_sessions(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(limits={"max_sessions_total": 1})
    async with gateway(config=config) as gw:
        ann, told = await enter(gw)
        ann.drop_link()
        bob, _ = await enter(gw, "bob")
        with pytest.raises(AssertionError):
            await enter(gw, resume=told["resume"])
        await bob.close()
        await gw.settle()
        _, back = await enter(gw, resume=told["resume"])
        assert back["resumed"] is True


async def test_nothing_is_left_when_the_gateway_stops(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        ann, _ = await enter(gw)
        await ann.join("r1")
        ann.drop_link()
    assert [what for what, _ in door.seen] == ["open", "detach", "leave", "close 1006"]
    assert len(gw.gateway.rooms) == 0


# ------------------------------------------------------------------------- many rooms


async def test_who_is_in_as_many_rooms_as_may_be_comes_back(
    gateway: type[GatewayHarness],
) -> None:
    # Nothing here is kept, and so each room is refused with the longest reason.
    async with gateway() as gw:
        ann, told = await enter(gw, "x" * 60)
        rooms = [longest(number) for number in range(MOST_ROOMS)]
        for room in rooms:
            await ann.join(room)
        ann.drop_link()
        again, back = await enter(gw, "x" * 60, resume=told["resume"])
        assert back["resumed"]
        assert [row["room"] for row in back["rooms"]] == rooms
        assert {row["reason"] for row in back["rooms"]} == {max(Refused, key=len)}
        assert back["active_room"] == rooms[-1]
        await again.join(rooms[0])


def test_rows_of_as_many_rooms_fit_one_message_whatever_they_say() -> None:
    row = {
        "room": longest(0),
        "alias": MAX_U32,
        "epoch": "e" * 32,
        "seq": MAX_SAFE_INTEGER,
        "n": MAX_SAFE_INTEGER,
        "recovered": False,
        "reason": max(Refused, key=len),
    }
    # The rest of `sys.authed`, with the names of all services.
    rest = 4 * 1024
    largest = DEFAULT_LANES[0].max_message_bytes
    assert len(JSON.encode({"rooms": [row] * MOST_ROOMS})) + rest < largest


@pytest.mark.parametrize("is_gone", [True, False])
async def test_who_is_in_more_than_can_be_told_begins_anew(
    gateway: type[GatewayHarness], is_gone: bool
) -> None:
    door = Door()
    config = config_with(gateway={"max_rooms_per_session": 0})
    async with gateway(door, config=config) as gw, gw.connect("bob") as bob:
        await bob.join(longest(0))
        ann, told = await enter(gw)
        for number in range(2 * MOST_ROOMS):
            await ann.join(longest(number))
        await gw.advance(1)
        await bob.read_all()
        if is_gone:
            ann.drop_link()
        _, back = await enter(gw, resume=told["resume"])
        assert (back["resumed"], back["reason"]) == (False, "too_many_rooms")
        assert back["sid"] != told["sid"]
        # The one before is over at once, and has left its rooms.
        code = 1006 if is_gone else 4505
        assert (f"close {code}", told["sid"]) in door.seen
        assert ("resume", told["sid"]) not in door.seen
        assert len(gw.gateway.rooms) == 1
        assert len(gw.gateway.sessions) == 2
        await gw.advance(1)
        news = [one for one in await bob.read_all() if isinstance(one, dict)]
        assert [one["data"].get("left") for one in news][-1] == [{"n": 2}]


@pytest.mark.interpreted
async def test_a_session_that_cannot_begin_leaves_nothing(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise MessageTooLarge("control", 2, 1)

    async with gateway(Lab()) as gw:
        ann, told = await enter(gw)
        await ann.join("r1")
        ann.drop_link()
        await gw.settle()
        with monkeypatch.context() as patch:
            patch.setattr(SessionDesk, "tell_authed", fail)
            for resume in (None, told["resume"]):
                client = await gw.dial(ticket="dev:ann", resume=resume)
                await client.expect_closed(1011)
                late = await gw.dial()
                data = {"ticket": "dev:ann"}
                auth = {"svc": "sys", "type": "auth", "data": data}
                await late.send_fields(auth)
                await late.expect_closed(1011)
        assert not len(gw.gateway.sessions)
        # What may come back, as after any drop, is over with the window.
        await gw.advance(40)
        assert not len(gw.gateway.rooms)
        await enter(gw)


@pytest.mark.parametrize("quiet", [False, True])
async def test_a_service_ends_the_membership_of_who_is_away(
    gateway: type[GatewayHarness], quiet: bool
) -> None:
    door = Door()
    async with gateway("chat", door) as gw, gw.connect("bob") as bob:
        ann, told = await enter(gw)
        await bob.join("r1")
        await ann.join("r2")
        door.todo = lambda session, _: JoinRoom(told["sid"], "r1", quiet=quiet)
        await bob.request("lab", "do")
        await gw.advance(1)
        await bob.read_all()
        ann.drop_link()
        await gw.settle()
        door.todo = lambda session, _: [
            LeaveRoom(told["sid"], "r1"),
            LeaveRoom(told["sid"], "nowhere"),
        ]
        await bob.request("lab", "do")
        assert door.seen[-1] == ("detach" if quiet else "leave", told["sid"])
        await gw.advance(1)
        told_bob = [one for one in await bob.read_all() if isinstance(one, dict)]
        left = [one["data"]["left"] for one in told_bob if one["type"] == "presence"]
        assert left == ([] if quiet else [[{"n": 2}]])
        await bob.request("chat", "send", {"msg": "not for ann"}, room="r1")
        again, back = await enter(gw, resume=told["resume"])
        assert [one["room"] for one in back["rooms"]] == ["r2"]
        if not quiet:
            assert (await again.expect_push("sys.left"))["room"] == "r1"
        await bob.request("chat", "send", {"msg": "nor this"}, room="r1")
        more = [one for one in await again.read_all() if isinstance(one, dict)]
        assert "r1" not in [one.get("room") for one in more]


async def test_who_is_of_another_tenant_is_nobody_to_take_out(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        ann, told = await enter(gw)
        await ann.join("r1")
        ann.drop_link()
        await gw.settle()
        door.gateway.perform(LeaveRoom(told["sid"], "r1"), tenant="other")
        _, back = await enter(gw, resume=told["resume"])
        assert [one["room"] for one in back["rooms"]] == ["r1"]
