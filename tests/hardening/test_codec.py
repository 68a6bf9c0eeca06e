"""Rows C1 to C6: messages that are none, and handlers that fail."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from support.gateway_process import GatewayProcess, Gateways
from support.json_cases import ACCEPTED, OPEN, REFUSED
from support.listener import Listener
from support.naughty import NAUGHTY
from support.oracle import FULL, MIB, SECRET, Row
from support.peers import Got, TcpPeer, WebSocketPeer, handshake, read_to_end
from support.probe import FAILURES

MSGPACK = "Sec-WebSocket-Protocol: wsprism.v1.msgpack"
LARGEST = 4 * MIB
WHO_IS_HERE = (b"presence", b"status")
#: How many errors a client is told of in a second; more are only counted.
TOLD = 10


@pytest.fixture
def gateway(gateways: Gateways) -> GatewayProcess:
    """Return a gateway that is as patient as it can be with those who err."""
    settings = {"max_strikes": 1_000_000, "slow_handler_ms": 250}
    return gateways(
        {"gateway": settings, "tenants": [{"limits": {"max_frame_bytes": LARGEST}}]}
    )


def say(data: bytes) -> bytes:
    """Return a message to the room that everybody is in, with any data."""
    return b'{"svc":"probe","type":"say","room":"hall","data":' + data + b"}"


def say_packed(data: bytes) -> bytes:
    fields = {"svc": "probe", "type": "say", "room": "hall"}
    packed: bytes = b"".join(
        msgpack.packb(part) for one in fields.items() for part in one
    )
    return b"\x84" + packed + b"\xa4data" + data


async def enter(peer: WebSocketPeer | TcpPeer) -> None:
    await peer.send("text", b'{"svc":"room","type":"join","room":"hall"}')
    while b"joined" not in (await peer.frame()).payload:
        pass


async def leave(peer: WebSocketPeer | TcpPeer) -> None:
    await peer.close(1000, "")
    assert (await read_to_end(peer))[-1].code == 1000


async def heard(peer: WebSocketPeer | TcpPeer) -> Got:
    """Return what comes next, apart from who is here: that comes in its own time."""
    while True:
        got = await peer.frame()
        if not any(told in got.payload for told in WHO_IS_HERE):
            return got


async def hears_first(peer: WebSocketPeer | TcpPeer, said: bytes) -> None:
    """See that a message in the hall is the first that comes."""
    got = await heard(peer)
    assert said in got.payload, got


async def refusals(
    peer: WebSocketPeer | TcpPeer, kind: str, messages: Iterable[bytes]
) -> None:
    """Send messages, at most `TOLD`; each gets its error, and the session goes on."""
    for message in messages:
        await peer.send(kind, message)
        got = await heard(peer)
        assert b"BAD_REQUEST" in got.payload, (message[:80], got)
    await peer.send("text", b'{"svc":"probe","type":"echo","data":"still here"}')
    await hears_first(peer, b"still here")


def tens(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(messages)
    while ten := list(islice(rest, TOLD)):
        yield ten


async def nobody_hears(
    gateway: GatewayProcess, kind: str, messages: list[bytes], *extra: str
) -> None:
    """Send what must be refused, to a room; its other member hears nothing of it."""
    batches = list(tens(messages))
    async with Row(gateway, closes={1000: len(batches) + 1}) as row:
        witness = await row.connect("witness")
        await enter(witness)
        for batch in batches:
            peer = await row.connect("mallory", *extra)
            await enter(peer)
            await refusals(peer, kind, batch)
            await peer.send("text", say(b'"good"'))
            await hears_first(peer, b"good")
            await hears_first(witness, b"good")
            await leave(peer)
        await leave(witness)


# ------------------------------------------------------------------------------- C1


@pytest.mark.parametrize("category", ACCEPTED)
async def test_c1_json_that_is_json(gateway: GatewayProcess, category: str) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        await enter(peer)
        for text in ACCEPTED[category]:
            await peer.send("text", say(text))
            got = await heard(peer)
            message = json.loads(got.payload)
            assert message["type"] == "said", (text, got)
            assert message.get("data") == json.loads(text)
        await leave(peer)


@pytest.mark.parametrize("category", REFUSED)
async def test_c1_json_that_is_none(gateway: GatewayProcess, category: str) -> None:
    # As the data of a message, and as the message.
    texts = [form for text in REFUSED[category] for form in (say(text), text)]
    await nobody_hears(gateway, "text", [text for text in texts if is_utf8(text)])


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


async def test_c1_what_the_standard_leaves_open(gateway: GatewayProcess) -> None:
    texts = {text: taken for text, taken in OPEN.items() if is_utf8(text)}
    assert set(texts.values()) == {True, False}
    await nobody_hears(gateway, "text", [say(one) for one in texts if not texts[one]])
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect()
        await enter(peer)
        for text in texts:
            if texts[text]:
                await peer.send("text", say(text))
                await hears_first(peer, b'"said"')
        await leave(peer)


async def test_c1_text_that_is_no_utf8(gateway: GatewayProcess) -> None:
    # RFC 6455 wants the connection closed for it, so TCP does the same.
    texts = [text for text in OPEN if not is_utf8(text)]
    async with Row(gateway, closes={1007: 2 * len(texts)}) as row:
        for text in texts:
            tcp = row.keep(await TcpPeer.connect(gateway.tcp_port))
            await tcp.send("text", AUTH)
            assert b'"authed"' in (await tcp.frame()).payload
            for peer in (await row.connect(), tcp):
                await peer.send("text", say(text))
                assert [got.code for got in await read_to_end(peer)] == [1007]


AUTH = b'{"svc":"sys","type":"auth","data":{"tenant":"main","ticket":"dev:mallory"}}'
HOSTILE = {
    "100,000 open brackets": b"[" * 100_000,
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "100,000 open objects": b'{"a":' * 100_000,
    "a number of 100,000 digits": b"9" * 100_000,
    "a fraction without end": b"1e-" + b"9" * 100_000 + b"x",
    "an open string of 1 MB": b'"' + b"a" * MIB,
    "1 MB of backslashes": b'"' + b"\\" * MIB,
    "1 MB of escapes": b'"' + rb"\ud800" * (MIB // 6) + b'"',
    "1 MB of white space": b" " * MIB + b"]",
}
TOPS = {
    "no object": b"[%s]" % say(b"1"),
    "a string": b'"' + SECRET.encode() + b'"',
    "a number": b"1",
    "null": b"null",
    "200,000 keys": b"{%s}" % b",".join(b'"k%d":1' % n for n in range(200_000)),
    "__proto__": say(b'1,"__proto__":{"svc":"sys"}'),
    "a key that is no field": say(b'1,"' + SECRET.encode() + b'":1'),
    "a key of 1 MB": say(b'1,"' + b"k" * MIB + b'":1'),
    "svc is no string": b'{"svc":["probe"],"type":"say"}',
    "type is missing": b'{"svc":"probe"}',
    "seq is true": b'{"svc":"probe","type":"say","seq":true}',
    "seq is a fraction": b'{"svc":"probe","type":"say","seq":1.0}',
    "seq is too large": b'{"svc":"probe","type":"say","seq":9007199254740992}',
    "flags are negative": b'{"svc":"probe","type":"say","flags":-1}',
    "room is null": b'{"svc":"probe","type":"say","room":null}',
    "v is a string": b'{"v":"1","svc":"probe","type":"say"}',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_c1_hostile_json(gateway: GatewayProcess, name: str) -> None:
    await nobody_hears(gateway, "text", [say(HOSTILE[name]), HOSTILE[name]])


@pytest.mark.parametrize("name", TOPS)
async def test_c1_json_that_is_no_envelope(gateway: GatewayProcess, name: str) -> None:
    if len(TOPS[name]) > MIB:
        await rehearse(gateway, TOPS[name])
    await nobody_hears(gateway, "text", [TOPS[name]])


async def rehearse(gateway: GatewayProcess, message: bytes) -> None:
    """Send it until the allocator has all the memory that it keeps for the like."""
    for _ in range(3):
        peer = await gateway.connect("rehearsal")
        await refusals(peer, "text", [message] * TOLD)
        await leave(peer)
        peer.drop()


# ------------------------------------------------------------------------------- C2

MAX_U32 = b"\xff" * 4
PACKED = {
    "an array of 4 G": b"\xdd" + MAX_U32,
    "a map of 4 G": b"\xdf" + MAX_U32,
    "an extension of 4 GB": b"\xc9" + MAX_U32 + b"\x01",
    "bytes of 4 GB": b"\xc6" + MAX_U32,
    "text of 4 GB": b"\xdb" + MAX_U32,
    "100,000 arrays": b"\x91" * 100_000 + b"\xc0",
    "100,000 open arrays": b"\x91" * 100_000,
    "100,000 maps": b"\x81\xa1a" * 100_000 + b"\xc0",
    "an extension": b"\xd4\x05\x00",
    "a timestamp": b"\xd6\xff" + bytes(4),
    "a timestamp out of range": b"\xc7\x0c\xff" + MAX_U32 + b"\x7f" + b"\xff" * 7,
    "a list as key": b"\x81\x90\x01",
    "bytes as key": b"\x81\xc4\x01a\x01",
    "a number as key": b"\x81\x01\x01",
    "null as key": b"\x81\xc0\x01",
    "bytes": b"\xc4\x01a",
    "text that is no UTF-8": b"\xa1\xff",
    "half a surrogate": b"\xa3\xed\xa0\x80",
    "NaN": b"\xcb\x7f\xf8" + bytes(6),
    "infinity": b"\xca\x7f\x80\x00\x00",
    "nothing": b"",
    "never used": b"\xc1",
    "half a number": b"\xcf\x00",
    "trailing bytes": b"\x01\x01",
    "another envelope behind it": b"\x01" + say_packed(b"\x02"),
}


@pytest.mark.parametrize("name", PACKED)
async def test_c2_msgpack(gateway: GatewayProcess, name: str) -> None:
    hostile = say_packed(PACKED[name])
    async with Row(gateway, closes={1000: 2}) as row:
        witness = await row.connect("witness")
        await enter(witness)
        peer = await row.connect("mallory", MSGPACK)
        await enter(peer)
        for number in range(TOLD):
            await peer.send("binary", hostile)
            await hears_first(peer, b"BAD_REQUEST")
            # What a refused message leaves behind is no part of the next.
            await peer.send("binary", say_packed(msgpack.packb(f"good {number}")))
            await hears_first(peer, b"good %d" % number)
            await hears_first(witness, b"good %d" % number)
        assert row.peak_growth < 4 * MIB
        for one in (peer, witness):
            await leave(one)


async def test_c2_msgpack_that_is_no_envelope(gateway: GatewayProcess) -> None:
    tops = [b"\xdf" + MAX_U32, b"\xde\xff\xff", b"\x80", b"\x81\xa3svc\x01", b"\x84"]
    tops += [b"\x81\xa3svc\xa5probe", msgpack.packb({"svc": "a", "type": "b", "x": 1})]
    await nobody_hears(gateway, "binary", tops, MSGPACK)
    # A text connection understands it too.
    await nobody_hears(gateway, "binary", tops)


# ------------------------------------------------------------------------------- C3

ODD = ("CancelledError", "Textless", "Frozen")


@pytest.mark.parametrize("svc", ["probe.fail", "hang.on"], ids=["plain", "async"])
async def test_c3_a_handler_that_raises(gateway: GatewayProcess, svc: str) -> None:
    name, _, type = svc.partition(".")
    kinds = sorted({*FAILURES, *ODD})
    failures = f"wsprism_plugin_failures_total{{hook=on_message,plugin={name}}}"
    async with (
        Row(gateway, closes={1000: len(kinds) + 1}, warnings=("plugin_failed",)) as row,
        Listener(await row.connect("other")) as other,
    ):
        for kind in kinds:
            async with Listener(await row.connect()) as one:
                await one.send(name, type, kind, seq=7)
                (error,) = await one.until("sys.error")
                assert (error["ref"], error["data"]["code"]) == (7, "INTERNAL"), kind
                await one.send("probe", "echo")
                await one.until("probe.echoed")
                await one.leave()
        await other.send("probe", "echo")
        await other.until("probe.echoed")
        await other.leave()
        before = row.before.metrics.get(failures, 0)
        assert gateway.look().metrics[failures] - before == len(kinds)
    logged = [one["error"] for one in row.entries if one["event"] == "plugin_failed"]
    assert len(logged) == len(kinds)
    assert all(isinstance(error, str) for error in logged)


async def test_c3_a_handler_that_blocks(gateways: Gateways) -> None:
    blocked = 5.0 if FULL else 1.5
    beat = {"ping_interval_ms": 300, "pong_timeout_ms": 300, "slow_handler_ms": 250}
    gateway = gateways({"gateway": beat})
    slow = "wsprism_slow_handlers_total{hook=on_message,plugin=probe,svc=probe}"
    row = Row(gateway, closes={1000: 6}, slowdown=None, warnings=("slow_handler",))
    async with row, AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(Listener(await row.connect(f"u{number}")))
            for number in range(5)
        ]
        blocker = await stack.enter_async_context(Listener(await row.connect()))
        began = time.monotonic()
        await blocker.send("probe", "block", {"ms": round(1000 * blocked)})
        # These wait for it, and for nothing else.
        for one in others:
            await one.send("probe", "echo")
        await blocker.until("probe.echoed")
        assert time.monotonic() - began >= blocked
        async with asyncio.timeout(1.0):
            for one in others:
                await one.until("probe.echoed")
        pings = [one.pings for one in others]
        for one, before in zip(others, pings, strict=True):
            while one.pings < before + 2:
                await one.until_news()
        for one in (*others, blocker):
            assert one.end is None
            await one.leave()
        named = gateway.look().metrics[slow] - row.before.metrics.get(slow, 0)
        assert named == 1
    (line,) = [one for one in row.entries if one["event"] == "slow_handler"]
    assert (line["plugin"], line["hook"], line["svc"]) == (
        "probe",
        "on_message",
        "probe",
    )


# ------------------------------------------------------------------------------- C4

#: What one codec could carry and the other not, as it arrives in each.
POISON = [
    ("text", say(rb'"\ud800"')),
    ("text", say(b"NaN")),
    ("text", say(b"-Infinity")),
    ("text", say(b"1e999")),
    ("text", say(b'{"a":' * 128 + b"1" + b"}" * 128)),
    ("binary", say_packed(msgpack.packb(float("nan")))),
    ("binary", say_packed(msgpack.packb(b"bytes"))),
    ("binary", say_packed(msgpack.packb({1: 2}))),
    ("binary", say_packed(msgpack.packb(msgpack.ExtType(5, b"x")))),
    ("binary", say_packed(b"\xa3\xed\xa0\x80")),
]


async def test_c4_one_bad_message_kills_no_fan_out(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 4}) as row:
        members: list[WebSocketPeer | TcpPeer] = [
            await row.connect("json"),
            await row.connect("msgpack", MSGPACK),
            row.keep(await TcpPeer.connect(gateway.tcp_port)),
        ]
        await members[2].send("text", AUTH)
        assert b'"authed"' in (await members[2].frame()).payload
        mallory = await row.connect("mallory")
        for one in (*members, mallory):
            await enter(one)
        for kind, message in POISON[:TOLD]:
            await mallory.send(kind, message)
            await hears_first(mallory, b"BAD_REQUEST")
        # The largest numbers and the deepest nest that both can carry.
        for data in (b"18446744073709551615", b"[" * 127 + b"]" * 127):
            await mallory.send("text", say(data))
            await hears_first(mallory, b"said")
            for one in members:
                await hears_first(one, b"said")
        for one in (*members, mallory):
            await leave(one)


# ------------------------------------------------------------------------------- C5


async def test_c5_claims_allocate_nothing(gateway: GatewayProcess) -> None:
    # Each array claims as many as the rest has bytes, and there are 20,000 of them.
    nested = b"".join(
        b"\xdd" + size.to_bytes(4, "big") for size in range(60_000, 59_000, -1)
    )
    claims = [say_packed(nested + b"\xc0" * 60_000), say_packed(b"\xdc\xff\xff" * 200)]
    async with Row(gateway, closes={1000: 1}) as row:
        peer = await row.connect("mallory", MSGPACK)
        for message in claims:
            await peer.send("binary", message)
            assert b"BAD_REQUEST" in (await peer.frame()).payload
        assert row.peak_growth < 2 * MIB
        await leave(peer)


async def test_c5_numbers_that_a_client_asks_for(gateway: GatewayProcess) -> None:
    async with Row(gateway, closes={1000: 1}) as row:
        async with Listener(await row.connect()) as one:
            await one.send("room", "join", room="hall")
            await one.until("sys.joined")
            for data in ({"limit": 10**9}, {"limit": 0}, {"after": -1}, {"limit": 1e3}):
                await one.send("room", "members", data, room="hall")
            errors = await one.until("sys.error", 4)
            assert {error["data"]["code"] for error in errors} == {"BAD_REQUEST"}
            # As much of history as there never was.
            await one.send(
                "room", "join", {"epoch": "x", "seq": 2**53 - 1}, room="hall"
            )
            joined = await one.until("sys.joined", 2)
            assert joined[1]["data"]["recovered"] is False
            await one.leave()
        assert row.peak_growth < 2 * MIB


# ------------------------------------------------------------------------------- C6


@pytest.fixture
def talkative(gateways: Gateways) -> GatewayProcess:
    """Return a gateway that logs all that it can."""
    settings = {"max_strikes": 1_000_000, "allowed_origins": ["https://good.com"]}
    return gateways({"gateway": settings}, "--log-level", "debug")


def fields_with(text: str) -> Iterator[dict[str, Any]]:
    """Yield envelopes that hold it, each in another field."""
    yield {"svc": text, "type": "echo"}
    yield {"svc": "probe", "type": text}
    yield {"svc": "sys", "type": text}
    yield {"svc": "room", "type": "join", "room": text}
    yield {"svc": "room", "type": "join", "data": {"epoch": text}}
    yield {"svc": "room", "type": "join", "data": {text: text}}
    yield {"svc": "sys", "type": "refresh", "data": {"ticket": text}}
    yield {"svc": "probe", "type": "echo", f"x{text}": 1}


@pytest.mark.parametrize("category", NAUGHTY)
async def test_c6_naughty_strings_in_messages(
    talkative: GatewayProcess, category: str
) -> None:
    texts = NAUGHTY[category]
    async with (
        Row(talkative, closes={1000: 1}) as row,
        Listener(await row.connect()) as one,
    ):
        for place, text in enumerate(texts):
            for fields in fields_with(text):
                await one.peer.send("text", json.dumps(fields).encode())
            await one.send("probe", "echo", {text: [text]})
            # What comes back is what was sent, character by character.
            echoes = await one.until("probe.echoed", place + 1)
            assert echoes[-1]["data"] == {text: [text]}
        await one.leave()
    # Each line of the log was one event: the look at it would have failed else.
    assert {one["event"] for one in row.entries} <= EVENTS


#: All that a client may have the gateway log.
EVENTS = {
    *("session_opened", "session_closed", "refused", "ended_early", "ticket_refused"),
    *("plugin_failed", "traceback", "slow_handler", "event_loop_late"),
}


@pytest.mark.parametrize("category", NAUGHTY)
async def test_c6_naughty_strings_in_what_a_handler_raises(
    gateway: GatewayProcess, category: str
) -> None:
    texts = NAUGHTY[category]
    async with (
        Row(gateway, closes={1000: 1}, warnings=("plugin_failed",)) as row,
        Listener(await row.connect()) as one,
    ):
        for place, text in enumerate(texts):
            # What it says of a name that it does not know, it quotes.
            await one.send("probe", "fail", text)
            await one.send("probe", "echo")
            await one.until("probe.echoed", place + 1)
        await one.leave()
    logged = [entry["event"] for entry in row.entries]
    assert logged.count("plugin_failed") == len(texts)
    assert set(logged) <= EVENTS


@pytest.mark.parametrize("category", NAUGHTY)
async def test_c6_naughty_strings_while_connecting(
    talkative: GatewayProcess, category: str
) -> None:
    texts = [text for text in NAUGHTY[category] if text]
    refused = 0
    async with Row(talkative) as row:
        for text in texts:
            first = {
                "svc": "sys",
                "type": "auth",
                "data": {"ticket": text, "tenant": text},
            }
            peer = row.keep(await TcpPeer.connect(talkative.tcp_port))
            await peer.send("text", json.dumps(first).encode())
            error, closed = await read_to_end(peer)
            assert b'"AUTH_FAILED"' in error.payload
            assert closed.code == 4503
            refused += 1
        row.expect(refusals={4503: refused})
    assert {one["event"] for one in row.entries} <= EVENTS


@pytest.mark.parametrize("category", NAUGHTY)
async def test_c6_naughty_strings_in_headers(
    talkative: GatewayProcess, category: str
) -> None:
    places = ("Origin", "User-Agent", "Sec-WebSocket-Protocol", "Authorization")
    async with Row(talkative) as row:
        statuses = []
        for text in NAUGHTY[category]:
            for place in places:
                target = talkative.target("mallory").replace(
                    "ticket=dev:", "ticket=no:"
                )
                value = text if place != "Authorization" else f"Bearer {text}"
                peer = row.keep(await WebSocketPeer.connect(talkative.port))
                await peer.send_raw(handshake(target, f"{place}: {value}"))
                answer = await peer.read_all()
                assert answer.startswith(b"HTTP/1.1 4"), (place, text, answer)
                statuses.append(int(answer.split()[1]))
        row.expect(refusals={one: statuses.count(one) for one in statuses})
    assert {one["event"] for one in row.entries} <= EVENTS


async def test_c6_naughty_reasons_of_a_close(talkative: GatewayProcess) -> None:
    texts = [text for category in NAUGHTY.values() for text in category]
    texts = [text for text in texts if len(text.encode()) <= 123]
    async with Row(talkative, closes={1000: len(texts)}) as row:
        for text in texts:
            peer = await row.connect()
            await peer.close(1000, text)
            assert (await read_to_end(peer))[-1].code == 1000
    reasons = [one["reason"] for one in row.entries if one["event"] == "session_closed"]
    assert reasons == texts
