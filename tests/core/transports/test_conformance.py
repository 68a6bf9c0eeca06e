"""What every transport does, tried on each of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from support.peers import END, Got, Peer, WebSocketPeer, read_to_end
from support.transport_host import EchoGrant, EchoReceiver
from support.transport_stage import Stage
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.transports.memory import MemoryTransport
from wsprism_core.transports.port import NO_CLOSE_FRAME, Grant, Refusal

FULL = Refusal(503, CloseCode.TRY_AGAIN_LATER, "full", retry_after=2)


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 60_000])
async def test_a_message_comes_back_as_it_was(
    stage: Stage, kind: str, size: int
) -> None:
    peer = await stage.connect()
    await peer.send(kind, b"x" * size)
    assert await peer.frame() == Got(kind, b"x" * size)


async def test_messages_keep_their_order(stage: Stage) -> None:
    peer = await stage.connect()
    sent = [Got(("text", "binary")[n % 2], b"%d" % n) for n in range(200)]
    await peer.send_raw(b"".join(peer.framed(kind, data) for kind, data, _ in sent))
    assert [await peer.frame() for _ in sent] == sent


async def test_a_message_that_comes_byte_by_byte_is_whole(stage: Stage) -> None:
    peer = await stage.connect()
    for byte in peer.framed("text", "für alle".encode()):
        await peer.send_raw(bytes([byte]))
    assert await peer.frame() == Got("text", "für alle".encode())


async def test_the_largest_message_passes_and_a_byte_more_closes(stage: Stage) -> None:
    stage.host.max_message_bytes = 1000
    peer = await stage.connect()
    await peer.send("binary", b"x" * 1000)
    assert await peer.frame() == Got("binary", b"x" * 1000)
    await peer.send("binary", b"x" * 1001)
    closed = await peer.frame()
    assert closed.code == CloseCode.MESSAGE_TOO_BIG
    assert await peer.frame() == END
    assert stage.host.log.of("closed")[0][1] == CloseCode.MESSAGE_TOO_BIG


async def test_a_limit_that_one_message_raises_holds_for_the_next(
    stage: Stage,
) -> None:
    stage.host.max_message_bytes = 10

    def raise_limit(receiver: EchoReceiver) -> None:
        receiver.on_text = lambda payload: receiver.link.limit(1000)

    stage.host.on_open = raise_limit
    peer = await stage.connect()
    # Both in one read, as a client sends that does not wait for its answer.
    both = peer.framed("text", b"more") + peer.framed("binary", b"x" * 1000)
    await peer.send_raw(both)
    assert await peer.frame() == Got("binary", b"x" * 1000)


async def test_text_that_is_no_utf8_closes(stage: Stage) -> None:
    peer = await stage.connect()
    await peer.send("text", b"good")
    await peer.send("text", b"\xc3\x28")
    assert await peer.frame() == Got("text", b"good")
    assert (await peer.frame()).code == CloseCode.INVALID_DATA
    assert await peer.frame() == END
    assert stage.host.log.of("text") == [("text", b"good")]


async def test_a_ping_is_answered_through_the_core(stage: Stage) -> None:
    peer = await stage.connect()
    await peer.send("ping", b"payload")
    assert await peer.frame() == Got("pong", b"payload")
    (control,) = stage.host.log.of("control")
    assert isinstance(control[1], bytes)
    assert control[1].endswith(b"payload")
    assert stage.host.log.of("heard")


async def test_a_pong_reaches_the_receiver(stage: Stage) -> None:
    peer = await stage.connect()
    await peer.send("pong", b"")
    await stage.host.log.until("pong")


async def test_the_core_can_ping(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    link.write(link.wire.framing.ping(b"there?"))
    assert await peer.frame() == Got("ping", b"there?")


async def test_a_codec_is_a_switch_of_wire(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    json = link.wire
    assert json.codec.name == "json"
    assert link.use_codec("msgpack")
    assert link.wire.codec.name == "msgpack"
    link.write(link.wire.frame_text(b"\x80"))
    assert await peer.frame() == Got("binary", b"\x80")
    assert not link.use_codec("xml")
    assert link.wire.codec.name == "msgpack"
    assert link.use_codec("json")
    assert link.wire is json, "one instance per pair"


# ------------------------------------------------------------------- the end


async def test_a_peer_closes(stage: Stage) -> None:
    peer = await stage.connect()
    await peer.close(4321, "enough für heute")
    assert await peer.frame() == Got("close", "enough für heute".encode(), 4321)
    assert await peer.frame() == END
    assert stage.host.log.of("closed") == [("closed", 4321, "enough für heute")]


async def test_the_core_closes(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    link.write(link.wire.frame_text(b"last words"))
    link.close(CloseCode.KICKED, "logged in elsewhere")
    assert stage.host.log.of("closed") == [("closed", 4502, "logged in elsewhere")]
    assert await peer.frame() == Got("text", b"last words")
    assert await peer.frame() == Got("close", b"logged in elsewhere", 4502)
    await peer.close(CloseCode.KICKED, "")
    assert await peer.frame() == END
    assert len(stage.host.log.of("closed")) == 1


async def test_a_long_reason_is_cut_between_characters(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    stage.host.receiver.link.close(CloseCode.KICKED, "ü" * 100)
    assert (await peer.frame()).payload == ("ü" * 61).encode()


async def test_the_core_aborts(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    stage.host.receiver.link.abort()
    assert stage.host.log.of("closed") == [("closed", NO_CLOSE_FRAME, "aborted")]
    assert await peer.frame() == END


async def test_a_peer_vanishes(stage: Stage) -> None:
    peer = await stage.connect()
    await peer.send("text", b"still here")
    await peer.frame()
    peer.drop()
    closed = await stage.host.log.until("closed")
    assert closed[1] == NO_CLOSE_FRAME


async def test_a_peer_vanishes_within_a_message(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    await peer.send_raw(peer.framed("text", b"half a message")[:10])
    peer.drop()
    closed = await stage.host.log.until("closed")
    assert closed[1] == NO_CLOSE_FRAME
    assert not stage.host.log.of("text")


def close_twice(receiver: EchoReceiver) -> None:
    receiver.link.close(4000, "first")
    receiver.link.close(4001, "second")


def close_and_abort(receiver: EchoReceiver) -> None:
    receiver.link.close(4000, "first")
    receiver.link.abort()


def abort_and_close(receiver: EchoReceiver) -> None:
    receiver.link.abort()
    receiver.link.close(4000, "late")


@pytest.mark.parametrize("end", [close_twice, close_and_abort, abort_and_close])
@pytest.mark.parametrize("when", ["open", "text", "closed"])
async def test_an_end_is_told_once(
    stage: Stage, end: Callable[[EchoReceiver], None], when: str
) -> None:
    def prepare(receiver: EchoReceiver) -> None:
        if when == "open":
            end(receiver)
        receiver.on_text = lambda payload: end(receiver)
        receiver.on_closed = lambda: end(receiver)

    stage.host.on_open = prepare
    peer = await stage.connect()
    if when == "closed":
        await peer.close(1000, "")
    else:
        two = peer.framed("text", b"one") + peer.framed("text", b"two")
        with contextlib.suppress(ConnectionError):
            await peer.send_raw(two)
    await read_to_end(peer)
    await stage.transport.stop()
    assert len(stage.host.log.of("closed")) == 1
    assert stage.host.log.entries[-1][0] == "closed"
    assert len(stage.host.log.of("text")) == (when == "text")


async def test_nothing_is_written_after_the_end(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    link.close(4000, "over")
    assert not link.write(link.wire.frame_text(b"too late"))
    assert await read_to_end(peer) == [Got("close", b"over", 4000)]


async def test_nothing_is_heard_after_a_close(stage: Stage) -> None:
    def close_at_text(receiver: EchoReceiver) -> None:
        receiver.on_text = lambda payload: receiver.link.close(4000, "over")

    stage.host.on_open = close_at_text
    peer = await stage.connect()
    both = peer.framed("text", b"one") + peer.framed("text", b"two")
    await peer.send_raw(both)
    assert await read_to_end(peer) == [Got("close", b"over", 4000)]
    assert stage.host.log.of("text") == [("text", b"one")]


# -------------------------------------------------------------- slow readers


def slow_down(stage: Stage, peer: Peer) -> None:
    """Make the way to the peer hold little; a socket does so without this."""
    if isinstance(stage.transport, MemoryTransport):
        peer.client.capacity = 20_000  # type: ignore[attr-defined]


async def test_a_slow_reader_pauses_and_resumes(stage: Stage) -> None:
    peer = await stage.connect()
    slow_down(stage, peer)
    await stage.host.log.until("open")
    receiver = stage.host.receiver
    link = receiver.link
    sent = 0
    while link.write(link.wire.frame_hot(b"%08d" % sent + b"x" * 9000)):
        sent += 1
        assert sent < 10_000, "it never fills up"
    assert stage.host.log.of("pause")
    receiver.full = True
    receiver.send(link.wire.frame_text(b"waited"))
    assert not stage.host.log.of("resume")
    for n in range(sent + 1):
        assert (await peer.frame()).payload[:8] == b"%08d" % n
    assert await peer.frame() == Got("text", b"waited")
    assert stage.host.log.of("resume")


async def test_a_peer_that_never_reads_is_still_heard(stage: Stage) -> None:
    peer = await stage.connect()
    slow_down(stage, peer)
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    while link.write(link.wire.frame_hot(b"x" * 9000)):
        pass
    await peer.send("pong", b"")
    await stage.host.log.until("pong")
    # And it can be cut, though a close would never reach it.
    link.abort()
    assert stage.host.log.of("closed")


async def test_the_core_pauses_reading(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    link.pause_reading()
    await peer.send("text", b"later")
    await stage.settle()
    assert stage.host.log.of("text") == [("text", b"other")]
    link.resume_reading()
    assert await peer.frame() == Got("text", b"later")


async def test_a_close_needs_no_reading(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    link = stage.host.receiver.link
    link.pause_reading()
    link.close(4000, "over")
    assert (await peer.frame()).code == 4000
    await peer.close(4000, "")
    assert await peer.frame() == END


# ----------------------------------------------------------------- admission


async def test_messages_wait_for_the_decision(stage: Stage) -> None:
    undecided = stage.host.undecided = []
    peer = await stage.connect()
    await peer.send("text", b"early")
    await stage.host.log.until("undecided")
    await stage.settle()
    assert stage.host.log.of("text") == [("text", b"other")]
    undecided[0](EchoGrant(stage.host))
    await peer.send("text", b"late")
    assert await peer.frame() == Got("text", b"early")
    assert await peer.frame() == Got("text", b"late")


async def test_a_decision_after_the_peer_is_gone_is_given_back(stage: Stage) -> None:
    stage.host.undecided = []
    await stage.connect()
    await stage.host.log.until("undecided")
    await stage.transport.stop()
    stage.host.undecided[0](EchoGrant(stage.host))
    assert stage.host.log.entries[-1] == ("release",)
    assert not stage.host.receivers


async def test_a_refusal_after_the_peer_is_gone_is_nothing(stage: Stage) -> None:
    stage.host.undecided = []
    await stage.connect()
    await stage.host.log.until("undecided")
    await stage.transport.stop()
    stage.host.undecided[0](FULL)
    assert not stage.host.receivers


@pytest.mark.parametrize("later", [False, True])
async def test_a_refused_peer_is_told_and_never_heard(
    stage: Stage, later: bool
) -> None:
    stage.host.refusal = FULL
    undecided: list[Callable[[Grant | Refusal], None]] = []
    if later:
        stage.host.undecided = undecided
    peer = await stage.connect()
    await peer.send("text", b"early")
    if later:
        await stage.host.log.until("undecided")
        undecided[0](FULL)
    if isinstance(peer, WebSocketPeer):
        answer = await peer.read_all()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 2\r\n" in answer
        assert answer.endswith(b"\r\n\r\nfull\n")
    else:
        assert await read_to_end(peer) == [Got("close", b"full", 1013)]
    assert not stage.host.receivers
    assert not stage.host.log.of("text")


async def test_a_greeting_can_refuse(stage: Stage) -> None:
    stage.host.greeting = Refusal(429, CloseCode.TRY_AGAIN_LATER, "too many", 3)
    peer = await stage.connect()
    if isinstance(peer, WebSocketPeer):
        assert (await peer.read_all()).startswith(b"HTTP/1.1 429 ")
    else:
        assert await read_to_end(peer) == [Got("close", b"too many", 1013)]
    assert not stage.host.requests
    assert stage.host.log.of("greet") == [("greet", "127.0.0.1")]


async def test_what_a_client_says_while_connecting_reaches_the_host(
    stage: Stage,
) -> None:
    await stage.connect()
    await stage.host.log.until("open")
    (request,) = stage.host.requests
    assert request.transport == stage.transport.name
    assert request.address == "127.0.0.1"
    assert request.ticket is None


# ------------------------------------------------------------------ stopping


async def test_stop_cuts_what_is_open(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    await stage.transport.stop()
    assert stage.host.log.of("closed") == [("closed", NO_CLOSE_FRAME, "aborted")]
    assert await peer.frame() == END


async def test_stop_lets_a_close_reach_its_peer(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    stage.host.receiver.link.close(CloseCode.GOING_AWAY, "draining")
    stopping = asyncio.ensure_future(stage.transport.stop())
    assert (await peer.frame()).code == CloseCode.GOING_AWAY
    await peer.close(CloseCode.GOING_AWAY, "")
    assert await peer.frame() == END
    peer.drop()
    await stopping


async def test_those_who_are_in_stay_when_nobody_is_accepted(stage: Stage) -> None:
    peer = await stage.connect()
    await stage.host.log.until("open")
    await stage.transport.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        await stage.connect()
    await peer.send("text", b"still here")
    assert await peer.frame() == Got("text", b"still here")


async def test_the_address_is_known_once_it_listens(stage: Stage) -> None:
    assert stage.transport.address.startswith(("ws://1", "wss://1", "tcp://1", "mem"))
