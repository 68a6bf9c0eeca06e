"""Turns of the event loop that connections share."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from support.transport_host import EchoHost
from support.transport_stage import Stage
from wsprism_core.transports.stream import StreamTransport
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.turns import TEXTS_PER_TURN, ReadingTurns
from wsprism_core.transports.websocket import WebSocketTransport


async def turn() -> None:
    await asyncio.sleep(0)


async def test_a_turn_has_so_many_texts_and_the_next_as_many() -> None:
    turns = ReadingTurns(asyncio.get_running_loop(), texts=3)
    assert [turns.take_text() for _ in range(5)] == [True] * 3 + [False] * 2
    await turn()
    assert [turns.take_text() for _ in range(4)] == [True] * 3 + [False]


async def test_what_a_turn_leaves_over_is_for_the_next() -> None:
    turns = ReadingTurns(asyncio.get_running_loop(), texts=3)
    assert turns.take_text()
    await turn()
    assert [turns.take_text() for _ in range(3)] == [True, True, False]


async def test_who_is_put_off_goes_on_in_order_for_as_long_as_there_is_place() -> None:
    turns = ReadingTurns(asyncio.get_running_loop(), texts=2)
    done: list[str] = []

    def speaker(name: str, texts: int) -> None:
        for left in range(texts, 0, -1):
            if not turns.take_text():
                turns.wait_for_place(partial(speaker, name, left))
                return
            done.append(name)

    speaker("a", 4)
    speaker("b", 1)
    assert done == ["a", "a"]
    await turn()
    assert done == ["a", "a", "a", "a"]
    await turn()
    assert done == ["a", "a", "a", "a", "b"]


async def test_who_had_its_share_waits_for_nobody_s_texts() -> None:
    turns = ReadingTurns(asyncio.get_running_loop(), texts=2)
    done: list[str] = []

    def chat(name: str) -> None:
        """Have more to say, always."""
        while turns.take_text():
            done.append(name)
        turns.wait_for_place(partial(chat, name))

    def play(left: int) -> None:
        done.append("input")
        if left > 1:
            turns.put_off(partial(play, left - 1))

    chat("a")
    chat("b")
    play(3)
    for _ in range(2):
        await turn()
    assert done == ["a", "a", "input", "a", "a", "input", "b", "b", "input"]


async def test_who_had_its_share_takes_no_place_of_those_who_wait() -> None:
    turns = ReadingTurns(asyncio.get_running_loop(), texts=2)
    done: list[str] = []

    def greedy() -> None:
        """Take one at a time, and come again in each turn."""
        if turns.take_text():
            done.append("greedy")
            turns.put_off(greedy)
        else:
            turns.wait_for_place(greedy)

    def modest() -> None:
        if turns.take_text():
            done.append("modest")
        else:
            turns.wait_for_place(modest)

    greedy()
    greedy()
    modest()
    await turn()
    assert done[2] == "modest"


@pytest.mark.parametrize("waiting", ["put_off", "wait_for_place"])
async def test_one_that_fails_does_not_keep_the_others(waiting: str) -> None:
    turns = ReadingTurns(asyncio.get_running_loop())
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("on purpose")

    loop = asyncio.get_running_loop()
    seen: list[BaseException | None] = []
    loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
    put = turns.put_off if waiting == "put_off" else turns.wait_for_place
    put(fail)
    put(lambda: done.append("b"))
    await turn()
    await turn()
    assert done == ["b"]
    assert [str(error) for error in seen] == ["on purpose"]


async def test_an_input_of_a_game_waits_for_so_many_texts_at_most(ws: Stage) -> None:
    talkers = [await ws.open_link() for _ in range(30)]
    player, playing = await ws.open_link()
    log = ws.host.log
    for number, (peer, link) in enumerate(talkers):
        said = b"".join(peer.framed("text", b"%d %d" % (number, n)) for n in range(8))
        link.data_received(said)
    playing.data_received(player.framed("binary", b"input"))
    assert len(log.of("text")) == TEXTS_PER_TURN
    assert log.of("binary") == [("binary", b"input")]

    await log.until("text", 30 * 8)
    heard = [entry[1] for entry in log.of("text")]
    for number in range(30):
        one = [b"%d %d" % (number, n) for n in range(8)]
        assert [text for text in heard if text in one] == one


async def test_inputs_behind_ones_own_share_wait_for_nobody_s_texts(ws: Stage) -> None:
    talkers = [await ws.open_link() for _ in range(30)]
    player, playing = await ws.open_link()
    log = ws.host.log
    for peer, link in talkers:
        link.data_received(peer.framed("text", b"text") * 8)
    playing.data_received(player.framed("binary", b"input") * 20)
    await log.until("binary", 20)
    # Two turns later: each has had its texts.
    assert len(log.of("text")) <= 3 * TEXTS_PER_TURN


async def test_transports_may_share_them() -> None:
    turns = ReadingTurns(asyncio.get_running_loop())
    transports: list[StreamTransport] = [
        WebSocketTransport(port=0, turns=turns),
        TcpTransport(turns=turns),
    ]
    for transport in transports:
        await transport.start(EchoHost())
        await transport.stop()
    assert [transport.turns for transport in transports] == [turns, turns]
