"""A real gateway on real sockets, with the small services."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from support.services import Lab, Late
from wsprism_core.clock import LoopClock
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.testing import config_with
from wsprism_core.transports.tcp import TcpTransport
from wsprism_core.transports.websocket import WebSocketTransport


@dataclass
class Served:
    """The gateway, its services, and where it listens."""

    gateway: Gateway
    lab: Lab
    late: Late
    ws: str
    tcp: str


@asynccontextmanager
async def serving(
    *, tls: ssl.SSLContext | None = None, tenants: tuple[str, ...] = ("default",)
) -> AsyncIterator[Served]:
    lab, late = Lab(), Late()
    websocket = WebSocketTransport(port=0, ssl_context=tls)
    tcp = TcpTransport(port=0, ssl_context=tls)
    gateway = Gateway(
        config_with(tenants=tenants),
        PluginSet.load([], extra=[lab, late]),
        LoopClock(asyncio.get_running_loop()),
        transports=[websocket, tcp],
        development=True,
    )
    await gateway.start()
    try:
        yield Served(gateway, lab, late, websocket.address, tcp.address)
    finally:
        await gateway.stop()
