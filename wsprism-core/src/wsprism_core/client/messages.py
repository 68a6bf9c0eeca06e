"""What a gateway sends, decoded."""

from __future__ import annotations

from typing import Any, TypeAlias

from wsprism_core.protocol.envelope import (
    decode_outbound_json,
    decode_outbound_msgpack,
    is_binary_envelope,
)
from wsprism_core.protocol.hotframe import HotFrame, decode_outbound_hot_frame

__all__ = ("Message", "decode_message")

#: An envelope's fields, or a hot frame.
Message: TypeAlias = dict[str, Any] | HotFrame


def decode_message(payload: bytes, is_text: bool) -> Message:
    """Return a whole message from a gateway.

    Args:
        payload: What arrived.
        is_text: Whether it arrived as text rather than as a binary message.

    Raises:
        ProtocolError: It is neither an envelope nor a hot frame.
    """
    if is_text:
        return decode_outbound_json(payload)
    if is_binary_envelope(payload):
        return decode_outbound_msgpack(payload)
    return decode_outbound_hot_frame(payload)
