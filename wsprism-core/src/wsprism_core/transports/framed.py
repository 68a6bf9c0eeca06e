"""Messages in TCP framing, for the transports that use it: TCP and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.framing import FrameDecoder, FramingError, encode_frame
from wsprism_core.protocol.layout import CloseCode, FrameKind
from wsprism_core.realtime.wire import Wire
from wsprism_core.transports.bounds import MAX_CONTROL_PAYLOAD
from wsprism_core.transports.port import Receiver
from wsprism_core.transports.reassembly import is_utf8

__all__ = ("TCP_FRAMING", "TCP_WIRES", "TcpFraming", "read_frames", "take_message")


class TcpFraming:
    """Frames with a length and a kind before the payload."""

    @property
    def name(self) -> str:
        """The transport's name."""
        return "tcp"

    def text(self, payload: bytes) -> bytes:
        """Frame a text message."""
        return encode_frame(FrameKind.TEXT, payload)

    def binary(self, payload: bytes) -> bytes:
        """Frame a binary message."""
        return encode_frame(FrameKind.BINARY, payload)

    def ping(self, payload: bytes) -> bytes:
        """Frame a ping of at most 125 bytes."""
        return encode_frame(FrameKind.PING, payload)

    def pong(self, payload: bytes) -> bytes:
        """Frame a pong of at most 125 bytes."""
        return encode_frame(FrameKind.PONG, payload)


TCP_FRAMING: Final = TcpFraming()
#: By the codec's name; the only instances there are.
TCP_WIRES: Final = {name: Wire(codec, TCP_FRAMING) for name, codec in CODECS.items()}


def read_frames(
    decoder: FrameDecoder, data: bytes
) -> Iterator[tuple[FrameKind, bytes]]:
    """Yield the frames that `data` completes.

    What is done with one may raise the decoder's limit; it then holds for the next.

    Raises:
        FramingError: After the frames before it were yielded.
    """
    while True:
        try:
            frames, is_all = decoder.feed(data), True
        except FramingError as error:
            if not error.frames:
                raise
            frames, is_all = error.frames, False
        yield from frames
        if is_all:
            return
        data = b""


def take_message(receiver: Receiver, kind: FrameKind, payload: bytes) -> None:
    """Hand a frame that is no close to a receiver.

    Raises:
        FramingError: Text that is no UTF-8, or a ping or pong over 125 bytes.
    """
    if kind is FrameKind.BINARY:
        receiver.binary(payload)
    elif kind is FrameKind.TEXT:
        if not payload.isascii() and not is_utf8(payload):
            raise FramingError(CloseCode.INVALID_DATA, "text that is no UTF-8")
        receiver.text(payload)
    elif len(payload) > MAX_CONTROL_PAYLOAD:
        raise FramingError(
            CloseCode.PROTOCOL_ERROR,
            f"a ping or pong over {MAX_CONTROL_PAYLOAD} bytes",
        )
    elif kind is FrameKind.PONG:
        receiver.pong()
    else:
        receiver.heard()
        receiver.control(TCP_FRAMING.pong(payload))
