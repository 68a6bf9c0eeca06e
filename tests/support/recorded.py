"""A real gateway on real sockets that is recorded, and what its clients do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsprism_core import (
    Actions,
    Broadcast,
    Envelope,
    Identity,
    Inbound,
    Outbound,
    ProtocolError,
    Push,
    Reply,
    Service,
    Session,
    hookimpl,
)
from wsprism_core import (
    Gateway as PluginGateway,
)
from wsprism_core.config import Config
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.framing import encode_frame
from wsprism_core.protocol.layout import ErrorCode, FrameKind
from wsprism_core.recording.format import Kind, Record, RecordingReader
from wsprism_core.recording.recorder import Recorder
from wsprism_core.recording.writer import Sink
from wsprism_core.testing import config_with
from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport

MIB = 1024 * 1024


@dataclass
class Recorded:
    """The gateway, its recorder, and where it listens."""

    gateway: Gateway
    recorder: Recorder
    ws: str
    tcp: str


@asynccontextmanager
async def recording(
    file: Path | Sink,
    *plugins: object,
    config: Config | None = None,
    has_file: bool = False,
    max_bytes: int = 64 * MIB,
) -> AsyncIterator[Recorded]:
    config = config or config_with()
    loaded = PluginSet.load(
        [one for one in plugins if isinstance(one, str)],
        extra=[one for one in plugins if not isinstance(one, str)],
    )
    recorder = Recorder(config, loaded, has_file=has_file)
    deflate = Deflate() if config.gateway.deflate.enabled else None
    websocket, tcp = WebSocketTransport(port=0, deflate=deflate), TcpTransport(port=0)
    gateway = Gateway(
        config,
        loaded,
        recorder.clock,
        transports=[websocket, tcp],
        development=True,
        chance=recorder.chance,
        boundary=recorder,
    )
    sink: Sink = file.open("wb", buffering=0) if isinstance(file, Path) else file
    recorder.open(sink, max_bytes=max_bytes)
    try:
        await gateway.start()
        yield Recorded(gateway, recorder, websocket.address, tcp.address)
    finally:
        await gateway.stop()
        recorder.close()


def records(path: Path) -> list[Record]:
    """Return every record of whole turns, without the turns' ends."""
    with RecordingReader(path) as reader:
        return [record for turn in reader.turns() for record in turn]


def kinds(path: Path) -> set[Kind]:
    return {Kind(record[0]) for record in records(path)}


class Slow:
    """A TCP client that reads when it is told to, into a small buffer."""

    def __init__(self, url: str, user: str, ticket: str = "") -> None:
        where = urlsplit(url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((where.hostname, where.port))
        self._socket.setblocking(False)
        data = {"ticket": ticket or f"dev:{user}"}
        self.send({"svc": "sys", "type": "auth", "data": data})

    def send(self, fields: dict[str, Any]) -> None:
        self.send_bytes(JSON.encode(fields))

    def send_bytes(self, payload: bytes) -> None:
        self._socket.send(encode_frame(FrameKind.TEXT, payload))

    async def read(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    async def read_until(self, mark: bytes) -> bytes:
        seen = b""
        while mark not in seen:
            data = await self.read(65536)
            assert data, "the connection is over"
            seen = seen[-1024:] + data
        return seen

    def close(self) -> None:
        self._socket.close()


class Oracle:
    """An async service that asks someone outside, and speaks up by itself.

    `oracle.ask` answers what `answer` says, `oracle.fail` fails, `oracle.tell` has a
    task of its own push something; `oracle.next` is a plain roll of its chance. A
    ticket `key:<user>` is good.
    """

    wsprism_api = 1
    name = "oracle"

    def __init__(self, answer: str = "yes") -> None:
        self.answer = answer
        self.asked = 0

    @hookimpl
    def register_services(self) -> Iterable[Service]:
        said = (
            Outbound(name="said"),
            Outbound(name="told"),
            Outbound(name="heard", recoverable=True),
        )
        asks = tuple(Inbound(name=name) for name in ("ask", "fail", "refuse", "tell"))
        return [Service(name="oracle", inbound=asks, outbound=said)]

    @hookimpl
    def on_start(self, gateway: PluginGateway) -> None:
        self.gateway = gateway

    @hookimpl
    async def authenticate(self, ticket: str, tenant: str) -> Identity | None:
        await asyncio.sleep(0)
        kind, _, user = ticket.partition(":")
        return Identity(f"user:{user}", tenant) if kind == "key" else None

    @hookimpl
    async def on_message(self, session: Session, message: Envelope) -> Actions:
        await asyncio.sleep(0)
        self.asked += 1
        match message.type:
            case "fail":
                raise RuntimeError("the oracle is asleep")
            case "refuse":
                raise ProtocolError(ErrorCode.CONFLICT, "not today")
            case "tell":
                self.gateway.spawn(self._tell(session.id, session.tenant))
                return None
        number = self.gateway.random.getrandbits(32)
        return (
            one
            for one in (
                Reply("said", {"answer": self.answer, "number": number}),
                Broadcast("heard", message.data, room="r1"),
            )
        )

    async def _tell(self, session: str, tenant: str) -> None:
        for count in range(3):
            await asyncio.sleep(0.001)
            push = Push("told", {"count": count}, session=session)
            self.gateway.perform(push, tenant=tenant)
