"""A client that drops at every byte of a message, sent or received, loses nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("limits another process, as Linux allows", allow_module_level=True)

from faults.gateway import Gateway
from faults.nursery import Nursery
from support.peers import WebSocketPeer, client_frame
from support.waiting import until

#: As many digits for every number, and so as many bytes for every message.
FIRST = 100


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Gateway]:
    with Nursery() as nursery:
        gateway = Gateway(nursery, tmp_path)
        gateway.start()
        try:
            assert await until(lambda: "listening" in gateway.last_words())
            yield gateway
        finally:
            assert gateway.stop() == 0


def envelope(svc: str, type: str, data: Any = None) -> bytes:
    fields = {"svc": svc, "type": type, "room": "lobby", "seq": 1, "flags": 4}
    return json.dumps(fields | {"data": data}).encode()


def message(n: int) -> bytes:
    return envelope("chat", "send", {"msg": f"m{n}", "id": f"m{n}"})


async def expect(peer: WebSocketPeer, type: str) -> dict[str, Any]:
    """Return the next envelope of a type."""
    while True:
        got = await peer.read_frame()
        said = json.loads(got.payload)
        assert said["type"] != "error", said
        if said["type"] == type:
            return dict(said)


async def enter(
    gateway: Gateway, user: str, token: str = ""
) -> tuple[WebSocketPeer, dict[str, Any]]:
    """Return a connection, and what it was told of itself."""
    target = f"/v1/ws?tenant=main&ticket=dev:{user}&resume={token}"
    peer = await WebSocketPeer.open(gateway.port, target=target, tls=None)
    return peer, (await expect(peer, "authed"))["data"]


async def join(gateway: Gateway, user: str) -> tuple[WebSocketPeer, str]:
    """Return a connection that is in the room, and its token."""
    peer, authed = await enter(gateway, user)
    await peer.send("text", envelope("room", "join"))
    await expect(peer, "joined")
    return peer, authed["resume"]


async def say(peer: WebSocketPeer, n: int) -> int:
    """Say something; return the number that it was acknowledged with."""
    await peer.send("text", message(n))
    return int((await expect(peer, "ack"))["data"]["seq"])


async def test_what_was_sent_up_to_any_byte_is_there_once(running: Gateway) -> None:
    peer, token = await join(running, "ann")
    size = len(peer.framed("text", message(FIRST)))
    for cut in range(size + 1):
        await peer.send_raw(peer.framed("text", message(FIRST + cut))[:cut])
        peer.drop()
        peer, authed = await enter(running, "ann", token)
        assert authed["resumed"], authed
        token = authed["resume"]
        # Nobody told the client whether it had arrived: it says it again.
        assert await say(peer, FIRST + cut) == cut + 1
    peer.drop()


async def test_what_was_received_up_to_any_byte_is_whole(running: Gateway) -> None:
    bob, _ = await join(running, "bob")
    for n in range(FIRST):
        head = await say(bob, n)
    cut = size = 0
    while cut <= size:
        ann, token = await join(running, "ann")
        head = await say(bob, head)
        if not size:
            said = await expect(ann, "msg")
            data = json.dumps(said, separators=(",", ":")).encode()
            size = len(client_frame(1, data, mask=False))
        else:
            await ann.read(cut)
            cut += 1
        ann.reset()
        ann, authed = await enter(running, "ann", token)
        (room,) = authed["rooms"]
        assert (room["recovered"], room["seq"]) == (True, head)
        assert (await expect(ann, "msg"))["seq"] == head
        await ann.close(1000, "")
        ann.drop()
    bob.drop()
