"""Rows A9, A11 and F2: what is bounded, who is an operator, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from support.gateway_process import GatewayProcess
from support.oracle import SLACK
from support.peers import Stream
from support.raw_http import parse_answer, plain
from support.waiting import until
from wsprism_core.client import Client, ConnectionClosed, HandshakeRefused, connect

GRACE: Final = 3.0
CLOSE: Final = 1.0
ROOM: Final = "lobby"
#: Members who publish until they are told to come back, and who never stop.
POLITE, STUBBORN = 8, 2
#: Messages of each publisher that are acknowledged before the signal comes.
UNDER_WAY: Final = 20


@pytest.fixture
def draining_gateway(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[GatewayProcess]:
    """Return a gateway that a test may end."""
    settings = {
        "drain_grace_ms": round(1000 * request.param),
        "close_timeout_ms": round(1000 * CLOSE),
    }
    gateway = GatewayProcess(tmp_path, {"gateway": settings})
    yield gateway
    # One that has ended is told in vain.
    gateway.stop()


# ------------------------------------------------------------------------------- F2


class Member:
    """Publishes to the room as fast as it is acknowledged, and keeps what it gets.

    Attributes:
        acked: The numbers of its messages that were acknowledged.
        got: The numbers of what it got of the room, in order.
        hint: When it was told to come back, in milliseconds; None before.
    """

    def __init__(self, client: Client, *, is_stubborn: bool) -> None:
        self.client = client
        self.acked: list[int] = []
        self.got: list[int] = []
        self.hint: int | None = None
        self._is_stubborn = is_stubborn

    async def run(self) -> None:
        """Go on until the connection is closed."""
        await self.client.join(ROOM)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._publish())

    async def _publish(self) -> None:
        try:
            while self._is_stubborn or self.hint is None:
                said = {"msg": "x" * 200}
                answer = await self.client.request("chat", "send", said, room=ROOM)
                self.acked.append(answer["data"]["seq"])
        except ConnectionClosed:
            pass

    async def _read(self) -> None:
        async for message in self.client.messages():
            if message.name == "chat.msg":
                self.got.append(message.envelope["seq"])
            elif message.name == "sys.draining":
                self.hint = message.data["reconnect_in_ms"]


async def load(
    gateway: GatewayProcess, stack: AsyncExitStack
) -> tuple[list[Member], asyncio.Task[None]]:
    """Return members who publish, and the task that ends with all of them."""
    members = []
    for number in range(POLITE + STUBBORN):
        url = f"ws://127.0.0.1:{gateway.port}/v1/ws"
        client = await stack.enter_async_context(
            connect(url, tenant="main", ticket=f"dev:m{number}")
        )
        members.append(Member(client, is_stubborn=number >= POLITE))

    async def run_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for member in members:
                tasks.create_task(member.run())

    task = asyncio.create_task(run_all())
    assert await until(lambda: all(len(one.acked) >= UNDER_WAY for one in members))
    return members, task


async def stalled(gateway: GatewayProcess, stack: AsyncExitStack) -> None:
    """Let somebody into the room who reads nothing from then on."""
    peer = await gateway.connect("sleeper")
    await peer.send("text", b'{"svc":"room","type":"join","room":"lobby"}')
    await peer.frame()
    stack.callback(peer.drop)


def check_nothing_is_lost(members: list[Member]) -> None:
    polite = [one for one in members if not one._is_stubborn]
    acked = {seq for one in polite for seq in one.acked}
    for one in members:
        first, last = one.got[0], one.got[-1]
        assert one.got == list(range(first, last + 1)), "gap-free, in order, once"
        # Whoever stopped when he was told so had all his answers before anybody was
        # closed: nobody may lack one of his messages.
        assert {seq for seq in acked if seq >= first} <= set(one.got)
        assert set(one.acked) <= set(one.got), "what it was told is stored, it has"


async def asked(gateway: GatewayProcess, path: str) -> tuple[int, bytes]:
    stream = await Stream.connect(gateway.port)
    await stream.send_raw(plain(path))
    answer = parse_answer(await stream.read_all())
    stream.drop()
    return answer.status, answer.body


@pytest.mark.parametrize("draining_gateway", [GRACE], indirect=True)
async def test_f2_a_drain_loses_nothing_that_was_acknowledged(
    draining_gateway: GatewayProcess,
) -> None:
    gateway = draining_gateway
    async with AsyncExitStack() as stack:
        await stalled(gateway, stack)
        members, task = await load(gateway, stack)
        gateway.tell(signal.SIGTERM)
        began = time.monotonic()
        assert await until(lambda: any(one.hint is not None for one in members))
        # At once: nobody is closed yet, and nobody is sent here any more.
        assert await asked(gateway, "/readyz") == (503, b"draining\n")
        assert (await asked(gateway, "/healthz"))[0] == 200
        with pytest.raises(HandshakeRefused) as refused:
            await stack.enter_async_context(
                connect(
                    f"ws://127.0.0.1:{gateway.port}/v1/ws",
                    tenant="main",
                    ticket="dev:late",
                )
            )
        assert (refused.value.status, refused.value.reconnect) == (503, True)
        assert refused.value.retry_after is not None
        await task
        code = await asyncio.to_thread(gateway.ended)
        took = time.monotonic() - began
    assert code == 0
    assert GRACE / 2 < took < GRACE + CLOSE + SLACK
    check_nothing_is_lost(members)
    hints = [one.hint for one in members if one.hint is not None]
    assert len(hints) == len(members)
    assert all(0 <= hint <= 1000 * GRACE for hint in hints)
    assert len(set(hints)) > len(hints) / 2
    assert {one.client.closed for one in members} == {(1001, "draining")}


@pytest.mark.parametrize("draining_gateway", [3600.0], indirect=True)
async def test_f2_a_second_signal_is_faster_and_loses_nothing(
    draining_gateway: GatewayProcess,
) -> None:
    gateway = draining_gateway
    async with AsyncExitStack() as stack:
        await stalled(gateway, stack)
        members, task = await load(gateway, stack)
        gateway.tell(signal.SIGTERM)
        polite = members[:POLITE]
        assert await until(lambda: all(one.hint is not None for one in members))
        before = [len(one.acked) for one in members[POLITE:]]
        # Some go on for as long as they are let.
        assert await until(
            lambda: all(
                len(one.acked) > count + UNDER_WAY
                for one, count in zip(members[POLITE:], before, strict=True)
            )
        )
        assert all(one.client.closed is None for one in polite)
        gateway.tell(signal.SIGTERM)
        began = time.monotonic()
        await task
        code = await asyncio.to_thread(gateway.ended)
        took = time.monotonic() - began
    assert code == 0
    assert took < CLOSE + SLACK
    check_nothing_is_lost(members)
    assert {one.client.closed for one in members} == {(1001, "draining")}
    # All were closed in the same turn, so that all have the same.
    assert len({one.got[-1] for one in members}) == 1
