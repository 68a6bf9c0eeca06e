"""PROTOCOL section 2: what an envelope may be, and what counts as a strike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.services import ANYWHERE, LAB, Lab
from wsprism_core.protocol.codecs import MSGPACK
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

#: Messages that cannot be decoded: each is a strike.
UNDECODABLE: list[str | bytes] = [
    "",
    "{",
    "[]",
    "null",
    '"lab"',
    '{"svc":"lab"}',
    '{"type":"echo"}',
    '{"svc":"lab","type":1}',
    '{"svc":null,"type":"echo"}',
    '{"svc":"lab","type":"echo","seq":null}',
    '{"svc":"lab","type":"echo","seq":true}',
    '{"svc":"lab","type":"echo","seq":1.0}',
    '{"svc":"lab","type":"echo","seq":-1}',
    '{"svc":"lab","type":"echo","seq":9007199254740992}',
    '{"svc":"lab","type":"echo","flags":4294967296}',
    '{"svc":"lab","type":"echo","room":1}',
    '{"svc":"lab","type":"echo","room":null}',
    '{"v":"1","svc":"lab","type":"echo"}',
    '{"v":1.0,"svc":"lab","type":"echo"}',
    '{"v":true,"svc":"lab","type":"echo"}',
    '{"svc":"lab","type":"echo","bogus":1}',
    '{"svc":"lab","type":"echo","ref":1}',
    '{"svc":"lab","type":"echo","ts":1}',
    '{"svc":"lab","type":"echo","trace_id":"x"}',
    '{"svc":"lab","type":"echo","data":NaN}',
    '{"svc":"lab","type":"echo","data":Infinity}',
    '{"svc":"lab","type":"echo","data":"\\ud800"}',
    b"\x81\xa3svc",
    b"\x80",
    MSGPACK.encode({"svc": "lab", "type": "echo", "bogus": 1}),
    b"",
    b"\x01",
    b"\x01\xc8\x02",
    b"\x01\xc8\x02\x01\x00\x00",
    b"\x01\xc8\x02\x04",
]
#: Messages that are refused and are no strikes, with the code.
REFUSED: list[tuple[str | bytes, str]] = [
    ('{"v":2,"svc":"lab","type":"echo"}', "UNSUPPORTED_VERSION"),
    ('{"svc":"lab","type":"echo","room":"a b"}', "BAD_REQUEST"),
    ('{"svc":"lab","type":"echo","flags":4}', "BAD_REQUEST"),
    ('{"svc":"nope","type":"echo"}', "BAD_REQUEST"),
    ('{"svc":"lab","type":"nope"}', "BAD_REQUEST"),
    ('{"svc":"room","type":"nope"}', "BAD_REQUEST"),
    ('{"svc":"sys","type":"nope"}', "BAD_REQUEST"),
    ('{"svc":"room","type":"join","data":[]}', "BAD_REQUEST"),
    ('{"svc":"room","type":"leave","room":"r1"}', "NOT_ALLOWED"),
    ('{"svc":"lab","type":"say","room":"r1"}', "NOT_ALLOWED"),
    (b"\x02\x01\x01\x00", "UNSUPPORTED_VERSION"),
    (encode_hot_frame(99, 1, b""), "BAD_REQUEST"),
    (encode_hot_frame(LAB, 99, b""), "BAD_REQUEST"),
    (encode_hot_frame(LAB, 0, b"", seq=1), "BAD_REQUEST"),
    (encode_hot_frame(LAB, ANYWHERE, b"", sender=1), "BAD_REQUEST"),
    (encode_hot_frame(LAB, ANYWHERE, b"", alias=9), "NOT_ALLOWED"),
]


async def send(client: ScriptedClient, message: str | bytes) -> None:
    if isinstance(message, str):
        await client.send_text(message)
    else:
        await client.send_binary(message)


async def echoed(client: ScriptedClient, fields: str) -> Any:
    """Return the data that `lab.echo` hands back."""
    await client.send_text('{"svc":"lab","type":"echo",' + fields + "}")
    (answer,) = await client.read_all()
    assert isinstance(answer, dict)
    assert answer["type"] == "echoed"
    return answer.get("data")


# ------------------------------------------------------------------------ its fields


async def test_v_is_always_sent_and_may_be_left_out_inbound(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.send_text('{"svc":"lab","type":"echo"}')
        await dev.send_text('{"v":1,"svc":"lab","type":"echo"}')
        await dev.send_text('{"svc":"nope","type":"echo"}')
        answers = await dev.read_all()
        assert [isinstance(one, dict) and one["v"] for one in answers] == [1, 1, 1]


@pytest.mark.parametrize("rest", ['"bogus":1', '"room":"a b"', '"svc":1', '"flags":4'])
async def test_v_is_checked_before_the_other_fields(
    gateway: type[GatewayHarness], rest: str
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.send_text('{"v":2,"seq":3,' + rest + "}")
        await dev.expect_error("UNSUPPORTED_VERSION", ref=3)


@pytest.mark.parametrize(
    "data",
    ["null", "false", "0", "-1.5", '""', '"ü"', "[]", "{}", '{"a":[{"b":null}]}'],
)
async def test_data_is_any_json_value_and_handed_on_as_it_is(
    gateway: type[GatewayHarness], data: str
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        assert await echoed(dev, f'"data":{data}') == json.loads(data)


async def test_of_duplicate_keys_the_last_counts(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        assert await echoed(dev, '"data":1,"data":2') == 2


async def test_unknown_flag_bits_are_ignored(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        assert await echoed(dev, '"flags":4294967291,"data":3') == 3


@pytest.mark.parametrize("seq", [0, 2**53 - 1])
async def test_seq_is_echoed_as_ref(gateway: type[GatewayHarness], seq: int) -> None:
    async with gateway(Lab()) as gw, gw.connect() as dev:
        await dev.send("lab", "echo", seq=seq)
        await dev.expect_reply(seq)


@pytest.mark.parametrize("room", ["a", "A-z_0.9:@x", "r" * 128])
async def test_good_room_names(gateway: type[GatewayHarness], room: str) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.join(room)


@pytest.mark.parametrize(
    "room",
    [
        "",
        "r" * 129,
        "a b",
        "*",
        ">",
        "a.>",
        "\r\nPUB x 1\r\n",
        "{}",
        "[a-z]*",
        "\x00",
        "a\n",
        "é",
        "../",
        "$SYS.x",
    ],
)
async def test_bad_room_names(gateway: type[GatewayHarness], room: str) -> None:
    async with gateway() as gw, gw.connect() as dev:
        ref = await dev.send("room", "join", room=room, ack=True)
        await dev.expect_error("BAD_REQUEST", ref=ref)
        assert len(gw.gateway.rooms) == 0


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_either_codec_is_understood_on_any_connection(
    gateway: type[GatewayHarness], codec: str
) -> None:
    async with gateway(Lab()) as gw, gw.connect(codec=codec) as dev:
        fields = {"svc": "lab", "type": "echo", "data": {"a": [1, None]}}
        await dev.send_text(json.dumps({**fields, "seq": 1}))
        await dev.send_binary(MSGPACK.encode({**fields, "seq": 2}))
        for ref in (1, 2):
            assert (await dev.expect_reply(ref))["data"] == {"a": [1, None]}


# ----------------------------------------------------------------------- strikes


@pytest.mark.parametrize("message", UNDECODABLE)
async def test_a_message_that_cannot_be_decoded_is_answered_and_a_strike(
    gateway: type[GatewayHarness], message: str | bytes
) -> None:
    lab = Lab()
    config = config_with(gateway={"max_strikes": 1})
    async with gateway(lab, config=config) as gw, gw.connect() as dev:
        await send(dev, message)
        await dev.expect_error("BAD_REQUEST")
        dev.expect_nothing()
        assert dev.closed is None
        await send(dev, message)
        await dev.expect_closed(1008)


@pytest.mark.parametrize(("message", "code"), REFUSED)
async def test_a_message_that_is_refused_is_no_strike(
    gateway: type[GatewayHarness], message: str | bytes, code: str
) -> None:
    config = config_with(gateway={"max_strikes": 1})
    async with gateway(Lab(), config=config) as gw, gw.connect() as dev:
        for _ in range(3):
            await send(dev, message)
            await dev.expect_error(code)
            dev.expect_nothing()
        await dev.request("sys", "ping")


async def test_the_eleventh_strike_within_ten_seconds_closes(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        for _ in range(10):
            await dev.send_text("{")
            await gw.advance(0.9)
        assert dev.closed is None
        await dev.send_text("{")
        assert "malformed" in await dev.expect_closed(1008)


async def test_strikes_are_forgotten_after_ten_seconds(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        for _ in range(30):
            await dev.send_text("{")
            await gw.advance(1)
        await dev.request("sys", "ping")


async def test_what_the_client_is_not_told_of_is_a_strike_all_the_same(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(policy={"hot_error_mode": "silent"})
    async with gateway(config=config) as gw, gw.connect() as dev:
        for _ in range(10):
            await dev.send_binary(b"\x01")
        dev.expect_nothing()
        await dev.send_binary(b"\x01")
        await dev.expect_closed(1008)


async def test_the_error_of_an_undecodable_message_has_its_ref_where_legible(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway() as gw, gw.connect() as dev:
        await dev.send_text('{"svc":"lab","type":"echo","seq":4,"bogus":1}')
        await dev.expect_error("BAD_REQUEST", ref=4)
        await dev.send_text('{"svc":"lab","type":"echo","seq":"4"}')
        (error,) = await dev.read_all()
        assert isinstance(error, dict)
        assert "ref" not in error
        assert error["trace_id"]
