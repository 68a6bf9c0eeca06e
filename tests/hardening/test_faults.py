"""Rows F9, F10 and F12: peers that vanish or reset, and handlers that do not end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from support.command_line import environment
from support.fault_proxy import FaultProxy
from support.gateway_process import PATIENT, GatewayProcess, Gateways
from support.listener import Listener
from support.oracle import FULL, MANY, SLACK, Row
from support.peers import END

PING, PONG = 0.4, 0.4
#: A beat is an eighth of the shorter; two of them are the rounding.
DETECTION = PING + PONG + 2 * min(PING, PONG) / 8
CLOSE_TIMEOUT = 0.5
TESTS = Path(__file__).parents[1]


@pytest.fixture
def gateway(gateways: Gateways) -> GatewayProcess:
    return gateways(beating(), "--host", "0.0.0.0", "--allow-insecure-dev")


def beating() -> dict[str, dict[str, int]]:
    return {
        "gateway": {
            "ping_interval_ms": round(1000 * PING),
            "pong_timeout_ms": round(1000 * PONG),
            "close_timeout_ms": round(1000 * CLOSE_TIMEOUT),
            "presence_batch_ms": 20,
        }
    }


async def enter(one: Listener, room: str = "hall") -> None:
    await one.send("room", "join", room=room)
    await one.until("sys.joined")


# ------------------------------------------------------------------------------- F9


async def test_f9_a_peer_that_vanished(gateway: GatewayProcess) -> None:
    async with (
        Row(gateway, closes={4003: 1, 1000: 1}) as row,
        FaultProxy(gateway.port) as proxy,
        Listener(await row.connect("witness")) as witness,
        Listener(await row.connect("gone", port=proxy.port)) as gone,
    ):
        for one in (witness, gone):
            await enter(one)
        proxy.up.is_dead = proxy.down.is_dead = True
        await sees_it_leave(witness)
        assert gone.end is None
        # Its socket is cut, though nothing ever came back from it.
        await gateway.settles(fds=row.before.fds + 1, within=CLOSE_TIMEOUT + SLACK)
        await witness.leave()


async def sees_it_leave(witness: Listener) -> None:
    """Wait until the other member's presence ends, in time."""
    async with asyncio.timeout(DETECTION + SLACK):
        while not any(
            message["data"].get("left") for message in witness.of("room.presence")
        ):
            await witness.until_news()


class Namespace(NamedTuple):
    """A network namespace with a link to this one, where the address is `here`."""

    name: str
    here: str


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("makes a network namespace, which needs Linux, root and `ip`")
    # Others may run the same test at the same time.
    number = os.getpid()
    name, link = f"wsprism{number}", f"wsp{number}"
    here, there = (f"10.87.{number % 256}.{host}" for host in (1, 2))
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("this machine lets nobody make network namespaces")
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "there", "netns", name)
        ip("addr", "add", f"{here}/24", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", name, "addr", "add", f"{there}/24", "dev", "there")
        ip("-n", name, "link", "set", "there", "up")
        yield Namespace(name, here)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", link)
        ip("netns", "del", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


#: Connects, joins the hall, and says so; then it answers pings for as long as it may.
CLIENT = """
import asyncio, sys
from support.listener import Listener
from support.peers import WebSocketPeer

async def main():
    peer = await WebSocketPeer.open(
        int(sys.argv[1]), target=sys.argv[2], tls=None, address=sys.argv[3]
    )
    async with Listener(peer) as one:
        await one.send("room", "join", room="hall")
        await one.until("sys.joined")
        print("joined", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_f9_a_link_that_went_down(
    gateway: GatewayProcess, namespace: Namespace
) -> None:
    command = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", CLIENT]
    async with (
        Row(gateway, closes={4003: 1, 1000: 1}) as row,
        Listener(await row.connect("witness")) as witness,
    ):
        await enter(witness)
        client = await asyncio.create_subprocess_exec(
            *command,
            str(gateway.port),
            gateway.target("gone"),
            namespace.here,
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=str(TESTS)),
        )
        try:
            assert client.stdout is not None
            assert await client.stdout.readline() == b"joined\n"
            ip("-n", namespace.name, "link", "set", "there", "down")
            await sees_it_leave(witness)
            await gateway.settles(fds=row.before.fds + 1, within=CLOSE_TIMEOUT + SLACK)
        finally:
            client.kill()
            await client.wait()
        await witness.leave()


# ------------------------------------------------------------------------------ F10


async def test_f10_resets(gateways: Gateways) -> None:
    # Nobody here answers pings.
    gateway = gateways(PATIENT)
    count = 2_000 if FULL else 100
    # The first time is a rehearsal, for the memory's sake.
    await reset_many(gateway, count)
    async with Row(gateway, closes={1006: count}, fast_enough=MANY) as row:
        await reset_many(gateway, count)
    sids = [e["sid"] for e in row.entries if e["event"] == "session_closed"]
    assert len(set(sids)) == count


async def reset_many(gateway: GatewayProcess, count: int) -> None:
    """Have so many sessions in a room; then reset all of them, and wait for their end.

    Half of them are within a frame, a quarter has unread messages.
    """
    before = gateway.look().closes["1006"]
    peers = [await gateway.connect(f"u{number}") for number in range(count)]
    for number, peer in enumerate(peers):
        await peer.send("text", b'{"svc":"room","type":"join","room":"hall"}')
        if number % 2:
            await peer.send_raw(peer.framed("text", b"half")[:-1])
        while number % 4 and b'"joined"' not in (got := await peer.frame()).payload:
            assert got != END
    for peer in peers:
        peer.reset()
    await asyncio.sleep(0)
    await gateway.settles(closes={"1006": before + count}, within=5.0)


async def test_f10_a_proxy_that_resets(gateway: GatewayProcess) -> None:
    async with (
        Row(gateway, closes={1006: 1}) as row,
        FaultProxy(gateway.port) as proxy,
        Listener(await row.connect("one", port=proxy.port)) as one,
    ):
        await enter(one)
        await proxy.reset()
        assert (await one.until_end()).kind == "end"


# ------------------------------------------------------------------------------ F12


async def test_f12_a_loop_that_is_blocked(gateway: GatewayProcess) -> None:
    blocked = 2.0
    assert blocked > 2 * (PING + PONG)
    async with (
        Row(
            gateway, closes={1000: 21}, slowdown=None, warnings=("slow_handler",)
        ) as row,
        AsyncExitStack() as stack,
    ):
        others = [
            await stack.enter_async_context(Listener(await row.connect(f"u{number}")))
            for number in range(20)
        ]
        blocker = await stack.enter_async_context(Listener(await row.connect()))
        began = time.monotonic()
        await blocker.send("probe", "block", {"ms": round(1000 * blocked)})
        await blocker.until("probe.echoed")
        assert time.monotonic() - began >= blocked
        # The metric tells of it, and no log line is needed to find it.
        late = "wsprism_loop_lag_seconds_sum{}"
        seen = await asyncio.to_thread(gateway.look)
        assert seen.metrics[late] - row.before.metrics[late] > 0.9 * blocked
        # Twice the time in which those that do not answer are found.
        pings = [one.pings for one in others]
        for one, before in zip(others, pings, strict=True):
            async with asyncio.timeout(2 * DETECTION + SLACK):
                while one.pings < before + 2:
                    await one.until_news()
        for one in (*others, blocker):
            assert one.end is None
            await one.leave()
    (named,) = [e for e in row.entries if e["event"] == "slow_handler"]
    assert (named["plugin"], named["hook"]) == ("probe", "on_message")


async def test_f12_a_handler_that_hangs(gateway: GatewayProcess) -> None:
    waiting = 64
    async with (
        Row(gateway, closes={1000: 2}) as row,
        Listener(await row.connect("hung")) as hung,
        Listener(await row.connect("other")) as other,
    ):
        for seq in range(waiting + 2):
            await hung.send("hang", "on", seq=seq)
        # One is under way and as many wait as may; one is too many.
        (error,) = await hung.until("sys.error")
        assert error["ref"] == waiting + 1
        assert error["data"]["code"] == "RESOURCE_EXHAUSTED"
        # It holds up its own service for this session, and nothing else.
        for one in (hung, other):
            await one.send("probe", "echo", seq=1)
            await one.until("probe.echoed")
        await other.send("hang", "on")
        assert row.gateway.look().tasks > row.before.tasks
        for one in (hung, other):
            await one.leave()
