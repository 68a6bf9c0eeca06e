"""Tickets that the configuration makes good: JWTs, one-time ones, and revoked ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.services import Lab
from support.tokens import NOW, SECRET_KEY, ed_key, letting_in, token, write_pem
from wsprism_core import Envelope, Identity, JoinRoom, Session, hookimpl
from wsprism_core.config import ConfigError
from wsprism_core.policy.connect_tickets import ConnectTicketsFull
from wsprism_core.policy.revocations import RevocationsFull
from wsprism_core.testing import GatewayHarness, ScriptedClient

OTHER_KEY = "f" * 32


def issuer(secret: str = SECRET_KEY, **config: Any) -> dict[str, Any]:
    return {"algorithms": ["HS256"], "keys": [{"secret": secret}], **config}


ACME: dict[str, Any] = {"jwt": [issuer()], "connect_tickets": {"enabled": True}}
CONFIG = letting_in({"acme": ACME, "other": {"jwt": [issuer(OTHER_KEY)]}, "none": {}})


async def let_in(
    gw: GatewayHarness, ticket: str, tenant: str = "acme"
) -> ScriptedClient:
    client = await gw.dial(ticket=ticket, tenant=tenant)
    client.authed = (await client.expect_push("sys.authed"))["data"]
    return client


async def is_refused(gw: GatewayHarness, ticket: str, tenant: str = "acme") -> bool:
    before = len(gw.gateway.sessions)
    client = await gw.dial(ticket=ticket, tenant=tenant)
    return client.closed is not None and len(gw.gateway.sessions) == before


# ------------------------------------------------------------------------------ JWTs


async def test_a_token_lets_in_its_user_in_its_tenant(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=CONFIG) as gw:
        client = await let_in(gw, token())
        assert (client.authed["user"], client.authed["tenant"]) == ("ann", "acme")
        assert await is_refused(gw, token(), "other")
        assert await is_refused(gw, token(), "none")
        assert not await is_refused(gw, token(OTHER_KEY), "other")
        assert gw.metrics.tickets == {
            ("acme", "good"): 1,
            ("other", "unknown"): 1,
            ("none", "unknown"): 1,
            ("other", "good"): 1,
        }


async def test_why_a_token_is_refused_is_counted_and_not_told(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=CONFIG) as gw:
        for ticket, outcome in (
            (token(exp=NOW - 60), "expired"),
            (token(nbf=NOW + 60), "early"),
            (token(aud="x"), "audience"),
            (token(tenant="other"), "tenant"),
            (token(without="exp"), "claims"),
            (token(OTHER_KEY), "unknown"),
        ):
            client = await gw.dial(ticket=ticket, tenant="acme")
            assert await client.expect_closed() == "the ticket is not good"
            assert gw.metrics.tickets["acme", outcome] == 1


async def test_of_several_issuers_the_one_that_signed_counts(
    gateway: type[GatewayHarness],
) -> None:
    issuers = [
        issuer(issuer="a"),
        issuer(issuer="b", user_claim="uid"),
        issuer("g" * 32),
    ]
    async with gateway(config=letting_in({"acme": {"jwt": issuers}})) as gw:
        assert (await let_in(gw, token(iss="a"))).authed["user"] == "ann"
        assert (await let_in(gw, token(iss="b", uid="bob"))).authed["user"] == "bob"
        assert (await let_in(gw, token("g" * 32))).authed["user"] == "ann"
        assert await is_refused(gw, token(iss="c"))


async def test_a_ticket_that_is_known_and_not_good_is_offered_to_nobody(
    gateway: type[GatewayHarness],
) -> None:
    class Everybody:
        wsprism_api = 1

        @hookimpl
        def authenticate(self, ticket: str, tenant: str) -> Identity:
            return Identity("anybody", tenant)

    async with gateway(Everybody(), config=CONFIG) as gw:
        assert (await let_in(gw, token())).authed["user"] == "ann"
        assert await is_refused(gw, token(exp=NOW - 60))
        assert (await let_in(gw, "else")).authed["user"] == "anybody"
        assert (await let_in(gw, token(OTHER_KEY))).authed["user"] == "anybody"


async def test_what_a_plugin_says_of_a_ticket_counts_as_well(
    gateway: type[GatewayHarness],
) -> None:
    said = {
        "past": Identity("ann", "none", expires=NOW - 1),
        "never": Identity("ann", "none", expires=float("nan")),
        "text": Identity("ann", "none", expires="later"),  # type: ignore[arg-type]
        "list": Identity("ann", "none", rooms=["a"]),  # type: ignore[arg-type]
        "id": Identity("ann", "none", ticket_id=["a"]),  # type: ignore[arg-type]
        "good": Identity("ann", "none", expires=NOW + 5, rooms=("lobby",)),
    }

    class Door:
        wsprism_api = 1
        name = "door"

        @hookimpl
        def authenticate(self, ticket: str) -> Identity | None:
            return said.get(ticket)

    async with gateway(Door(), config=CONFIG) as gw:
        for ticket in ("past", "never", "text", "list", "id"):
            assert await is_refused(gw, ticket, "none")
        assert gw.metrics.plugin_failures == {("door", "authenticate"): 3}
        client = await let_in(gw, "good", "none")
        await client.join("lobby")
        await client.send("room", "join", room="other")
        await client.expect_error("NOT_ALLOWED")
        await gw.advance(5.2)
        await client.expect_closed(4500)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([{"secret_env": "WSPRISM_TEST_NO_SUCH"}], "the environment has no WSPRISM_"),
        ([{"secret": SECRET_KEY}, {"file": "/no/such"}], "/no/such cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used_refuses_to_start(
    gateway: type[GatewayHarness], keys: list[dict[str, str]], said: str
) -> None:
    bad = issuer(keys=keys)
    config = letting_in({"acme": {"jwt": [issuer()]}, "b": {"jwt": [issuer(), bad]}})

    async def start() -> None:
        async with gateway(config=config):
            pass

    with pytest.raises(ConfigError) as caught:
        asyncio.run(start())
    (problem,) = caught.value.problems
    place = len(keys) - 1
    assert problem.startswith(f"tenants[1].auth.jwt[1].keys[{place}]: {said}")


def test_a_key_for_no_algorithm_of_its_issuer_refuses_to_start(
    gateway: type[GatewayHarness],
) -> None:
    config = letting_in({"acme": {"jwt": [issuer(algorithms=["RS256"])]}})

    async def start() -> None:
        async with gateway(config=config):
            pass

    with pytest.raises(ConfigError, match="is for HS256, HS384, HS512, which"):
        asyncio.run(start())


# ----------------------------------------------------------------------------- rooms


class Host:
    """Makes a session a member of the room that it names, and counts who asked."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    @hookimpl
    def check_join(self, room: str) -> None:
        self.asked.append(room)


def into(session: Session, message: Envelope) -> JoinRoom:
    return JoinRoom(session.id, message.data)


async def test_a_client_joins_the_rooms_of_its_ticket(
    gateway: type[GatewayHarness],
) -> None:
    lab, host = Lab(), Host()
    lab.todo = into
    async with gateway(lab, host, config=CONFIG) as gw:
        client = await let_in(gw, token(rooms=["lobby", "team-*"]))
        await client.join("lobby")
        await client.join("team-7")
        ref = await client.send("room", "join", room="staff", ack=True)
        await client.expect_error("NOT_ALLOWED", ref=ref)
        ref = await client.send("room", "join", ack=True)
        await client.expect_error("NOT_ALLOWED", ref=ref)
        assert host.asked == ["lobby", "team-7"]
        # A service decides for itself.
        await client.send("lab", "do", "staff")
        joined = await client.expect_push("sys.joined")
        assert joined["room"] == "staff"
        nothing = await let_in(gw, token(rooms=[]))
        await nothing.send("room", "join", room="lobby")
        await nothing.expect_error("NOT_ALLOWED")


async def test_a_new_ticket_brings_its_own_rooms(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    lab.todo = into
    async with gateway(lab, config=CONFIG) as gw:
        client = await let_in(gw, token(rooms=["a", "b"]))
        await client.join("a")
        await client.join("b")
        await client.send("lab", "do", "staff")
        await client.expect_push("sys.joined")
        later = {"ticket": token(rooms=["b", "c"])}
        ref = await client.send("sys", "refresh", later, ack=True)
        left = await client.expect_push("sys.left")
        assert left["room"] == "a"
        await client.expect_reply(ref)
        (session,) = gw.gateway.sessions
        assert session.rooms == ("b", "staff")
        await client.join("c")
        await client.send("room", "join", room="a")
        await client.expect_error("NOT_ALLOWED")


async def test_who_comes_back_hears_nothing_of_a_room_that_the_ticket_forbids(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("chat", config=CONFIG) as gw:
        bob = await let_in(gw, token(sub="bob"))
        ann = await let_in(gw, token(rooms=["a", "b"]))
        for room in "a", "b":
            await ann.join(room)
            await bob.join(room)
        await gw.advance(1)
        ann.drop_link()
        for room in "a", "b":
            await bob.request("chat", "send", {"msg": room}, room=room)
        again = await gw.dial(
            ticket=token(rooms=["b"]), tenant="acme", resume=ann.authed["resume"]
        )
        back = (await again.expect_push("sys.authed"))["data"]
        assert [row["room"] for row in back["rooms"]] == ["b"]
        await gw.advance(1)
        told = [one for one in await again.read_all() if isinstance(one, dict)]
        of_a = [(one["svc"], one["type"]) for one in told if one.get("room") == "a"]
        assert of_a == [("sys", "left")]
        of_b = [(one["svc"], one["type"]) for one in told if one.get("room") == "b"]
        assert {("chat", "msg"), ("room", "presence")} <= set(of_b)


# ------------------------------------------------------------------ one-time tickets


async def test_a_one_time_ticket_lets_in_once(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        issue = gw.gateway.issue_ticket
        ticket = issue("acme", "ann", rooms=["lobby"], expires=NOW + 10)
        client = await let_in(gw, ticket)
        assert client.authed["user"] == "ann"
        assert await is_refused(gw, ticket)
        await client.send("room", "join", room="other")
        await client.expect_error("NOT_ALLOWED")
        await gw.advance(9)
        again = {"ticket": issue("acme", "ann")}
        ref = await client.send("sys", "refresh", again, ack=True)
        await client.expect_reply(ref)
        await gw.advance(9)
        assert client.closed is None


async def test_it_is_good_in_its_tenant_and_for_its_time(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=letting_in({"acme": ACME, "other": ACME})) as gw:
        ticket = gw.gateway.issue_ticket("acme", "ann")
        assert await is_refused(gw, ticket, "other")
        await gw.advance(29.9)
        assert not await is_refused(gw, ticket, "acme")
        late = gw.gateway.issue_ticket("acme", "ann")
        await gw.advance(30)
        assert await is_refused(gw, late, "acme")


async def test_of_a_hundred_at_once_one_gets_in(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        ticket = gw.gateway.issue_ticket("acme", "ann")
        dials = (gw.dial(ticket=ticket, tenant="acme") for _ in range(100))
        clients = await asyncio.gather(*dials)
        assert sum(client.closed is None for client in clients) == 1
        assert len(gw.gateway.sessions) == 1


async def test_what_is_issued_wrongly(gateway: type[GatewayHarness]) -> None:
    full = {"connect_tickets": {"enabled": True, "max_pending": 1}}
    async with gateway(config=letting_in({"acme": full, "other": {}})) as gw:
        issue = gw.gateway.issue_ticket
        for tenant in ("other", "nowhere"):
            with pytest.raises(KeyError):
                issue(tenant, "ann")
        with pytest.raises(ValueError, match="the user"):
            issue("acme", "a\nb")
        with pytest.raises(ValueError, match="a room is"):
            issue("acme", "ann", rooms=["a b"])
        with pytest.raises(ValueError, match="is past"):
            issue("acme", "ann", expires=NOW)
        issue("acme", "ann")
        with pytest.raises(ConnectTicketsFull):
            issue("acme", "ann")


# -------------------------------------------------------------------------- revoking


async def test_a_token_is_revoked(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        revoked, other = token(jti="t1"), token(jti="t2")
        first, second = await let_in(gw, revoked), await let_in(gw, other)
        assert gw.gateway.revoke("acme", ticket_id="t1") == 1
        await gw.settle()
        assert await first.expect_closed(4503) == "the ticket was revoked"
        assert second.closed is None
        assert await is_refused(gw, revoked)
        assert not await is_refused(gw, other)
        assert gw.metrics.tickets["acme", "revoked"] == 1
        ref = await second.send("sys", "refresh", {"ticket": revoked}, ack=True)
        await second.expect_error("AUTH_FAILED", ref=ref)


async def test_all_tickets_of_a_user_are_revoked(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=CONFIG) as gw:
        ann = [await let_in(gw, token()), await let_in(gw, token(iat=NOW))]
        bob = await let_in(gw, token(sub="bob"))
        waiting = gw.gateway.issue_ticket("acme", "ann")
        assert gw.gateway.revoke("acme", user="ann") == 2
        for client in ann:
            await client.expect_closed(4503)
        assert bob.closed is None
        for ticket in (token(), token(iat=NOW), waiting):
            assert await is_refused(gw, ticket)
        await gw.advance(1)
        assert not await is_refused(gw, token(iat=NOW + 1))
        assert not await is_refused(gw, gw.gateway.issue_ticket("acme", "ann"))


async def test_it_stays_revoked_until_it_has_expired(
    gateway: type[GatewayHarness],
) -> None:
    config = letting_in({"acme": ACME}, gateway={"revocation_ttl_ms": 1_000})
    async with gateway(config=config) as gw:
        await let_in(gw, token(jti="t1", exp=NOW + 60))
        gw.gateway.revoke("acme", ticket_id="t1")
        await gw.advance(50)
        assert await is_refused(gw, token(jti="t1", exp=NOW + 60))
        gw.gateway.revoke("acme", ticket_id="t2")
        await gw.advance(1)
        assert not await is_refused(gw, token(jti="t2", exp=NOW + 90))


async def test_at_the_bound_sessions_are_closed_and_the_operator_is_told(
    gateway: type[GatewayHarness],
) -> None:
    config = letting_in({"acme": ACME}, gateway={"max_revocations": 1})
    async with gateway(config=config) as gw:
        client = await let_in(gw, token(jti="t2"))
        assert gw.gateway.revoke("acme", ticket_id="t1") == 0
        with pytest.raises(RevocationsFull):
            gw.gateway.revoke("acme", ticket_id="t2")
        await client.expect_closed(4503)


async def test_what_is_revoked_wrongly(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        with pytest.raises(KeyError):
            gw.gateway.revoke("nowhere", user="ann")
        with pytest.raises(ValueError, match="name a user"):
            gw.gateway.revoke("acme")


async def test_what_is_counted_is_shown(gateway: type[GatewayHarness]) -> None:
    async with gateway(config=CONFIG) as gw:
        gw.gateway.issue_ticket("acme", "ann")
        await let_in(gw, gw.gateway.issue_ticket("acme", "ann"))
        gw.gateway.revoke("acme", ticket_id="t1")
        body, _ = gw.gateway._render_metrics()
        for line in (
            'wsprism_connect_tickets_total{outcome="issued",tenant="acme"} 2.0',
            'wsprism_connect_tickets_total{outcome="used",tenant="acme"} 1.0',
            'wsprism_connect_tickets_pending{tenant="acme"} 1.0',
            'wsprism_tickets_total{outcome="good",tenant="acme"} 1.0',
            "wsprism_revocations 1.0",
        ):
            assert f"\n{line}\n" in body.decode()


async def test_a_reload_reads_keys_in_files_again(
    gateway: type[GatewayHarness], tmp_path: Path
) -> None:
    keys = [{"file": str(write_pem(tmp_path, ed_key(0), "login.pem"))}]
    config = letting_in({"acme": {"jwt": [{"algorithms": ["EdDSA"], "keys": keys}]}})
    old, new = (token(ed_key(number), "EdDSA") for number in (0, 1))
    async with gateway(config=config) as gw:
        await let_in(gw, old)
        assert await is_refused(gw, new)
        write_pem(tmp_path, ed_key(1), "login.pem")
        gw.gateway.reload(config)
        await let_in(gw, new)
        assert await is_refused(gw, old)
        # A file that is no key changes nothing.
        (tmp_path / "login.pem").write_text("none", encoding="ascii")
        with pytest.raises(ConfigError, match="keys"):
            gw.gateway.reload(config)
        await let_in(gw, new)
