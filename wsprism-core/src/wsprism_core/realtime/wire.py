"""Encode once: one message, and its bytes for each form of the wire.

A `Wire` is a pair of codec and framing; all sessions of one pair get the same bytes
object.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from wsprism_core.realtime.lanes import Delivery

__all__ = (
    "Codec",
    "Encoded",
    "Form",
    "Framing",
    "Outgoing",
    "Wire",
    "outgoing_bytes",
)


class Codec(Protocol):
    """Turns an outbound envelope into a payload."""

    @property
    def name(self) -> str:
        """How a client asks for it: `json`, `msgpack`."""

    @property
    def is_text(self) -> bool:
        """Whether the payload travels as text rather than as a binary message."""

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        """Return the payload.

        Raises:
            ValueError: Something in `data` cannot be encoded.
        """


class Framing(Protocol):
    """Puts a transport's header before a payload."""

    @property
    def name(self) -> str:
        """The transport's name, for logs."""

    def text(self, payload: bytes) -> bytes:
        """Frame a text message."""

    def binary(self, payload: bytes) -> bytes:
        """Frame a binary message."""

    def ping(self, payload: bytes) -> bytes:
        """Frame a ping of at most 125 bytes."""


class Wire:
    """One codec on one framing; sessions of the same wire share every byte.

    There is one instance per pair, so that identity tells wires apart.
    """

    __slots__ = ("codec", "frame_hot", "frame_text", "framing")

    def __init__(self, codec: Codec, framing: Framing) -> None:
        self.codec = codec
        self.framing = framing
        self.frame_text: Callable[[bytes], bytes] = (
            framing.text if codec.is_text else framing.binary
        )
        self.frame_hot: Callable[[bytes], bytes] = framing.binary

    def __repr__(self) -> str:
        return f"<Wire {self.framing.name}+{self.codec.name}>"


class Outgoing:
    """A message on its way out, and how it travels.

    It knows nothing of its forms, so that bytes that wait and the message that they are
    a form of do not hold each other: both are freed without the collector.

    Args:
        lane: The lane's index in the gateway's order.
        delivery: What happens to it while a reader's socket is full.
        key: What it replaces, for `Delivery.LATEST`.
        room: The room that it belongs to, so that nothing of a room follows `left`.
        svc: The service in whose name it goes.
        seq: The room's number, of a recoverable type.
        envelope: A text message; exactly one of `envelope` and `hot` is given.
        hot: A hot frame, header and payload.
    """

    __slots__ = (
        "__weakref__",
        "delivery",
        "envelope",
        "hot",
        "key",
        "lane",
        "room",
        "seq",
        "svc",
    )

    def __init__(
        self,
        lane: int,
        delivery: Delivery = Delivery.RELIABLE,
        key: Hashable = None,
        room: object | None = None,
        svc: str = "sys",
        seq: int | None = None,
        envelope: Mapping[str, Any] | None = None,
        hot: bytes | None = None,
    ) -> None:
        self.lane = lane
        self.delivery = delivery
        self.key = key
        self.room = room
        self.svc = svc
        self.seq = seq
        self.envelope = envelope
        self.hot = hot

    def form(self, wire: Wire) -> Form:
        """Return the message as bytes of one wire; whoever sends it keeps them for all.

        Raises:
            ValueError: The envelope's `data` cannot be encoded.
        """
        if self.envelope is not None:
            data = wire.frame_text(wire.codec.encode(self.envelope))
        else:
            assert self.hot is not None
            data = wire.frame_hot(self.hot)
        return Form(data, self)


class Form:
    """A message as bytes of one wire: what waits in a lane.

    Attributes:
        data: Header and payload.
        size: Their length in bytes.
        message: The message.
    """

    __slots__ = ("data", "message", "size")

    def __init__(self, data: bytes, message: Outgoing) -> None:
        self.data = data
        self.size = len(data)
        self.message = message


class Encoded(Outgoing):
    """A message whose bytes are made already, for those of one wire.

    Args:
        form: Its bytes on that wire.
    """

    __slots__ = ("_data",)

    def __init__(self, form: Form) -> None:
        message = form.message
        super().__init__(message.lane, room=message.room, svc=message.svc)
        self._data = form.data

    def form(self, wire: Wire) -> Form:
        """Return its bytes."""
        return Form(self._data, self)


def outgoing_bytes(lane: int, data: bytes) -> Form:
    """Return bytes that are framed already (a ping, a pong) as a form."""
    return Form(data, Outgoing(lane, hot=data))
