"""SIGHUP under traffic: a real process, real sockets, and nobody dropped for it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from support.command_line import environment, wsprism
from wsprism_core.client import ClientError, HandshakeRefused, connect

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")

FILE = """\
version: 1
gateway: {listen: "127.0.0.1:0"}
tenants:
  - id: acme
    limits: {max_sessions_total: %s, max_users_per_room: %s}
    policy: {rate_limit_rps: 0, ext_allowlist: %s}
"""
WIDE = (0, 0, '["room:*", "chat:*"]')
#: Fewer than are there.
TIGHT = (2, 2, '["room:*", "chat:*"]')
TALKERS = 6


class Process:
    """A gateway with a file of its own, and what it logs of reloading."""

    def __init__(self, gateway: Any, file: Path) -> None:
        self._gateway = gateway
        self._file = file
        self.url = self._logged("listening")["address"]

    async def reload(self, text: str) -> dict[str, Any]:
        """Write the file, send the signal, and return the line of the log about it."""
        self._file.write_text(text)
        self._gateway.send_signal(signal.SIGHUP)
        return await asyncio.to_thread(self._logged, "reloaded", "reload_refused")

    def _logged(self, *events: str) -> dict[str, Any]:
        for line in self._gateway.stderr:
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] in events:
                return entry
        raise AssertionError("it has ended")


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    file = tmp_path / "wsprism.yaml"
    file.write_text(FILE % WIDE)
    run = ("run", "--config", str(file), "--plugins", "chat", "--dev", "--log-json")
    with wsprism(*run, env=environment()) as gateway:
        yield Process(gateway, file)
        gateway.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.wait, 30)
        assert gateway.returncode == 0


async def test_under_traffic_nobody_is_dropped_and_limits_hold(
    process: Process,
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(process.url, ticket=f"dev:u{n}"))
            for n in range(TALKERS)
        ]
        for client in clients:
            await client.join("hall")
        said = [0] * TALKERS
        heard: list[list[int]] = [[] for _ in clients]
        is_over = asyncio.Event()

        async def listen(n: int) -> None:
            async for event in clients[n].messages("chat.msg"):
                heard[n].append(event.envelope["seq"])

        async def talk(n: int) -> None:
            # Each is acknowledged before the next: none is lost and none refused.
            while not is_over.is_set():
                await clients[n].request(
                    "chat", "send", {"msg": f"{said[n]}"}, room="hall"
                )
                said[n] += 1

        async def each_said_more() -> None:
            before = list(said)
            async with asyncio.timeout(20):
                while any(
                    now < then + 5 for now, then in zip(said, before, strict=True)
                ):
                    done, _ = await asyncio.wait(tasks, timeout=0.01)
                    assert not done, [task.exception() for task in done]

        listening = [asyncio.ensure_future(listen(n)) for n in range(TALKERS)]
        talking = [asyncio.ensure_future(talk(n)) for n in range(TALKERS)]
        tasks = [*talking, *listening]
        await each_said_more()
        for round in range(3):
            told = await process.reload(FILE % TIGHT)
            assert told["outcome"] == "applied"
            assert len(told["applied"]) == 2
            await each_said_more()
            with pytest.raises(HandshakeRefused) as refused:
                await stack.enter_async_context(connect(process.url, ticket="dev:new"))
            assert refused.value.status == 503
            told = await process.reload(
                "version: 1\ntenants: [{id: acme, limit: {}}]\n"
            )
            assert told["problems"] == [
                "line 2: tenants[0].limit: unknown key; did you mean 'limits'?"
            ]
            await each_said_more()
            with pytest.raises(HandshakeRefused):
                await stack.enter_async_context(connect(process.url, ticket="dev:new"))
            told = await process.reload(FILE % (0, 2, WIDE[2]))
            assert told["outcome"] == "applied"
            newcomer = await stack.enter_async_context(
                connect(process.url, ticket=f"dev:new{round}")
            )
            with pytest.raises(ClientError, match="the room is full"):
                await newcomer.join("hall")
            assert (await process.reload(FILE % WIDE))["outcome"] == "applied"
            await newcomer.join("hall")
        is_over.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*talking)
        # Whoever was there has everything that was said, in order and once.
        async with asyncio.timeout(20):
            while any(len(one) < sum(said) for one in heard):
                await asyncio.wait(listening, timeout=0.01)
        assert heard == [list(range(1, sum(said) + 1))] * TALKERS
        for task in listening:
            task.cancel()
