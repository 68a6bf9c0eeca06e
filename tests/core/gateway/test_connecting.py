"""PROTOCOL section 1, as far as it is no transport's business."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.services import ANYWHERE, LAB, RELAY, Lab
from wsprism_core import (
    ConnectRequest,
    ErrorCode,
    HotFrame,
    HttpRequest,
    Identity,
    ProtocolError,
    hookimpl,
)
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

SINGLE = {"sessions": {"mode": "single"}}
KICK_OLDEST = {"sessions": {"max_sessions_per_user": 2, "on_exceed": "kick_oldest"}}


def auth(**data: Any) -> dict[str, Any]:
    return {"svc": "sys", "type": "auth", "data": data}


async def turned_away(client: ScriptedClient, code: str, close_code: int) -> None:
    """Check that a client got one error and the close, and nothing else."""
    (error,) = await client.read_all()
    assert isinstance(error, dict)
    assert (error["svc"], error["type"]) == ("sys", "error")
    assert error["data"]["code"] == code
    assert error["trace_id"]
    assert await client.expect_closed(close_code) == error["data"]["msg"]


class Door:
    """Knows tickets `key:<user>@<tenant>`; thinks about them until it is told to go on.

    `key:boom` makes it fail, `key:no` makes it refuse at once.
    """

    wsprism_api = 1

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked: list[tuple[str, ConnectRequest]] = []

    @hookimpl
    async def authenticate(
        self, ticket: str, tenant: str, request: ConnectRequest
    ) -> Identity | None:
        self.asked.append((tenant, request))
        await self.go_on.wait()
        if not ticket.startswith("key:"):
            return None
        if ticket == "key:boom":
            raise RuntimeError("the directory is down")
        if ticket == "key:no":
            raise ProtocolError(ErrorCode.AUTH_FAILED, "revoked")
        user, _, home = ticket[4:].partition("@")
        return Identity(user, home or tenant)


class LastDoor:
    """Lets everybody in that nobody before has decided about."""

    wsprism_api = 1

    @hookimpl
    def authenticate(self, ticket: str, tenant: str) -> Identity | None:
        return Identity("anybody", tenant)


# -------------------------------------------------------------------------- authed


async def test_the_first_message_says_who_one_is_here(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        client = await gw.dial(ticket="dev:ann", tenant="default")
        (authed,) = await client.read_all()
        assert isinstance(authed, dict)
        assert authed.pop("trace_id")
        assert authed == {
            "v": 1,
            "svc": "sys",
            "type": "authed",
            "data": {
                "tenant": "default",
                "user": "user:ann",
                "sid": "1",
                "ping_ms": 20_000,
                "limits": {"max_frame_bytes": 65_536},
                "services": {"lab": LAB},
            },
        }


@pytest.mark.parametrize(
    ("ticket", "user"), [("dev", "user:dev"), ("dev:ann", "user:ann")]
)
async def test_development_tickets(
    gateway: type[GatewayHarness], ticket: str, user: str
) -> None:
    async with gateway() as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket=ticket))
        assert (await client.expect_push("sys.authed"))["data"]["user"] == user


async def test_the_ticket_comes_as_the_first_message(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(tenants=("acme", "globex"))
    async with gateway(config=config) as gw:
        client = await gw.dial()
        client.expect_nothing()
        await client.send_fields(
            {**auth(ticket="dev:ann", tenant="globex", codec="msgpack"), "seq": 9}
        )
        authed = await client.expect_reply(9)
        assert authed["data"]["tenant"] == "globex"
        await client.request("sys", "ping")


async def test_the_tenant_may_come_with_the_handshake_and_the_ticket_later(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(config=config_with(tenants=("acme", "globex"))) as gw:
        client = await gw.dial(tenant="acme")
        await client.send_fields(auth(ticket="dev"))
        assert (await client.expect_push("sys.authed"))["data"]["tenant"] == "acme"


@pytest.mark.parametrize("tenant", [None, "nobody"])
async def test_a_tenant_that_is_not_there_or_not_told_of_two(
    gateway: type[GatewayHarness], tenant: str | None
) -> None:
    async with gateway(config=config_with(tenants=("acme", "globex"))) as gw:
        client = await gw.dial()
        data = {"ticket": "dev", "tenant": tenant} if tenant else {"ticket": "dev"}
        await client.send_fields(auth(**data))
        await turned_away(client, "AUTH_FAILED", 4503)
        client = await gw.dial(ticket="dev", tenant=tenant)
        assert client.link.refusal is not None
        assert client.link.refusal.status == 400


async def test_an_unknown_tenant_is_refused_before_any_ticket(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        client = await gw.dial(tenant="nobody")
        assert client.link.refusal is not None
        assert client.link.refusal.status == 400


# ------------------------------------------------------------- before `sys.authed`


@pytest.mark.parametrize(
    "message",
    [
        b'{"svc":"sys","type":"ping"}',
        b'{"svc":"sys","type":"refresh","data":{"ticket":"dev"}}',
        b'{"svc":"room","type":"join"}',
        b'{"svc":"nope","type":"auth","data":{"ticket":"dev"}}',
        MSGPACK.encode({"svc": "lab", "type": "echo"}),
        encode_hot_frame(LAB, RELAY, b""),
        b"\x01",
    ],
)
async def test_before_authed_only_auth_is_legal(
    gateway: type[GatewayHarness], message: bytes
) -> None:
    lab = Lab()
    async with gateway(lab) as gw:
        client = await gw.dial()
        if message.startswith(b"{"):
            await client.send_text(message)
        else:
            await client.send_binary(message)
        await turned_away(client, "AUTH_FAILED", 4503)
        assert lab.events == [("start",)]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "BAD_REQUEST"),
        ('{"svc":"sys","type":"auth","bogus":1}', "BAD_REQUEST"),
        ('{"v":2,"svc":"sys","type":"auth"}', "UNSUPPORTED_VERSION"),
        ('{"svc":"sys","type":"auth"}', "BAD_REQUEST"),
        ('{"svc":"sys","type":"auth","data":{}}', "BAD_REQUEST"),
        ('{"svc":"sys","type":"auth","data":["dev"]}', "BAD_REQUEST"),
        ('{"svc":"sys","type":"auth","data":{"ticket":1}}', "BAD_REQUEST"),
        (
            '{"svc":"sys","type":"auth","data":{"ticket":"dev","tenant":1}}',
            "BAD_REQUEST",
        ),
        (
            '{"svc":"sys","type":"auth","data":{"ticket":"dev","codec":"xml"}}',
            "BAD_REQUEST",
        ),
        ('{"svc":"sys","type":"auth","data":{"ticket":"bad"}}', "AUTH_FAILED"),
    ],
)
async def test_an_auth_that_is_wrong_is_the_last_message(
    gateway: type[GatewayHarness], message: str, code: str
) -> None:
    async with gateway() as gw:
        client = await gw.dial()
        await client.send_text(message)
        await turned_away(client, code, 4503)


async def test_the_error_of_a_wrong_auth_has_its_ref(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        client = await gw.dial()
        await client.send_fields({**auth(ticket="bad"), "seq": 5})
        await client.expect_error("AUTH_FAILED", ref=5)


async def test_a_second_auth_is_a_conflict_and_changes_nothing(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("sys", "auth", {"ticket": "dev:bob"}, ack=True)
        await ann.expect_error("CONFLICT", ref=ref)
        await ann.request("sys", "ping")
        assert len(list(gw.api.sessions_of("default", "user:ann"))) == 1


async def test_without_a_ticket_in_time_it_is_over(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        client = await gw.dial()
        await gw.advance(4.999)
        client.expect_nothing()
        await gw.advance(0.001)
        await turned_away(client, "AUTH_FAILED", 4503)


async def test_how_long_a_ticket_may_take_is_configured(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(gateway={"auth_timeout_ms": 200})
    async with gateway(config=config) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket="dev"))
        late = await gw.dial()
        await gw.advance(0.2)
        await late.expect_closed(4503)
        assert client.closed is None


async def test_before_authed_messages_are_small(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        client = await gw.dial()
        await client.send_fields(auth(ticket="dev" + " " * 8 * 1024))
        await client.expect_closed(1009)
        await ann.request("sys", "ping", {"client_ts": "x" * 60_000})


# ----------------------------------------------------------------- how many sessions


async def test_a_session_too_many_is_denied(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy=SINGLE, tenants=("acme", "globex"))
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann", tenant="acme") as ann,
        gw.connect(user="bob", tenant="acme"),
        gw.connect(user="ann", tenant="globex"),
    ):
        client = await gw.dial()
        await client.send_fields(auth(ticket="dev:ann", tenant="acme"))
        await turned_away(client, "TOO_MANY_SESSIONS", 4504)
        refusal = (await gw.dial(ticket="dev:ann", tenant="acme")).link.refusal
        assert refusal is not None
        assert refusal.status == 429
        assert refusal.retry_after
        await ann.close()
        async with gw.connect(user="ann", tenant="acme"):
            pass


async def test_or_the_oldest_is_kicked(gateway: type[GatewayHarness]) -> None:
    async with (
        gateway(config=config_with(policy=KICK_OLDEST)) as gw,
        gw.connect(user="ann") as oldest,
        gw.connect(user="ann") as older,
        gw.connect(user="ann") as newest,
    ):
        kicked = await oldest.expect_push("sys.kicked")
        assert kicked["data"] == {"reason": "logged in elsewhere"}
        assert await oldest.expect_closed(4502) == "logged in elsewhere"
        await older.request("sys", "ping")
        await newest.request("sys", "ping")


async def test_a_full_tenant(gateway: type[GatewayHarness]) -> None:
    config = config_with(limits={"max_sessions_total": 1}, tenants=("acme", "globex"))
    async with gateway(config=config) as gw, gw.connect(user="ann", tenant="acme"):
        client = await gw.dial()
        await client.send_fields(auth(ticket="dev:bob", tenant="acme"))
        await turned_away(client, "RESOURCE_EXHAUSTED", 1013)
        refusal = (await gw.dial(ticket="dev:bob", tenant="acme")).link.refusal
        assert refusal is not None
        assert refusal.status == 503
        assert refusal.retry_after
        async with gw.connect(user="bob", tenant="globex"):
            pass


async def test_who_takes_the_place_of_his_own_session_needs_no_other(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(limits={"max_sessions_total": 2}, policy=KICK_OLDEST)
    async with (
        gateway(config=config) as gw,
        gw.connect(user="ann") as oldest,
        gw.connect(user="ann"),
        gw.connect(user="ann"),
    ):
        await oldest.expect_closed(4502)


async def test_the_users_sessions_are_counted_before_the_tenants(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(limits={"max_sessions_total": 1}, policy=SINGLE)
    async with gateway(config=config) as gw, gw.connect(user="ann"):
        refusal = (await gw.dial(ticket="dev:ann")).link.refusal
        assert refusal is not None
        assert refusal.status == 429


async def test_a_draining_gateway(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw:
        waiting = await gw.dial()
        await gw.drain()
        await waiting.send_fields(auth(ticket="dev"))
        await turned_away(waiting, "RESOURCE_EXHAUSTED", 1013)
        # A ticket that is not good is told apart before that, an unknown tenant first.
        for ticket, tenant, status in (
            ("dev", None, 503),
            (None, None, 503),
            ("bad", None, 401),
            ("bad", "nobody", 400),
        ):
            refusal = (await gw.dial(ticket=ticket, tenant=tenant)).link.refusal
            assert refusal is not None
            assert refusal.status == status
        answer = gw.gateway.host.http(HttpRequest("GET", "/readyz", {}, {}, ""))
        assert (answer.status, answer.body) == (503, b"draining\n")


async def test_too_many_handshakes(gateway: type[GatewayHarness]) -> None:
    limit = {"enabled": True, "per_ip_burst": 1, "per_ip_rps": 1}
    async with gateway(config=config_with(gateway={"handshake_limit": limit})) as gw:
        for address, refused in (("10.0.0.1", 0), ("10.0.0.1", 429), ("10.0.0.2", 0)):
            refusal = (await gw.dial(ticket="dev", address=address)).link.refusal
            assert (0 if refusal is None else refusal.status) == refused


# ----------------------------------------------------------- plugins that know tickets


async def test_what_comes_while_a_ticket_is_judged_waits_in_order(
    gateway: type[GatewayHarness],
) -> None:
    door, lab = Door(), Lab()
    async with gateway(door, lab) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket="key:ann"))
        await client.send("lab", "echo", 1)
        await client.send_frame(LAB, ANYWHERE, seq=2, ack=True)
        await client.send_fields({**auth(ticket="key:ann"), "seq": 3})
        await client.send("lab", "echo", 4, seq=4)
        client.expect_nothing()
        door.go_on.set()
        await gw.settle()
        authed, error, first, frame, last = await client.read_all()
        assert isinstance(authed, dict)
        assert authed["type"] == "authed"
        # It rides the lane that goes first; the others keep their order.
        assert isinstance(error, dict)
        assert (error["ref"], error["data"]["code"]) == (3, "CONFLICT")
        assert isinstance(first, dict)
        assert first["data"] == 1
        assert isinstance(frame, HotFrame)
        assert frame.seq == 2
        assert isinstance(last, dict)
        assert last["data"] == 4


async def test_a_ticket_that_is_judged_too_long(gateway: type[GatewayHarness]) -> None:
    door = Door()
    async with gateway(door) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket="key:ann"))
        await gw.advance(5)
        await turned_away(client, "AUTH_FAILED", 4503)
        door.go_on.set()
        await gw.settle()
        assert len(gw.gateway.sessions) == 0


async def test_a_client_that_went_away_while_its_ticket_was_judged(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    async with gateway(door) as gw:
        client, other = await gw.dial(), await gw.dial(ticket="key:bob")
        await client.send_fields(auth(ticket="key:ann"))
        client.drop_link()
        other.drop_link()
        door.go_on.set()
        await gw.settle()
        assert len(gw.gateway.sessions) == 0


@pytest.mark.parametrize("ticket", ["key:boom", "key:no", "key:ann@globex"])
async def test_a_ticket_that_is_refused_is_not_offered_to_the_next(
    gateway: type[GatewayHarness], ticket: str
) -> None:
    door = Door()
    door.go_on.set()
    async with gateway(door, LastDoor()) as gw:
        client = await gw.dial()
        await client.send_fields(auth(ticket=ticket))
        await client.expect_closed(4503)
        failed = gw.metrics.plugin_failures["Door", "authenticate"]
        assert failed == (ticket == "key:boom")


async def test_plugins_are_asked_until_one_knows_the_ticket(
    gateway: type[GatewayHarness],
) -> None:
    door = Door()
    door.go_on.set()
    async with gateway(door, LastDoor()) as gw:
        client = await gw.dial(ticket="something", address="10.1.2.3")
        authed = await client.expect_push("sys.authed")
        assert authed["data"]["user"] == "anybody"
        ((tenant, request),) = door.asked
        assert (tenant, request.transport, request.address) == (
            "default",
            "memory",
            "10.1.2.3",
        )


# ---------------------------------------------------------------------- other rules


async def test_a_new_ticket_on_a_live_connection(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("sys", "refresh", {"ticket": "dev:ann"}, ack=True)
        answer = await ann.expect_reply(ref)
        assert (answer["type"], answer["data"]["sid"]) == ("authed", "1")
        for data, code in (
            ({"ticket": "dev:bob"}, "AUTH_FAILED"),
            ({"ticket": "bad"}, "AUTH_FAILED"),
            ({"ticket": 1}, "BAD_REQUEST"),
            ("dev:ann", "BAD_REQUEST"),
        ):
            ref = await ann.send("sys", "refresh", data, ack=True)
            await ann.expect_error(code, ref=ref)
        ann.expect_nothing()
        await ann.request("sys", "ping")


async def test_a_resume_that_is_not_offered_is_refused_with_a_reason(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        client = await gw.dial(ticket="dev", resume="r")
        data = (await client.expect_push("sys.authed"))["data"]
        assert data["resumed"] is False
        assert data["reason"]


async def test_a_ticket_reaches_no_log_error_metric_or_reason(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tickets = ["sesame-1", "sesame-2", "sesame-3"]
    async with gateway(LastDoor()) as gw, gw.connect(user="ann") as ann:
        told: list[Any] = []
        await gw.dial(ticket=tickets[0])
        for data in ({"ticket": tickets[1], "tenant": "nobody"}, [tickets[1]]):
            client = await gw.dial()
            await client.send_fields(
                auth(**data)
                if isinstance(data, dict)
                else {"svc": "sys", "type": "auth", "data": data}
            )
            told += [*await client.read_all(), client.closed]
        await ann.send("sys", "refresh", {"ticket": tickets[2]})
        await ann.send("sys", "auth", {"ticket": tickets[2]})
        told += await ann.read_all()
        metrics = gw.gateway.host.http(HttpRequest("GET", "/metrics", {}, {}, ""))
        said = f"{told} {metrics.body!r} {ConnectRequest('a', 'b', ticket=tickets[0])}"
        logged = " ".join(f"{record.__dict__}" for record in caplog.records)
        assert "session_opened" in logged
        for ticket in tickets:
            assert ticket not in said
            assert ticket not in logged
