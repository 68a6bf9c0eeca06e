"""What chat declares about itself."""

from __future__ import annotations

from typing import Final

from wsprism_chat.config import ChatConfig
from wsprism_chat.messages import History, HistoryQuery, Message, Send
from wsprism_core import Inbound, Outbound, RoomRule, Service

__all__ = ("CHAT",)

CHAT: Final = Service(
    name="chat",
    svc_id=2,
    summary="Ordered messages in rooms, and their history",
    lane="interactive",
    inbound=(
        Inbound(
            name="send",
            summary="Say something to every member of the room",
            schema=Send,
            room=RoomRule.MEMBER,
        ),
        Inbound(
            name="history",
            summary="Ask for a page of what was said in the room",
            schema=HistoryQuery | None,
            room=RoomRule.MEMBER,
            lane="bulk",
        ),
    ),
    outbound=(
        Outbound(
            name="msg",
            summary="Somebody said something",
            schema=Message,
            recoverable=True,
        ),
        Outbound(
            name="history",
            summary="A page of what was said, oldest first",
            schema=History,
            lane="bulk",
        ),
    ),
    config=ChatConfig,
)
