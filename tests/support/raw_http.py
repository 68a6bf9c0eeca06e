"""Single HTTP requests on raw sockets."""

from __future__ import annotations

from typing import NamedTuple

from support.peers import WebSocketPeer
from support.transport_stage import Stage
from wsprism_core.transports.port import Refusal


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def ask(stage: Stage, request: bytes) -> Answer:
    """Send a request; return the answer, once the server has ended."""
    stream = await stage.connect_socket()
    await stream.send_raw(request)
    return parse_answer(await stream.read_all())


def parse_answer(raw: bytes) -> Answer:
    head, blank, body = raw.partition(b"\r\n\r\n")
    assert blank, raw
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Answer(int(status.split()[1]), headers, body)


async def upgrade(stage: Stage, request: bytes) -> tuple[WebSocketPeer, str]:
    """Send a handshake that succeeds; return the peer and the head of the answer."""
    peer = await WebSocketPeer.connect(stage.stream.port)
    stage.peers.append(peer)
    await peer.send_raw(request)
    head = (await peer.read_head()).decode()
    assert head.startswith("HTTP/1.1 101 "), head
    peer._answered = True
    return peer, head


def plain(
    path: str, method: str = "GET", *fields: str, version: str = "HTTP/1.1"
) -> bytes:
    lines = [f"{method} {path} {version}", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode()


def refusal(status: int) -> Refusal:
    return Refusal(status, 1013, f"refused with {status}", retry_after=9)
