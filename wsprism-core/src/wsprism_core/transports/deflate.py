"""permessage-deflate (RFC 7692): compressed once for everybody.

No context is kept from one message to the next, in either direction, so that a message
compressed for one client is right for all of them, and that a connection holds no
memory for it between messages. An offer that asks for a smaller window is declined for
the same reason: that client is served uncompressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Opcode

from wsprism_core.protocol.codecs import CODECS
from wsprism_core.realtime.wire import Wire
from wsprism_core.transports.frames import (
    WIRE_BY_SUBPROTOCOL,
    WebSocketFraming,
    encode_ws_frame,
)

if TYPE_CHECKING:
    from websockets.extensions import Extension
    from websockets.typing import ExtensionParameter

__all__ = ("Deflate",)

#: RSV1: the message is compressed.
_COMPRESSED: Final = 0x40
#: What a flush ends with, and is not sent (RFC 7692, section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
#: Raw deflate with the largest window.
_WINDOW: Final = -15


class Deflate:
    """Compression of one transport's messages.

    Args:
        min_bytes: Smaller messages are sent as they are.
        level: From 1, the fastest, to 9, the smallest.

    Attributes:
        wires: By what a handshake selects, None where it offers nothing.
        extensions: What is negotiated.
    """

    def __init__(self, *, min_bytes: int = 256, level: int = 1) -> None:
        framing = _DeflateFraming(min_bytes, level)
        by_codec = {name: Wire(codec, framing) for name, codec in CODECS.items()}
        self.wires: Mapping[str | None, Wire] = {
            subprotocol: by_codec[wire.codec.name]
            for subprotocol, wire in WIRE_BY_SUBPROTOCOL.items()
        }
        self.extensions: Sequence[ServerPerMessageDeflateFactory] = (
            _LargestWindowOnly(
                server_no_context_takeover=True, client_no_context_takeover=True
            ),
        )


class _LargestWindowOnly(ServerPerMessageDeflateFactory):
    """Declines what would want a compressed form of its own."""

    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Extension],
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """Return the parameters to answer with, and the extension.

        Raises:
            NegotiationError: The offer is declined.
        """
        for name, value in params:
            if name == "server_max_window_bits" and value != "15":
                raise NegotiationError("one compressed form serves all")
        return super().process_request_params(params, accepted_extensions)


class _DeflateFraming(WebSocketFraming):
    """Frames whose payload is compressed where that may pay."""

    def __init__(self, min_bytes: int, level: int) -> None:
        self._min_bytes = min_bytes
        self._level = level

    @property
    def name(self) -> str:
        """The transport's name."""
        return "websocket+deflate"

    def text(self, payload: bytes) -> bytes:
        """Frame a text message."""
        return self._frame(Opcode.TEXT, payload)

    def binary(self, payload: bytes) -> bytes:
        """Frame a binary message."""
        return self._frame(Opcode.BINARY, payload)

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        if len(payload) >= self._min_bytes:
            packer = zlib.compressobj(self._level, zlib.DEFLATED, _WINDOW)
            packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
            packed = packed[: -len(_TAIL)]
            if len(packed) < len(payload):
                return encode_ws_frame(opcode | _COMPRESSED, packed)
        return encode_ws_frame(opcode, payload)
