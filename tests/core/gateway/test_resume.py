"""PROTOCOL section 6: a dropped session comes back within its window, whole."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import Lab
from wsprism_core import Kick, Session, hookimpl
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


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


async def enter(
    gw: GatewayHarness, user: str = "ann", resume: str | None = None
) -> tuple[ScriptedClient, dict[str, Any]]:
    """Return a client that is connected, and what it was told of itself."""
    client = await gw.dial(ticket=f"dev:{user}", resume=resume)
    return client, (await client.expect_push("sys.authed"))["data"]


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

    async def enter(
        tenant: str, user: str, resume: str | None = None
    ) -> tuple[ScriptedClient, dict[str, Any]]:
        client = await gw.dial(ticket=f"dev:{user}", tenant=tenant, resume=resume)
        return client, (await client.expect_push("sys.authed"))["data"]

    async with gateway(config=config) as gw:
        tokens = []
        for tenant, user in ("b", "vic"), *(("a", f"u{n}") for n in range(4)):
            client, told = await enter(tenant, user)
            tokens.append((tenant, user, told["resume"]))
            client.drop_link()
        back = [(await enter(*token))[1]["resumed"] for token in tokens]
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
