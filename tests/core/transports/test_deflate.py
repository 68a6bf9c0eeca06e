from __future__ import annotations

import zlib

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.handshake import Handshake, accept_handshake
from wsprism_core.transports.http import parse_head
from wsprism_core.transports.websocket import WebSocketTransport

LONG = b'{"v":1,"svc":"chat","type":"msg","data":{"msg":"' + b"hello " * 100 + b'"}}'


def connected(
    deflate: Deflate, **offer: int | bool
) -> tuple[ClientProtocol, Handshake, str]:
    """A client, what its handshake came to, and what was answered."""
    client = ClientProtocol(
        parse_uri("ws://localhost/v1/ws"),
        extensions=[ClientPerMessageDeflateFactory(**offer)],  # type: ignore[arg-type]
    )
    client.send_request(client.connect())
    head = parse_head(b"".join(client.data_to_send()))
    agreed = accept_handshake(head, deflate.extensions)
    client.receive_data(agreed.response)
    response = client.events_received()[0]
    assert isinstance(response, Response)
    return client, agreed, response.headers.get("Sec-WebSocket-Extensions", "")


def read(client: ClientProtocol, data: bytes) -> Frame:
    client.receive_data(data)
    frame = client.events_received()[0]
    assert isinstance(frame, Frame)
    return frame


def test_a_client_that_offers_it_gets_long_messages_compressed() -> None:
    deflate = Deflate()
    client, agreed, answer = connected(deflate)
    assert "server_no_context_takeover" in answer
    assert "client_no_context_takeover" in answer
    home = WebSocketTransport(deflate=deflate)
    wire = home.wire_of(agreed)
    assert wire is home.wire_of(agreed)
    framed = wire.frame_text(LONG)
    assert len(framed) < len(LONG) / 4
    # Twice the same bytes: nothing is kept from one message to the next.
    assert wire.frame_text(LONG) == framed
    for _ in range(2):
        assert read(client, framed).data == LONG
    assert read(client, wire.frame_hot(LONG)).data == LONG


def test_short_messages_and_what_does_not_shrink_are_sent_as_they_are() -> None:
    deflate = Deflate(min_bytes=100)
    client, agreed, _ = connected(deflate)
    wire = WebSocketTransport(deflate=deflate).wire_of(agreed)
    assert wire.frame_text(b"x" * 99)[2:] == b"x" * 99
    noise = zlib.compress(bytes(range(256)) * 2, 9)[:200]
    assert noise in wire.frame_hot(noise)
    assert read(client, wire.frame_hot(noise)).data == noise


@pytest.mark.parametrize("bits", [9, 12, 14])
def test_a_smaller_window_is_declined(bits: int) -> None:
    deflate = Deflate()
    _, agreed, answer = connected(deflate, server_max_window_bits=bits)
    assert answer == ""
    plain = WebSocketTransport().wire_of(agreed)
    assert WebSocketTransport(deflate=deflate).wire_of(agreed) is plain


def test_the_largest_window_is_what_there_is() -> None:
    _, _, answer = connected(Deflate(), server_max_window_bits=15)
    assert "permessage-deflate" in answer


def test_control_frames_are_never_compressed() -> None:
    deflate = Deflate(min_bytes=1)
    client, agreed, _ = connected(deflate)
    wire = WebSocketTransport(deflate=deflate).wire_of(agreed)
    ping = wire.framing.ping(b"a" * 100)
    assert read(client, ping).data == b"a" * 100
    assert not ping[0] & 0x40
