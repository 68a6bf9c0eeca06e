"""What the configuration bounds is bounded on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support.command_line import read_until, wsprism

CONFIG = """
version: 1
gateway: {{listen: "127.0.0.1:0", {bound}}}
tenants:
  - id: acme
    limits: {{max_frame_bytes: 65536}}
"""


async def flood_with_pings(client: ClientConnection) -> None:
    for _ in range(100):
        await client.ping()
    await client.recv()


async def never_finish(client: ClientConnection) -> None:
    async def fragments() -> AsyncIterator[str]:
        for _ in range(100):
            yield "x" * 20

    await client.send(fragments())
    await client.recv()


@pytest.mark.parametrize(
    ("bound", "offend", "code"),
    [
        ("control_frames_per_second: 3", flood_with_pings, 1008),
        ("max_fragments: 3", never_finish, 1009),
        ("max_unfinished_bytes: 10", never_finish, 1013),
    ],
)
async def test_a_bound_of_the_file_holds(
    tmp_path: Path,
    bound: str,
    offend: Callable[[ClientConnection], Awaitable[None]],
    code: int,
) -> None:
    file = tmp_path / "wsprism.yaml"
    file.write_text(CONFIG.format(bound=bound))

    options = ("run", "--dev", "--config", str(file), "--plugins", "chat")
    with wsprism(*options) as gateway:
        said = read_until("listening", gateway.stdout)
        url = next(word for word in said[-1].split() if word.startswith("ws://"))
        async with (
            asyncio.timeout(20),
            connect(f"{url}?ticket=dev:ann", ping_interval=None) as client,
        ):
            await client.recv()
            with pytest.raises(ConnectionClosed) as closed:
                await offend(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
