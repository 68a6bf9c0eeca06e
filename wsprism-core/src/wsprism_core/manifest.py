"""What a service declares about itself.

The manifest is data: from it come routing, validation, lanes and the reference pages.
It is handed in once, by the hook `register_services`; a clash with another service, a
missing lane or a wrong id refuses to start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from wsprism_core.realtime.lanes import Delivery, Lane

if TYPE_CHECKING:
    from pydantic import BaseModel

    from wsprism_core.protocol.packets import Packet

__all__ = ("Inbound", "Opcode", "Outbound", "RoomRule", "Service")


class RoomRule(StrEnum):
    """What the core sees to before a message or frame reaches its service."""

    #: The sender is a member of the room named, or else of its active room.
    MEMBER = "member"
    #: A room may be named, and the sender need not be in it; whether it may do what it
    #: asks for there is for the service to find out.
    OPTIONAL = "optional"
    #: The message concerns no room; one that is named all the same is left out.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message type that clients send.

    Args:
        name: The envelope's `type`.
        summary: One line for the reference page.
        schema: A TypedDict, dataclass or pydantic model that `data` must fit, strictly
            and without unknown keys; None hands any JSON value to the service.
        room: What the core sees to about the room.
        max_bytes: The largest whole message; over it the sender gets
            `PAYLOAD_TOO_LARGE`. None leaves the tenant's `max_frame_bytes` alone.
        lane: Where answers to it ride; None is the service's lane.
        latest: Whether one that waits for an async handler gives way to a newer one of
            the same session, room and `key`, which takes its place in the queue.
        key: The field of `data` that tells apart what `latest` replaces, a string or a
            number; one without it replaces nothing. None: the type is one thing.
        drop_stale: Whether one whose `seq` is not above that of the last one of the
            same session, in the same room, is dropped. Without `seq` none is.
        dedup: The field of `data` with the sender's own id, which the service hands on
            as `Broadcast.dedup`, with an `ack`. A message whose id the room knows is
            acknowledged as the first was, and the service never sees it: what it would
            refuse by now was said all the same. For `RoomRule.MEMBER`.
    """

    name: str
    summary: str = ""
    schema: Any = None
    room: RoomRule = RoomRule.NONE
    max_bytes: int | None = None
    lane: str | None = None
    latest: bool = False
    key: str | None = None
    drop_stale: bool = False
    dedup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A message type that the service sends.

    Args:
        name: The envelope's `type`.
        summary: One line for the reference page.
        schema: What `data` looks like; documentation, not checked.
        lane: Its lane; None is the service's lane.
        delivery: What happens to it while a reader's socket is full.
        recoverable: Whether it takes the room's next gap-free `seq` and a `ts`. A room
            is recoverable where one of its types is.
    """

    name: str
    summary: str = ""
    schema: Any = None
    lane: str | None = None
    delivery: Delivery = Delivery.RELIABLE
    recoverable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opcode:
    """A kind of hot frame, in either direction.

    Args:
        number: 1 to 255; 0 is ACK in every service.
        name: For logs, the reference page and the JavaScript constants.
        summary: One line for the reference page.
        inbound: Whether clients may send it.
        layout: The packet that the payload must fit; None hands it on unread.
        room: `MEMBER` or `NONE`.
        max_bytes: The largest inbound payload; None leaves it to `max_frame_bytes`.
        lane: Its lane; None is the service's lane.
        delivery: What happens to it while a reader's socket is full.
        drop_stale: Whether an inbound one whose SEQ is not newer than that of the last
            one of the same session, in the same room, is dropped; see `is_newer`.
            Without SEQ none is.
    """

    number: int
    name: str
    summary: str = ""
    inbound: bool = True
    layout: type[Packet] | None = None
    room: RoomRule = RoomRule.MEMBER
    max_bytes: int | None = None
    lane: str | None = None
    delivery: Delivery = Delivery.RELIABLE
    drop_stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: the owner of one `svc` name and, for hot frames, of one `svc_id`.

    Args:
        name: The envelope's `svc`: lower case letters, digits, `_`, `-`.
        svc_id: 5-127 for third parties, 128-255 private, None without hot frames.
        summary: One line for the reference page.
        inbound: Message types that clients send.
        outbound: Message types that the service sends.
        opcodes: Its hot frames.
        lane: The lane of everything that names none.
        lanes: Lanes of its own, between the default ones.
        config: The pydantic model of its section under `plugins:` in the configuration.
        offers: Functions that other services may call by name through the gateway.
        counters: Names of counters that it adds to, with a line of help each.
    """

    name: str
    svc_id: int | None = None
    summary: str = ""
    inbound: tuple[Inbound, ...] = ()
    outbound: tuple[Outbound, ...] = ()
    opcodes: tuple[Opcode, ...] = ()
    lane: str = "interactive"
    lanes: tuple[Lane, ...] = ()
    config: type[BaseModel] | None = None
    offers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    counters: Mapping[str, str] = field(default_factory=dict)
