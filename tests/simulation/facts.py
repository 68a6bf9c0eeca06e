"""What a message says, read from its bytes as a client would."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from wsprism_core.client.messages import decode_message
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import FrameKind

__all__ = ("EVENT", "GAME", "INPUT", "LAB", "Facts", "read_facts", "stamped")

#: Service ids and opcodes of hot frames.
GAME, LAB = 1, 130
INPUT, EVENT = 1, 2

_PREFIX: Final = 5
_TEXT: Final = int(FrameKind.TEXT)
_MESSAGES: Final = (int(FrameKind.TEXT), int(FrameKind.BINARY))
#: The types in which stamps must rise by the message's key, not by its type alone.
_KEYED: Final = ("gauge", "pose")


class Facts:
    """What a message says.

    Attributes:
        name: `svc.type`, `game.2` for a hot frame, `ping`, `pong` or `close`.
        room: The room's name.
        alias: The room's alias, of a hot frame.
        seq: The room's number, of a recoverable type.
        ref: What it answers.
        tenant: The tenant that its sender stamped it with.
        order: What its stamp must be larger within than the one before.
        stamp: A number that rises with every message that anybody sends.
        data: The envelope's `data`.
    """

    __slots__ = (
        "alias",
        "data",
        "name",
        "order",
        "ref",
        "room",
        "seq",
        "stamp",
        "tenant",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.room: str | None = None
        self.alias: int | None = None
        self.seq: int | None = None
        self.ref: int | None = None
        self.tenant: str | None = None
        self.order: Hashable = None
        self.stamp = 0
        self.data: Any = None


def stamped(tenant: str, stamp: int, size: int) -> str:
    """Return text that says whose it is and when it was sent, of about a size."""
    return f"{tenant}|{stamp}|".ljust(size, "x")


def read_facts(frame: bytes) -> Facts:
    """Return what a frame in TCP framing says."""
    kind = frame[_PREFIX - 1]
    if kind not in _MESSAGES:
        return Facts(FrameKind(kind).name.lower())
    message = decode_message(frame[_PREFIX:], kind == _TEXT)
    if isinstance(message, HotFrame):
        return _frame_facts(message)
    facts = Facts(f"{message['svc']}.{message['type']}")
    facts.room = message.get("room")
    facts.seq = message.get("seq")
    facts.ref = message.get("ref")
    data: Any = message.get("data")
    facts.data = data
    match facts.name:
        case "chat.msg":
            facts.tenant, facts.stamp = _stamp(data["msg"])
            facts.order = ("chat", facts.room)
        case "market.ticker":
            facts.order, facts.stamp = ("ticker", data["symbol"]), data["seq"]
        case "party.state":
            facts.order, facts.stamp = ("party", data["id"]), data["version"]
        case name if name.startswith("lab.") and facts.ref is None:
            facts.tenant, facts.stamp = _stamp(data["s"])
            key = data.get("key") if message["type"] in _KEYED else None
            facts.order = (message["type"], facts.room, key)
    return facts


def _frame_facts(frame: HotFrame) -> Facts:
    svc = "game" if frame.svc_id == GAME else "lab"
    facts = Facts(f"{svc}.{frame.opcode}")
    facts.alias = frame.alias
    if frame.opcode == 0:
        facts.ref = frame.seq
    elif frame.opcode in (INPUT, EVENT) and frame.svc_id == GAME:
        facts.tenant, facts.stamp = _stamp(frame.payload.decode())
        sender = frame.sender if frame.opcode == INPUT else None
        facts.order = (svc, frame.opcode, frame.alias, sender)
    return facts


def _stamp(text: str) -> tuple[str, int]:
    tenant, stamp, _ = text.split("|", 2)
    return tenant, int(stamp)
