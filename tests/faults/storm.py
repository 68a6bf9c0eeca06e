"""A reconnect storm: all connections are lost at once, and all sessions come back.

    python -m faults.storm --sessions 2000

Meanwhile something is said in every room. Whoever comes back must be in its session and
its room, and get what it missed: whole, in order and once.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from faults.mortal import MortalGateway
from support.waiting import until
from wsprism_core.client import Client, connect

__all__ = ("Storm", "storm")

#: Sessions in a room, and messages that they miss.
IN_A_ROOM: Final = 20
MISSED: Final = 3
#: Connections that are opened at a time.
AT_ONCE: Final = 100
#: For a handshake in the storm, in seconds.
PATIENCE: Final = 30.0


@dataclass
class Storm:
    """What came of it.

    Args:
        seconds: From the first attempt to the last session that was whole.
        violations: What does not hold.
    """

    seconds: float
    violations: list[str]


async def storm(sessions: int) -> Storm:
    """Have so many sessions lose their connections, and come back at once."""
    with tempfile.TemporaryDirectory(prefix="wsprism-storm-") as folder:
        gateway = MortalGateway(Path(folder))
        await asyncio.to_thread(gateway.start)
        assert await until(lambda: _is_up(gateway), PATIENCE)
        try:
            return await _storm(gateway, sessions)
        finally:
            await asyncio.to_thread(gateway.stop)


async def _storm(gateway: MortalGateway, sessions: int) -> Storm:
    turn = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def open_one(user: str, resume: str | None = None) -> Client:
            async with turn:
                opened = connect(
                    gateway.url,
                    ticket=f"dev:{user}",
                    resume=resume,
                    open_timeout=PATIENCE,
                )
                return await stack.enter_async_context(opened)

        async def begin(n: int) -> Client:
            client = await open_one(f"u{n}")
            await client.join(_room(n))
            return client

        async def come_back(n: int, lost: Client) -> str | None:
            client = await open_one(f"u{n}", lost.authed["resume"])
            return await _violation(client, _room(n))

        before = await asyncio.gather(*(begin(n) for n in range(sessions)))
        speaker = await open_one("speaker")
        for client in before:
            client._link.abort()
        for room in {_room(n): None for n in range(sessions)}:
            await speaker.join(room)
            for number in range(MISSED):
                said = {"msg": str(number)}
                await speaker.request("chat", "send", said, room=room)
            await speaker.leave(room)
        began = time.monotonic()
        found = await asyncio.gather(
            *(come_back(n, client) for n, client in enumerate(before))
        )
        seconds = time.monotonic() - began
    return Storm(seconds, [one for one in found if one is not None])


async def _violation(client: Client, room: str) -> str | None:
    """Return what does not hold of a session that is back; None where it is whole."""
    user = client.authed["user"]
    if not client.authed.get("resumed"):
        return f"{user} is a new session: {client.authed.get('reason')}"
    (row,) = client.authed["rooms"]
    if (row["room"], row["recovered"], row["seq"]) != (room, True, MISSED):
        return f"{user} is back in {row}"
    heard = []
    try:
        async with asyncio.timeout(PATIENCE):
            async for event in client.messages("chat.msg"):
                heard.append(event.envelope["seq"])
                if len(heard) == MISSED:
                    break
    except TimeoutError:
        pass
    return None if heard == [*range(1, MISSED + 1)] else f"{user} heard {heard}"


def _room(n: int) -> str:
    return f"r{n // IN_A_ROOM}"


def _is_up(gateway: MortalGateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", gateway.port)) == 0


@click.command()
@click.option("--sessions", default=2_000, show_default=True)
def main(sessions: int) -> None:
    """Have a reconnect storm, and see that everybody is whole."""
    outcome = asyncio.run(storm(sessions))
    click.echo(f"{sessions} sessions came back in {outcome.seconds:.1f} s")
    for violation in outcome.violations[:10]:
        click.echo(f"  {violation}")
    sys.exit(bool(outcome.violations))


if __name__ == "__main__":
    main()
