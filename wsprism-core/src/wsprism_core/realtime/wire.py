"""Encode once: one message, and its bytes for each form of the wire.

A `Wire` is a pair of codec and framing; all sessions of one pair get the same bytes
object. An `Outgoing` message makes each form when the first session asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ("Codec", "Framing", "Wire")


class Codec(Protocol):
    """Turns an outbound envelope into a payload."""

    name: str
    #: Whether the payload travels as text (JSON) or as a binary message (MessagePack).
    is_text: bool

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        """Return the payload.

        Raises:
            ValueError: Something in `data` cannot be encoded.
        """


class Framing(Protocol):
    """Puts a transport's header before a payload."""

    name: str

    def text(self, payload: bytes) -> bytes:
        """Frame a text message."""

    def binary(self, payload: bytes) -> bytes:
        """Frame a binary message."""


class Wire:
    """One codec on one framing; sessions of the same wire share every byte.

    There is one instance per pair, so that identity tells wires apart.
    """

    __slots__ = ("codec", "frame_hot", "frame_text", "framing")

    def __init__(self, codec: Codec, framing: Framing) -> None:
        self.codec = codec
        self.framing = framing
        frame: Callable[[bytes], bytes] = (
            framing.text if codec.is_text else framing.binary
        )
        self.frame_text = frame
        self.frame_hot: Callable[[bytes], bytes] = framing.binary

    def __repr__(self) -> str:
        return f"<Wire {self.framing.name}+{self.codec.name}>"
