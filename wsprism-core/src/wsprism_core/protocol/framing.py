"""TCP framing: `[length: u32 BE][kind: u8][payload]`; length counts kind and payload.

`FrameDecoder` is Sans-I/O: bytes in, whole frames out. It holds what has arrived and
nothing more, so that a claimed length costs no memory.
"""

from __future__ import annotations

import struct
from typing import Final

from wsprism_core.protocol.errors import WsPrismError
from wsprism_core.protocol.layout import CloseCode, FrameKind

__all__ = (
    "FrameDecoder",
    "FramingError",
    "decode_close",
    "encode_close",
    "encode_frame",
)

_LENGTH: Final = struct.Struct(">I")
_PREFIX: Final = struct.Struct(">IB")
_CLOSE_CODE: Final = struct.Struct(">H")
_KINDS: Final = {int(kind): kind for kind in FrameKind}


class FramingError(WsPrismError):
    """Bytes that are no frame, after which the stream cannot be understood.

    Args:
        code: What to close the connection with.
        reason: A few words for the peer.
        frames: The frames that arrived whole before it in the bytes fed last; they
            still count.
    """

    def __init__(
        self,
        code: CloseCode,
        reason: str,
        frames: list[tuple[FrameKind, bytes]] | None = None,
    ) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.frames = frames or []

    def __str__(self) -> str:
        return f"{self.code.value}: {self.reason}"


def encode_frame(kind: FrameKind, payload: bytes) -> bytes:
    """Return a frame."""
    return _PREFIX.pack(len(payload) + 1, kind) + payload


def encode_close(code: int, reason: str) -> bytes:
    """Return the payload of a close frame.

    Args:
        code: The close code, 16 bits.
        reason: A few words for people.
    """
    return _CLOSE_CODE.pack(code) + reason.encode()


def decode_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame.

    Raises:
        FramingError: There is no code, or the reason is no UTF-8.
    """
    if len(payload) < _CLOSE_CODE.size:
        raise FramingError(CloseCode.PROTOCOL_ERROR, "a close without a code")
    (code,) = _CLOSE_CODE.unpack_from(payload)
    try:
        return code, payload[_CLOSE_CODE.size :].decode()
    except UnicodeDecodeError:
        raise FramingError(
            CloseCode.INVALID_DATA, "a close reason that is no UTF-8"
        ) from None


class FrameDecoder:
    """Takes a stream apart into frames.

    Args:
        max_bytes: The largest payload, in bytes. It may be set at any time and holds
            for every frame that is not yet whole.
    """

    __slots__ = ("_buffer", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended, for the deadline that it has."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[tuple[FrameKind, bytes]]:
        """Take the next bytes of the stream and return the frames that are whole.

        Raises:
            FramingError: A length of 0 or above the limit, or an unknown kind; as soon
                as its bytes are there, and again at every call until `max_bytes` has
                room for it.
        """
        buffer = self._buffer
        buffer += data
        frames: list[tuple[FrameKind, bytes]] = []
        start = 0
        try:
            while (prefix := self._prefix(start)) is not None:
                kind, length = prefix
                end = start + _LENGTH.size + length
                if end > len(buffer):
                    break
                frames.append((kind, bytes(buffer[start + _PREFIX.size : end])))
                start = end
        except FramingError as error:
            error.frames = frames
            raise
        finally:
            del buffer[:start]
        return frames

    def _prefix(self, start: int) -> tuple[FrameKind, int] | None:
        """Return kind and length of the frame at `start`, None where bytes miss."""
        buffer = self._buffer
        there = len(buffer) - start
        if there < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(buffer, start)
        if length == 0:
            raise FramingError(CloseCode.PROTOCOL_ERROR, "a frame of length 0")
        if length - 1 > self.max_bytes:
            raise FramingError(
                CloseCode.MESSAGE_TOO_BIG, f"a frame over {self.max_bytes} bytes"
            )
        if there < _PREFIX.size:
            return None
        kind = _KINDS.get(buffer[start + _LENGTH.size])
        if kind is None:
            raise FramingError(CloseCode.PROTOCOL_ERROR, "a frame of unknown kind")
        return kind, length
