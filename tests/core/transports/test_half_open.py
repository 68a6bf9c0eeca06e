"""Handshakes under way: counted, bounded and let go of, on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.peers import Got, Stream, handshake
from support.raw_http import Answer, parse_answer, plain, refusal
from support.transport_host import EchoHost
from support.transport_stage import ManualTimers, Stage, running, websocket
from support.waiting import until
from wsprism_core.policy.proxies import TrustedProxies
from wsprism_core.transports.half_open import HalfOpen, Place
from wsprism_core.transports.port import Refusal
from wsprism_core.transports.websocket import WebSocketTransport


def entered(half_open: HalfOpen) -> Place:
    place = half_open.enter(0.0)
    assert isinstance(place, Place)
    return place


def status(found: object) -> int:
    assert isinstance(found, Refusal)
    assert found.retry_after == 1
    return found.status


def test_there_are_so_many_at_once_and_no_more() -> None:
    half_open = HalfOpen(2, 0)
    first, _ = entered(half_open), entered(half_open)
    assert status(half_open.enter(0.0)) == 503
    first.leave()
    first.leave()
    assert half_open.count == 1
    entered(half_open)
    assert status(half_open.enter(0.0)) == 503


def test_an_address_has_so_many_and_no_more() -> None:
    half_open = HalfOpen(0, 2)
    places = [entered(half_open) for _ in range(3)]
    assert [place.belongs_to("1.1.1.1") for place in places[:2]] == [None, None]
    assert status(places[2].belongs_to("1.1.1.1")) == 429
    # Another address has its own, and it is asked for once.
    assert places[2].belongs_to("2.2.2.2") is None
    assert places[2].belongs_to("1.1.1.1") is None
    places[0].leave()
    assert entered(half_open).belongs_to("1.1.1.1") is None
    assert status(entered(half_open).belongs_to("1.1.1.1")) == 429


def test_an_ipv6_network_counts_as_one_address() -> None:
    half_open = HalfOpen(0, 1)
    assert entered(half_open).belongs_to("2001:db8::1") is None
    assert status(entered(half_open).belongs_to("2001:db8::2")) == 429
    assert entered(half_open).belongs_to("2001:db8:0:1::1") is None


def test_without_bounds_nobody_is_refused_and_nothing_is_kept() -> None:
    half_open = HalfOpen(0, 0)
    places = [entered(half_open) for _ in range(1000)]
    assert {place.belongs_to("1.1.1.1") for place in places} == {None}
    for place in places:
        place.leave()
    assert half_open.count == 0
    assert not half_open._by_address


def test_what_left_belongs_to_nobody() -> None:
    half_open = HalfOpen(0, 1)
    place = entered(half_open)
    place.leave()
    assert place.belongs_to("1.1.1.1") is None
    assert not half_open._by_address


# ------------------------------------------------------------------ on real sockets


@pytest.fixture(params=["ws", "wss"])
async def stage(request: pytest.FixtureRequest, host: EchoHost) -> AsyncIterator[Stage]:
    secure = request.param == "wss"
    certificate = request.getfixturevalue("certificate") if secure else None
    async with running(websocket(certificate), host) as built:
        yield built


def bounded(stage: Stage, total: int = 0, per_address: int = 0) -> HalfOpen:
    stage.stream.half_open = HalfOpen(total, per_address)
    return stage.stream.half_open


async def refused(stage: Stage) -> bytes:
    """Connect; return what comes before the end, which comes by itself."""
    stream = await stage.connect_socket()
    return await stream.read_all()


async def until_count(half_open: HalfOpen, count: int) -> None:
    assert await until(lambda: half_open.count == count)


async def silent(stage: Stage, count: int) -> list[Stream]:
    """Open sockets that say nothing, and see that they are counted."""
    streams = [await stage.connect_socket() for _ in range(count)]
    await until_count(stage.stream.half_open, count)
    return streams


@pytest.mark.parametrize(("bound", "code"), [("total", 503), ("per_address", 429)])
async def test_one_too_many_is_turned_away_at_accept(
    stage: Stage, bound: str, code: int
) -> None:
    bounds: dict[str, Any] = {bound: 3}
    half_open = bounded(stage, **bounds)
    streams = await silent(stage, 3)
    raw = await refused(stage)
    if stage.stream.ssl_context is None:
        answer: Answer = parse_answer(raw)
        assert (answer.status, answer.headers["Retry-After"]) == (code, "1")
    else:
        # There is nobody to say it to before there is TLS.
        assert raw == b""
    assert [one.status for one in stage.host.refusals] == [code]
    assert not stage.host.requests
    # One of them leaves, and there is room for an honest one.
    streams[0].drop()
    await until_count(half_open, 2)
    peer = await stage.connect()
    await peer.send("text", b"hi")
    assert await peer.frame() == Got("text", b"hi")
    # Once open, it is counted no more.
    assert half_open.count == 2
    for stream in streams:
        stream.drop()
    await until_count(half_open, 0)
    assert not half_open._by_address


async def test_open_connections_are_no_handshakes(stage: Stage) -> None:
    half_open = bounded(stage, total=1, per_address=1)
    for _ in range(5):
        peer = await stage.connect()
        await peer.send("text", b"hi")
        assert await peer.frame() == Got("text", b"hi")
    assert half_open.count == 0


async def test_whoever_is_refused_is_counted_until_the_socket_is_closed(
    ws: Stage, timers: ManualTimers
) -> None:
    half_open = bounded(ws, total=2)
    ws.host.refusal = refusal(401)
    stream = await ws.connect_socket()
    await stream.send_raw(handshake())
    assert (await stream.read_head()).startswith(b"HTTP/1.1 401 ")
    assert half_open.count == 1
    timers.advance(ws.host.timeouts.close)
    await until_count(half_open, 0)


async def test_the_clients_of_a_proxy_are_counted_apart(ws: Stage) -> None:
    ws.stream.proxies = TrustedProxies(["127.0.0.1"])
    half_open = bounded(ws, per_address=1)
    undecided = ws.host.undecided = []
    first = await ws.connect_socket()
    await first.send_raw(handshake("/v1/ws", "X-Forwarded-For: 1.1.1.1"))
    await ws.host.log.until("undecided")
    # As many sockets of the proxy as there are; of each client one handshake.
    second = await ws.connect_socket()
    await second.send_raw(handshake("/v1/ws", "X-Forwarded-For: 1.1.1.1"))
    answer = parse_answer(await second.read_all())
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    third = await ws.connect_socket()
    await third.send_raw(handshake("/v1/ws", "X-Forwarded-For: 2.2.2.2"))
    await ws.host.log.until("undecided", 2)
    assert [one.address for one in ws.host.requests] == ["1.1.1.1", "2.2.2.2"]
    for decide in undecided:
        decide(refusal(401))
    for stream in (first, second, third):
        stream.drop()
    await until_count(half_open, 0)


async def test_by_default_there_are_bounds() -> None:
    half_open = WebSocketTransport().half_open
    places = [entered(half_open) for _ in range(2048)]
    assert all(place.belongs_to("1.1.1.1") is None for place in places)
    assert status(entered(half_open).belongs_to("1.1.1.1")) == 429
    for _ in range(8192 - 2049):
        entered(half_open)
    assert status(half_open.enter(0.0)) == 503


async def test_a_plain_request_is_a_handshake_too(ws: Stage) -> None:
    half_open = bounded(ws, total=1)
    stream = await ws.connect_socket()
    await stream.send_raw(plain("/healthz")[:-2])
    await until_count(half_open, 1)
    assert parse_answer(await refused(ws)).status == 503
    await stream.send_raw(b"\r\n")
    assert parse_answer(await stream.read_all()).status == 404
    stream.drop()
    await until_count(half_open, 0)
