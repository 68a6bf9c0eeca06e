"""A real gateway with an admin listener, and an operator who asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from support.peers import Stream
from support.raw_http import Answer, parse_answer
from support.services import Lab
from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.clock import LoopClock
from wsprism_core.gateway import Gateway
from wsprism_core.gateway.admin import AdminGuard, AdminListener
from wsprism_core.history.port import HistoryStore
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import config_with
from wsprism_core.transports.posting import PostTransport
from wsprism_core.transports.websocket import WebSocketTransport

__all__ = ("Watched", "watched")


@dataclass
class Watched:
    """The gateway, its service, and where it listens."""

    gateway: Gateway
    lab: Lab
    port: int
    ws: str

    async def ask(
        self, path: str, *fields: str, method: str = "GET", body: bytes = b""
    ) -> Answer:
        stream = await Stream.connect(self.port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{self.port}", *fields]
        await stream.send_raw("\r\n".join([*lines, "", ""]).encode() + body)
        answer = parse_answer(await stream.read_all())
        stream.drop()
        return answer

    async def read(self, path: str) -> Any:
        answer = await self.ask(f"/v1/admin/{path}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return orjson.loads(answer.body)

    async def send(
        self, path: str, body: bytes, *fields: str, kind: str = "application/json"
    ) -> Answer:
        told = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields)
        return await self.ask(path, *told, method="POST", body=body)

    async def do(self, action: str, **wanted: Any) -> Any:
        """Do something that succeeds; return the answer."""
        answer = await self.send(f"/v1/{action}", orjson.dumps(wanted))
        assert answer.status == 200, answer
        return orjson.loads(answer.body)

    async def why_not(self, action: str, **wanted: Any) -> str:
        """Ask for something that is refused; return the reason."""
        answer = await self.send(f"/v1/{action}", orjson.dumps(wanted))
        assert answer.status == 400, answer
        said = orjson.loads(answer.body)["error"]
        assert isinstance(said, str)
        return said


@asynccontextmanager
async def watched(
    key: str | None = None,
    *,
    tenants: tuple[str, ...] = ("default",),
    store: HistoryStore | None = None,
) -> AsyncIterator[Watched]:
    websocket, http, lab = WebSocketTransport(port=0), PostTransport(port=0), Lab()
    clock = LoopClock(asyncio.get_running_loop())
    gateway = Gateway(
        config_with(tenants=tenants),
        PluginSet.load([], extra=[lab]),
        clock,
        transports=[websocket],
        backplane=None if store is None else MemoryBackplane(clock, store),
        development=True,
        admin=AdminListener(http, AdminGuard(key)),
    )
    await gateway.start()
    try:
        yield Watched(gateway, lab, http.port, websocket.address)
    finally:
        await gateway.stop()
