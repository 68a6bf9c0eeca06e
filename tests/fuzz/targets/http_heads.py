"""HTTP heads and handshakes: one is found however it arrives, and judged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from wsprism_core.transports.deflate import Deflate
from wsprism_core.transports.handshake import (
    accept_handshake,
    check_upgrade,
    connect_request,
)
from wsprism_core.transports.http import HeadReader, Rejected, parse_head

EXTENSIONS = Deflate(min_bytes=1, level=1).extensions


def target(data: bytes) -> None:
    head = read([data])
    if head is None:
        # Of the faults of one packet another may be found first, but there is one.
        assert read(bytes([byte]) for byte in data) is None
        return
    assert read(bytes([byte]) for byte in data) == head
    with suppress(Rejected):
        request = parse_head(head)
        with suppress(Rejected):
            connect_request(request, "websocket", "192.0.2.1")
        check_upgrade(request)
        assert accept_handshake(request, EXTENSIONS).response.startswith(
            b"HTTP/1.1 101"
        )


def read(chunks: Iterable[bytes]) -> bytes | None:
    """Return the head, None where there is none or it is refused."""
    reader = HeadReader()
    with suppress(Rejected):
        for chunk in chunks:
            complete = reader.feed(chunk)
            if complete is not None:
                return complete[0]
    return None
