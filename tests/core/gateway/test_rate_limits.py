"""PROTOCOL section 2: every decodable message but `sys.*` takes one token."""

from __future__ import annotations

import pytest

from support.services import ANYWHERE, DO, LAB, Lab
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


def limited(scope: str = "connection", burst: int = 3) -> dict[str, object]:
    return {
        "rate_limit_rps": 1,
        "rate_limit_burst": burst,
        "rate_limit_scope": scope,
        "ext_allowlist": ["lab:*", "room:*", "nope:*"],
    }


async def send(client: ScriptedClient, message: str | bytes) -> None:
    if isinstance(message, str):
        await client.send_text(message)
    else:
        await client.send_binary(message)


async def tokens(client: ScriptedClient) -> int:
    """Return how many messages pass before one is refused."""
    for count in range(10):
        ref = await client.send("lab", "do", ack=True)
        (answer,) = [m for m in await client.read_all() if isinstance(m, dict)]
        assert answer["ref"] == ref
        if answer["type"] == "error":
            assert answer["data"]["code"] == "RATE_LIMITED"
            return count
    raise AssertionError("no limit was met")


@pytest.mark.parametrize(
    ("message", "cost"),
    [
        pytest.param('{"svc":"lab","type":"do"}', 1, id="text"),
        pytest.param(MSGPACK.encode({"svc": "lab", "type": "do"}), 1, id="msgpack"),
        pytest.param(encode_hot_frame(LAB, DO, b""), 1, id="frame"),
        pytest.param('{"svc":"room","type":"join"}', 1, id="room"),
        pytest.param('{"svc":"nope","type":"do"}', 1, id="no such service"),
        pytest.param('{"svc":"lab","type":"nope"}', 1, id="no such type"),
        pytest.param('{"svc":"closed","type":"do"}', 1, id="not on the allowlist"),
        pytest.param('{"svc":"lab","type":"say","room":"r"}', 1, id="no member"),
        pytest.param('{"svc":"lab","type":"do","room":"a b"}', 1, id="bad room name"),
        pytest.param('{"svc":"lab","type":"do","flags":4}', 1, id="ack without seq"),
        pytest.param('{"v":2,"svc":"lab","type":"do"}', 1, id="another version"),
        pytest.param(b"\x02\x01\x01\x00", 1, id="frame of another version"),
        pytest.param(encode_hot_frame(99, 1, b""), 1, id="no such service id"),
        pytest.param(encode_hot_frame(LAB, 99, b""), 1, id="no such opcode"),
        pytest.param(
            encode_hot_frame(LAB, ANYWHERE, b"", sender=1), 1, id="frame with SENDER"
        ),
        pytest.param(
            encode_hot_frame(LAB, ANYWHERE, b"", alias=9), 1, id="not in that room"
        ),
        pytest.param('{"svc":"sys","type":"ping"}', 0, id="sys"),
        pytest.param('{"svc":"sys","type":"nope"}', 0, id="no such sys"),
        pytest.param('{"svc":"sys","type":"auth"}', 0, id="second auth"),
        pytest.param("{", 0, id="bad JSON"),
        pytest.param('{"svc":"lab","type":"do","bogus":1}', 0, id="unknown field"),
        pytest.param(b"\x01", 0, id="short frame"),
    ],
)
async def test_what_a_message_costs(
    gateway: type[GatewayHarness], message: str | bytes, cost: int
) -> None:
    config = config_with(policy=limited())
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await send(dev, message)
        await dev.read_all()
        assert await tokens(dev) == 3 - cost


async def test_a_message_too_many_is_told_when_to_come_again(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(policy=limited(burst=1))
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        await dev.request("lab", "echo")
        await gw.advance(0.25)
        ref = await dev.send("lab", "echo")
        error = await dev.expect_error("RATE_LIMITED", ref=ref)
        assert error["retry_after_ms"] == 750
        await gw.advance(0.75)
        await dev.request("lab", "echo")


async def test_tokens_come_back_up_to_the_burst(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy=limited())
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        assert await tokens(dev) == 3
        await gw.advance(1)
        assert await tokens(dev) == 1
        await gw.advance(100)
        assert await tokens(dev) == 3


async def test_no_limit_out_of_the_box(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        for _ in range(1000):
            await dev.request("lab", "echo")


async def test_by_connection(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy=limited("connection"))
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="ann") as too,
    ):
        assert await tokens(ann) == 3
        assert await tokens(too) == 3


async def test_by_tenant(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy=limited("tenant"), tenants=("acme", "globex"))
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann", tenant="acme") as ann,
        gw.connect(user="bob", tenant="acme") as bob,
        gw.connect(user="ann", tenant="globex") as other,
    ):
        await ann.request("lab", "do")
        assert await tokens(bob) == 2
        assert await tokens(ann) == 0
        assert await tokens(other) == 3


async def test_by_both(gateway: type[GatewayHarness]) -> None:
    config = config_with(policy=limited("both"))
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        assert await tokens(ann) == 3
        assert await tokens(bob) == 0
        await gw.advance(2)
        await ann.request("lab", "do")
        assert await tokens(bob) == 1
