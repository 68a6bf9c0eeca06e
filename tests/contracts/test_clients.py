"""The clients of docs/how-to/connect-a-client.md, against a gateway on real sockets."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wsprism_core.client import ClientError, connect
from wsprism_core.clock import LoopClock
from wsprism_core.config import out_of_the_box
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport


@pytest.fixture
async def running() -> AsyncIterator[tuple[str, int]]:
    """A gateway: the address of its WebSocket, and the port for TCP."""
    websocket, tcp = WebSocketTransport(port=0), TcpTransport()
    gateway = Gateway(
        out_of_the_box(),
        PluginSet.load(["chat", "game"]),
        LoopClock(asyncio.get_running_loop()),
        transports=[websocket, tcp],
        development=True,
    )
    await gateway.start()
    yield websocket.address, tcp.port
    await gateway.stop()


async def talk(url: str) -> tuple[int, str, bytes]:
    # begin python
    async with connect(url, ticket="dev:ann") as client:
        await client.join("lobby")
        ack = await client.request("chat", "send", {"msg": "hello"}, room="lobby")
        number = ack["data"]["seq"]
        async for said in client.messages("chat.msg"):
            text = said.data["msg"]
            break

        await client.send_frame(client.authed["services"]["game"], 2, b"\x0a\xff")
        async for event in client.frames(svc_id=1):
            payload = event.frame.payload
            break
    # end python
    return number, text, payload


async def test_the_python_client(running: tuple[str, int]) -> None:
    url, _ = running
    assert await talk(url) == (1, "hello", b"\x0a\xff")
    async with connect(url, ticket="dev:ann") as client:
        with pytest.raises(ClientError, match="NOT_ALLOWED"):
            await client.request("chat", "send", {"msg": "hello"}, room="attic")


# begin tcp
TEXT, BINARY, PING, PONG, CLOSE = range(1, 6)


class TcpClient:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, kind: int, payload: bytes) -> None:
        self.writer.write(struct.pack(">IB", len(payload) + 1, kind) + payload)

    async def receive(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        frame = await self.reader.readexactly(length)
        return frame[0], frame[1:]

    async def next_message(self) -> dict[str, Any] | bytes:
        while True:
            kind, payload = await self.receive()
            if kind == PING:
                self.send(PONG, payload)
            elif kind == CLOSE:
                code, reason = payload[:2], payload[2:].decode()
                raise ConnectionError(int.from_bytes(code, "big"), reason)
            elif kind == TEXT:
                message: dict[str, Any] = json.loads(payload)
                return message
            elif kind == BINARY:
                return payload


async def dial(host: str, port: int, ticket: str) -> TcpClient:
    client = TcpClient(*await asyncio.open_connection(host, port))
    auth = {"svc": "sys", "type": "auth", "data": {"ticket": ticket}}
    client.send(TEXT, json.dumps(auth).encode())
    return client


# end tcp


async def test_a_client_over_tcp(running: tuple[str, int]) -> None:
    _, port = running
    client = await dial("127.0.0.1", port, "dev:cat")
    authed = await client.next_message()
    assert isinstance(authed, dict)
    assert authed["data"]["user"] == "user:cat"
    join = {"svc": "room", "type": "join", "room": "lobby", "seq": 1}
    client.send(TEXT, json.dumps(join).encode())
    joined = await client.next_message()
    assert isinstance(joined, dict)
    assert (joined["type"], joined["ref"]) == ("joined", 1)
    client.send(BINARY, bytes([1, 1, 2, 0, 10, 255]))
    relayed = bytes([1, 1, 2, 12, 1, 0, 0, 0, 1, 0, 0, 0, 10, 255])
    assert await client.next_message() == relayed
    client.send(PING, b"there?")
    assert await client.receive() == (PONG, b"there?")
    client.writer.close()
    await client.writer.wait_closed()


async def test_a_bad_ticket_over_tcp(running: tuple[str, int]) -> None:
    _, port = running
    client = await dial("127.0.0.1", port, "nobody")
    error = await client.next_message()
    assert isinstance(error, dict)
    assert error["data"]["code"] == "AUTH_FAILED"
    with pytest.raises(ConnectionError) as closed:
        await client.next_message()
    assert closed.value.args[0] == 4503
    client.writer.close()
    await client.writer.wait_closed()
