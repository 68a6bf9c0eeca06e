"""PROTOCOL section 1, as far as it is no transport's business."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import LAB, RELAY, Lab
from wsprism_core import (
    HttpRequest,
)
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with
from wsprism_core.transports.port import TransportTimeouts

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


# -------------------------------------------------------------------------- authed


async def test_the_first_message_says_who_one_is_here(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw:
        client = await gw.dial(ticket="dev:ann", tenant="default")
        (authed,) = await client.read_all()
        assert isinstance(authed, dict)
        assert authed.pop("trace_id")
        assert authed["data"].pop("resume")
        assert authed == {
            "v": 1,
            "svc": "sys",
            "type": "authed",
            "data": {
                "tenant": "default",
                "user": "user:ann",
                "sid": "default-1",
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
        assert gw.metrics.handshakes == {
            ("memory", "accepted"): 2,
            ("memory", "429"): 1,
        }


async def test_a_storm_is_counted_in_full_and_logged_in_part(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    limit = {"enabled": True, "per_ip_burst": 1, "per_ip_rps": 1}
    config = config_with(gateway={"handshake_limit": limit})
    with caplog.at_level("INFO", "wsprism"):
        async with gateway(config=config) as gw:
            for _ in range(101):
                await gw.dial(ticket="dev", address="10.0.0.1")
            assert gw.metrics.handshakes["memory", "429"] == 100
    assert sum(record.message == "refused" for record in caplog.records) == 10


async def test_what_most_handshakes_come_to_is_foreseen_by_transport(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw:
        gw.gateway._admission.foresee(["tcp", "websocket"])
        series = gw.metrics.handshakes.series()
    assert set(series.values()) == {0}
    assert ("memory", "accepted") in series, "its own transport"
    by_status = {"400", "408", "429", "503"}
    by_code = {"4503", "4504", "1013"}
    found = {
        name: {outcome for transport, outcome in series if transport == name}
        for name in ("tcp", "websocket")
    }
    # Over TCP there is no request that could be refused for what stands in it.
    assert found["tcp"] == {"accepted"} | by_status | by_code
    assert found["websocket"] == found["tcp"] | {"401", "403"}


async def test_who_leaves_before_the_ticket_is_counted_and_logged(
    gateway: type[GatewayHarness], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "wsprism"):
        async with gateway() as gw:
            for code in (1000, 3999):
                await (await gw.dial()).close(code, "I do not want to")
            refused = await gw.dial()
            await refused.send_fields(auth(ticket="bad"))
            await refused.close()
            assert gw.metrics.handshakes == {
                ("memory", "1000"): 1,
                # A client may send any number, and a label is not for it to choose.
                ("memory", "other"): 1,
                ("memory", "4503"): 1,
            }
    events = [record.message for record in caplog.records]
    assert events.count("ended_early") == 2
    assert events.count("refused") == 1


async def test_transports_keep_the_configured_deadlines(
    gateway: type[GatewayHarness],
) -> None:
    keys = ("handshake_timeout_ms", "message_timeout_ms", "close_timeout_ms")
    config = config_with(gateway=dict(zip(keys, (1_000, 2_000, 3_000), strict=True)))
    async with gateway(config=config) as gw:
        timeouts = gw.gateway.host.timeouts
        assert timeouts == TransportTimeouts(handshake=1.0, message=2.0, close=3.0)
