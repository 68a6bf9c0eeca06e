"""The wire layout, version 1, in one place.

Numbers, names and field tables of the protocol stand here and nowhere else: the codecs
read them, and the reference page, the golden vectors and the JavaScript constants are
generated from them.
"""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag, StrEnum
from typing import Final, NamedTuple

__all__ = (
    "ENVELOPE_FIELDS",
    "HOT_HEADER_FIELDS",
    "HOT_HEADER_SIZE",
    "MAX_EPOCH_LENGTH",
    "MAX_SAFE_INTEGER",
    "MAX_U32",
    "MSGPACK_MAP_FIRST_BYTES",
    "OPCODE_ACK",
    "PRIVATE_SERVICE_IDS",
    "PROTOCOL_VERSION",
    "ROOM_NAME",
    "SERVICE_IDS",
    "SUBPROTOCOLS",
    "SUBPROTOCOL_JSON",
    "SUBPROTOCOL_MSGPACK",
    "THIRD_PARTY_SERVICE_IDS",
    "WEBSOCKET_PATH",
    "CloseCode",
    "EnvelopeField",
    "EnvelopeFlag",
    "ErrorCode",
    "FrameKind",
    "HotField",
    "HotFlag",
)

PROTOCOL_VERSION: Final = 1
WEBSOCKET_PATH: Final = "/v1/ws"

SUBPROTOCOL_JSON: Final = "wsprism.v1.json"
SUBPROTOCOL_MSGPACK: Final = "wsprism.v1.msgpack"
#: The first is also what a client gets that offers none.
SUBPROTOCOLS: Final = (SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK)

#: The largest integer that JavaScript holds exactly; the bound of `seq` and `ref`.
MAX_SAFE_INTEGER: Final = 2**53 - 1
MAX_U32: Final = 2**32 - 1
MAX_EPOCH_LENGTH: Final = 32

#: A room's name, whole; the alphabet keeps names safe in logs, URLs and subjects.
ROOM_NAME: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,128}\Z")


class EnvelopeFlag(IntFlag):
    """Bits of an inbound envelope's `flags`; unknown bits are ignored."""

    SEQ_PRESENT = 0x01
    ROOM_PRESENT = 0x02
    ACK_REQUESTED = 0x04


class EnvelopeField(NamedTuple):
    """One row of the envelope's field table."""

    name: str
    type: str
    inbound: bool
    outbound: bool
    meaning: str


ENVELOPE_FIELDS: Final = (
    EnvelopeField("v", "int", True, True, "protocol version; 1 where left out"),
    EnvelopeField("svc", "str", True, True, "the service that owns the message"),
    EnvelopeField("type", "str", True, True, "the message's type within its service"),
    EnvelopeField("room", "str", True, True, "[A-Za-z0-9_.:@-]{1,128}"),
    EnvelopeField(
        "seq",
        "0..2^53-1",
        True,
        True,
        "in: the client's own number, echoed as ref; out: the room's gap-free number",
    ),
    EnvelopeField("flags", "u32", True, False, "EnvelopeFlag bits; 0 where left out"),
    EnvelopeField("data", "any", True, True, "handed to the service as it is"),
    EnvelopeField(
        "ref", "0..2^53-1", False, True, "the seq of the message that this answers"
    ),
    EnvelopeField("ts", "int", False, True, "server time, ms since 1970, with seq"),
    EnvelopeField("trace_id", "str", False, True, "on sys.authed and sys.error"),
)


class HotFlag(IntFlag):
    """Bits of a hot frame's fourth byte; each set field follows in this order."""

    SEQ = 0x01
    ACK_REQUESTED = 0x02
    ROOM = 0x04
    SENDER = 0x08


class HotField(NamedTuple):
    """One field of a hot frame's header; `flag` is None where always present."""

    name: str
    type: str
    flag: HotFlag | None
    meaning: str


HOT_HEADER_FIELDS: Final = (
    HotField("v", "u8", None, "protocol version, 1"),
    HotField("svc_id", "u8", None, "the service that owns the frame"),
    HotField("opcode", "u8", None, "the service's own; 0 is ACK in every service"),
    HotField("flags", "u8", None, "HotFlag bits"),
    HotField("seq", "u32", HotFlag.SEQ, "in: the sender's number, wraps"),
    HotField("room", "u32", HotFlag.ROOM, "the alias that sys.joined gave"),
    HotField("sender", "u32", HotFlag.SENDER, "out only: the sender's member number"),
)
#: Bytes of the part that every hot frame has.
HOT_HEADER_SIZE: Final = 4
OPCODE_ACK: Final = 0

#: First bytes of a MessagePack map, which tell an envelope from a hot frame (0x01).
MSGPACK_MAP_FIRST_BYTES: Final = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])

#: Service ids given out by the protocol.
SERVICE_IDS: Final = {"game": 1, "chat": 2, "party": 3, "market": 4}
THIRD_PARTY_SERVICE_IDS: Final = range(5, 128)
PRIVATE_SERVICE_IDS: Final = range(128, 256)


class FrameKind(IntEnum):
    """The kind byte of a TCP frame."""

    TEXT = 1
    BINARY = 2
    PING = 3
    PONG = 4
    CLOSE = 5


class ErrorCode(StrEnum):
    """What `sys.error` says in `data.code`."""

    BAD_REQUEST = "BAD_REQUEST"
    NOT_ALLOWED = "NOT_ALLOWED"
    AUTH_FAILED = "AUTH_FAILED"
    RATE_LIMITED = "RATE_LIMITED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    TOO_MANY_SESSIONS = "TOO_MANY_SESSIONS"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"


class CloseCode(IntEnum):
    """Why a connection was closed, and with it whether to come back."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SLOW_CONSUMER = 4001
    IDLE_TIMEOUT = 4002
    NO_PONG = 4003
    KICKED_MAY_RETURN = 4005
    TICKET_EXPIRED = 4500
    BANNED = 4501
    KICKED = 4502
    NOT_AUTHENTICATED = 4503
    TOO_MANY_SESSIONS = 4504
    RESUMED_ELSEWHERE = 4505

    @property
    def reconnect(self) -> bool:
        """Whether a client may reconnect after a close with this code."""
        return self in _RECONNECT


_RECONNECT: Final = frozenset(
    [
        CloseCode.GOING_AWAY,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.SLOW_CONSUMER,
        CloseCode.IDLE_TIMEOUT,
        CloseCode.NO_PONG,
        CloseCode.KICKED_MAY_RETURN,
    ]
)
