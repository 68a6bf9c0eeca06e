"""Hot frames: one that is taken is encoded to the same bytes."""

from __future__ import annotations

from contextlib import suppress

from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import (
    HotFrame,
    decode_hot_frame,
    decode_outbound_hot_frame,
    encode_hot_frame,
)


def target(data: bytes) -> None:
    for decode in (decode_hot_frame, decode_outbound_hot_frame):
        with suppress(ProtocolError):
            frame = decode(data)
            # A newer gateway may ask for an ACK of what has no number; nobody answers.
            if frame.seq is not None or not frame.ack_requested:
                assert encoded(frame) == data


def encoded(frame: HotFrame) -> bytes:
    return encode_hot_frame(
        frame.svc_id,
        frame.opcode,
        frame.payload,
        seq=frame.seq,
        ack_requested=frame.ack_requested,
        alias=frame.alias,
        sender=frame.sender,
    )
