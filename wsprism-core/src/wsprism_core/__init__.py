"""wsPrism: one connection for messages that must arrive and signals that must be new.

This page and `wsprism_core.packets` are the whole public API for plugin authors;
everything else may change.
"""

from __future__ import annotations

from wsprism_core.actions import (
    Ack,
    Action,
    Actions,
    Broadcast,
    BroadcastFrame,
    JoinRoom,
    Kick,
    LeaveRoom,
    Pull,
    Push,
    PushFrame,
    Reply,
    Source,
)
from wsprism_core.api import Gateway, Identity, Member, ServiceMissing, Session
from wsprism_core.hookspecs import HOOK_API_VERSION, hookimpl
from wsprism_core.logs import EventLog
from wsprism_core.manifest import Inbound, Opcode, Outbound, RoomRule, Service
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError, WsPrismError
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.protocol.packets import Packet
from wsprism_core.protocol.serial import is_newer
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.inputs import LatestInputs
from wsprism_core.realtime.lanes import Delivery, Lane
from wsprism_core.routes import Route
from wsprism_core.state.port import State, StateFull
from wsprism_core.transports.port import ConnectRequest, HttpRequest, HttpResponse

__all__ = (
    "HOOK_API_VERSION",
    "Ack",
    "Action",
    "Actions",
    "Broadcast",
    "BroadcastFrame",
    "CloseCode",
    "ConnectRequest",
    "Delivery",
    "Envelope",
    "ErrorCode",
    "EventLog",
    "Gateway",
    "HotFrame",
    "HttpRequest",
    "HttpResponse",
    "Identity",
    "Inbound",
    "JoinRoom",
    "Kick",
    "Lane",
    "LatestInputs",
    "LeaveRoom",
    "Member",
    "Opcode",
    "Outbound",
    "Packet",
    "ProtocolError",
    "Pull",
    "Push",
    "PushFrame",
    "Reply",
    "RoomRule",
    "Route",
    "Service",
    "ServiceMissing",
    "Session",
    "Source",
    "State",
    "StateFull",
    "Timer",
    "WsPrismError",
    "hookimpl",
    "is_newer",
)
