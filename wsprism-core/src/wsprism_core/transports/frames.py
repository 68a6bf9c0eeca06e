"""WebSocket frames: `websockets`' Sans-I/O parser inbound, our own framing outbound.

What is known here of the inside of `websockets` is known nowhere else: which methods
its parser calls, and where it keeps the reference cycles that are broken at the end.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.layout import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from wsprism_core.realtime.wire import Wire

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel of websockets for this platform
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from websockets.extensions import Extension

__all__ = (
    "WEBSOCKET_FRAMING",
    "WEBSOCKET_WIRES",
    "WIRE_BY_SUBPROTOCOL",
    "FrameParser",
    "WebSocketFraming",
    "encode_ws_frame",
    "may_become_whole",
    "whole_message",
)

# At DEBUG the library logs every head and frame, tickets and all, whatever level the
# application asks of the root logger.
_quiet: Final = logging.getLogger("wsprism.transports.websocket.frames")
_quiet.setLevel(logging.ERROR)

# Bound once: enum attribute look-ups cost on the hot path.
_PING: Final = Opcode.PING
_PONG: Final = Opcode.PONG

#: First byte of a frame: FIN and the opcode.
_FIN: Final = 0x80
_WHOLE_TEXT: Final = _FIN | Opcode.TEXT
_WHOLE_BINARY: Final = _FIN | Opcode.BINARY
_WHOLE_PONG: Final = _FIN | Opcode.PONG
#: Second byte: MASK and the payload's size, or which integer follows for it.
_MASKED: Final = 0x80
_MEDIUM_SIZE: Final = 126
_MEDIUM_HEAD: Final = 4
#: The largest payload that is kept for the next read, in bytes.
_SHORT_MESSAGE: Final = 4096
_SHORT: Final = struct.Struct("!BB")
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def whole_message(data: bytes, start: int, limit: int) -> tuple[int, bytes, int] | None:
    """Return the message that begins at `start`, where it is of the usual kind.

    That is one whole frame that ends its message, not compressed, text or binary, of
    less than 64 KiB, and masked (RFC 6455, section 5.2), or a pong. Anything else, and
    whatever is wrong, is for the parser, which takes three times as long: it makes a
    generator for each field, and is ready to wait for the next byte anywhere. A
    connection that sends nothing else needs no parser at all, which saves 2 KB.

    Args:
        data: What came from the network.
        start: Where a frame begins in it.
        limit: The largest message in bytes.

    Returns:
        Its opcode, its payload, and where the next frame begins; None where it is for
        the parser.
    """
    try:
        first, size = data[start], data[start + 1] - _MASKED
        if size < _MEDIUM_SIZE:
            mask = start + 2
        elif size == _MEDIUM_SIZE:
            mask = start + 4
            size = data[start + 2] << 8 | data[start + 3]
        else:
            return None
    except IndexError:
        return None
    payload = mask + 4
    end = payload + size
    if not 0 <= size <= limit or end > len(data):
        return None
    if first == _WHOLE_TEXT or first == _WHOLE_BINARY or _is_pong(first, size):
        return first - _FIN, apply_mask(data[payload:end], data[mask:payload]), end
    return None


def _is_pong(first: int, size: int) -> bool:
    return first == _WHOLE_PONG and size < _MEDIUM_SIZE


def may_become_whole(data: bytes, start: int, limit: int) -> bool:
    """Whether what is left is the beginning of a usual message, and a short one.

    It is kept for the next read then; anything else is for the parser. What is long is
    too, for it would be put together anew with each byte that comes.

    Args:
        data: What came from the network.
        start: Where a frame begins in it; it is not whole.
        limit: The largest message in bytes.
    """
    left = len(data) - start
    if data[start] != _WHOLE_TEXT and data[start] != _WHOLE_BINARY:
        return False
    if left == 1:
        return True
    size = data[start + 1] - _MASKED
    if size == _MEDIUM_SIZE:
        if left < _MEDIUM_HEAD:
            return True
        size = data[start + 2] << 8 | data[start + 3]
    elif size > _MEDIUM_SIZE:
        return False
    return 0 <= size <= min(limit, _SHORT_MESSAGE)


class FrameParser(Protocol):
    """`websockets`' `Protocol` that hands over each frame as soon as it is parsed.

    So a limit that one message raises holds for the next, though both came in one
    read, and frames never pile up in a list. Pings are not answered here.

    Args:
        sink: Called with each frame; it may call `fail` and `send_close`. What it
            raises fails the connection.
        limit: The largest inbound message, inflated, in bytes.
        extensions: Those that the handshake has come to.

    Attributes:
        partial: Bytes of a frame that has begun and not ended, inflation not counted.
    """

    def __init__(
        self,
        sink: Callable[[Frame], None],
        limit: int,
        extensions: Sequence[Extension] = (),
    ) -> None:
        super().__init__(Side.SERVER, max_size=limit, logger=_quiet)
        self.extensions = list(extensions)
        self.sink: Callable[[Frame], None] | None = sink
        self.partial = 0

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take bytes from the network, and hand over the frames that are whole."""
        self.partial += len(data)
        super().receive_data(data)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame from the parser."""
        self.partial = len(self.reader.buffer)
        if frame.opcode is not _PING and frame.opcode is not _PONG:
            super().recv_frame(frame)
            self.events.clear()
        if self.sink is not None:
            self.sink(frame)

    def dispose(self) -> None:
        """Break every reference cycle; nothing may be called after it."""
        self.sink = None
        self.parser.close()
        # Its traceback holds frames that hold this object.
        self.parser_exc = None


class WebSocketFraming:
    """Frames as a server sends them: whole, not masked, not compressed."""

    @property
    def name(self) -> str:
        """The transport's name."""
        return "websocket"

    def text(self, payload: bytes) -> bytes:
        """Frame a text message."""
        return encode_ws_frame(Opcode.TEXT, payload)

    def binary(self, payload: bytes) -> bytes:
        """Frame a binary message."""
        return encode_ws_frame(Opcode.BINARY, payload)

    def ping(self, payload: bytes) -> bytes:
        """Frame a ping of at most 125 bytes."""
        return encode_ws_frame(Opcode.PING, payload)

    def pong(self, payload: bytes) -> bytes:
        """Frame a pong of at most 125 bytes."""
        return encode_ws_frame(Opcode.PONG, payload)


def encode_ws_frame(opcode: int, payload: bytes) -> bytes:
    """Return a final, unmasked frame (RFC 6455, section 5.2).

    Args:
        opcode: The opcode, with RSV bits where an extension sets them.
        payload: What follows the header.
    """
    size = len(payload)
    if size < 126:
        header = _SHORT.pack(_FIN | opcode, size)
    elif size < 65_536:
        header = _MEDIUM.pack(_FIN | opcode, 126, size)
    else:
        header = _LONG.pack(_FIN | opcode, 127, size)
    return header + payload


WEBSOCKET_FRAMING: Final = WebSocketFraming()
#: By the codec's name; the only instances there are.
WEBSOCKET_WIRES: Final = {
    name: Wire(codec, WEBSOCKET_FRAMING) for name, codec in CODECS.items()
}
#: By what a handshake selects, None where it offers nothing.
WIRE_BY_SUBPROTOCOL: Final[Mapping[str | None, Wire]] = {
    None: WEBSOCKET_WIRES["json"],
    SUBPROTOCOL_JSON: WEBSOCKET_WIRES["json"],
    SUBPROTOCOL_MSGPACK: WEBSOCKET_WIRES["msgpack"],
}
