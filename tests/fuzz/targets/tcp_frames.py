"""TCP framing: a stream comes apart in the same way however it arrives."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from wsprism_core.protocol.framing import (
    FrameDecoder,
    FramingError,
    decode_close,
    encode_close,
    encode_frame,
)
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.transports.framed import read_frames

MAX_BYTES = 4_096


def target(data: bytes) -> None:
    whole, end = taken_apart([data])
    assert taken_apart(bytes([byte]) for byte in data) == (whole, end)
    assert data.startswith(b"".join(encode_frame(*frame) for frame in whole))
    with suppress(FramingError):
        assert encode_close(*decode_close(data)) == data


def taken_apart(
    chunks: Iterable[bytes],
) -> tuple[list[tuple[FrameKind, bytes]], str]:
    decoder = FrameDecoder(MAX_BYTES)
    frames = []
    for chunk in chunks:
        try:
            for frame in read_frames(decoder, chunk):
                frames.append(frame)  # noqa: PERF402 - those before a fault count
        except FramingError as error:
            return frames, str(error)
    return frames, ""
