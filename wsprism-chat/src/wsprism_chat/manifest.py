"""What chat declares about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsprism_chat.config import ChatConfig
from wsprism_chat.filters import FILTER_FAILURES, FILTERED
from wsprism_chat.messages import (
    Create,
    Deleted,
    Done,
    Edit,
    Edited,
    Erased,
    History,
    HistoryQuery,
    Invited,
    Mentioned,
    Message,
    MessageId,
    Opened,
    PresenceOf,
    PresenceQuery,
    React,
    Reactions,
    Read,
    ReadUpTo,
    RoleOf,
    RoomRules,
    Sanction,
    Sanctioned,
    Send,
    SetStatus,
    Slow,
    StatusOf,
    Typing,
    TypingOf,
    UserName,
)
from wsprism_chat.people import PEOPLE_EVICTED
from wsprism_chat.reactions import REACTIONS_EVICTED
from wsprism_chat.reading import MARKS_EVICTED
from wsprism_core import Delivery, Inbound, Outbound, RoomRule, Service

__all__ = ("REFUSED_AT_BOUND", "manifest")

#: Counter: what was refused because a bound of chat was reached.
REFUSED_AT_BOUND = "chat_refused_at_bound"


def manifest(erase: Callable[[str, str, str], None]) -> Service:
    """Return what the service declares.

    Args:
        erase: Takes back what a user has said, by tenant, room and user; offered to
            other services.
    """
    return Service(
        name="chat",
        svc_id=2,
        summary="Ordered messages in rooms, their history, and who rules the rooms",
        lane="interactive",
        inbound=(
            _verb(
                "send", Send, "Say something to every member of the room", dedup="id"
            ),
            _verb("edit", Edit, "Say a message of one's own otherwise"),
            _verb("delete", MessageId, "Take a message back"),
            _verb("erase", UserName, "Take back everything that a user has said"),
            _verb(
                "history",
                HistoryQuery | None,
                "Ask for a page of what was said in the room",
                lane="bulk",
            ),
            _verb("typing", Typing | None, "Tell the others that one types"),
            _verb("react", React, "Add a reaction to a message, or take it back"),
            _verb(
                "read", Read | None, "Tell how far one has read, and ask what is left"
            ),
            _verb("create", Create | None, "Own the room"),
            _verb("close", None, "Own the room no longer"),
            _verb("rules", None, "Ask who rules the room, and how"),
            _verb("invite", UserName, "Let a user join; for the owner"),
            _verb("uninvite", UserName, "Take an invite back; for the owner"),
            _verb("promote", UserName, "Name a moderator; for the owner"),
            _verb("demote", UserName, "Make a moderator a member; for the owner"),
            _verb("hand_over", UserName, "Make another the owner; for the owner"),
            _verb("mute", Sanction, "Let a user speak no more; for moderators"),
            _verb("unmute", UserName, "Let a user speak again; for moderators"),
            _verb("ban", Sanction, "Keep a user out; for moderators"),
            _verb("unban", UserName, "Let a user join again; for moderators"),
            _verb("kick", UserName, "End a user's membership; for moderators"),
            _verb("slow", Slow, "Set how slow the room is; for moderators"),
            _anywhere("open", UserName, "Open the direct room with another user"),
            _anywhere("status", SetStatus, "Say what one is: online, away, busy"),
            _anywhere(
                "presence",
                PresenceQuery,
                "Ask whether users are here, and when they were last",
                lane="bulk",
            ),
        ),
        outbound=(
            _event("msg", Message, "Somebody said something"),
            _event("edited", Edited, "A message reads otherwise now"),
            _event("deleted", Deleted, "A message is gone"),
            _event("erased", Erased, "All of a user's messages before it are gone"),
            Outbound(
                name="history",
                summary="A page of what was said, oldest first, as it is now",
                schema=History,
                lane="bulk",
            ),
            _latest("typing", TypingOf, "Somebody types, or does no more"),
            _latest("reactions", Reactions, "How a message was reacted to"),
            _latest("read", ReadUpTo, "Up to where somebody has read"),
            _latest("status", StatusOf, "What a user is, or that he is gone"),
            Outbound(
                name="presence",
                summary="What users are, and since when",
                schema=PresenceOf,
                lane="bulk",
            ),
            Outbound(name="role", summary="What a user is now", schema=RoleOf),
            Outbound(name="rules", summary="Who rules the room", schema=RoomRules),
            Outbound(name="muted", summary="A user may not speak", schema=Sanctioned),
            Outbound(name="unmuted", summary="A user may speak again", schema=Done),
            Outbound(name="banned", summary="A user may not join", schema=Sanctioned),
            Outbound(name="unbanned", summary="A user may join again", schema=Done),
            Outbound(name="kicked", summary="A user was removed", schema=Done),
            Outbound(name="slowed", summary="How slow the room is now", schema=Slow),
            Outbound(name="invited", summary="One may join a room", schema=Invited),
            Outbound(
                name="mentioned",
                summary="Somebody means one, in a room that one is not in",
                schema=Mentioned,
            ),
            Outbound(name="opened", summary="A direct room is open", schema=Opened),
        ),
        config=ChatConfig,
        offers={"erase": erase},
        counters={
            FILTERED: "Texts that a filter refused, changed or showed to nobody else",
            FILTER_FAILURES: "Failures of filters",
            REFUSED_AT_BOUND: "Messages refused because a bound of chat was reached",
            PEOPLE_EVICTED: "Users of whom nothing is kept, for max_people others are",
            MARKS_EVICTED: "Marks that went, for there are max_marks newer ones",
            REACTIONS_EVICTED: "Messages whose reactions went for newer messages'",
        },
    )


def _verb(name: str, schema: Any, summary: str, **options: Any) -> Inbound:
    return Inbound(
        name=name, summary=summary, schema=schema, room=RoomRule.MEMBER, **options
    )


def _anywhere(name: str, schema: Any, summary: str, lane: str | None = None) -> Inbound:
    return Inbound(
        name=name, summary=summary, schema=schema, room=RoomRule.NONE, lane=lane
    )


def _event(name: str, schema: Any, summary: str) -> Outbound:
    return Outbound(name=name, summary=summary, schema=schema, recoverable=True)


def _latest(name: str, schema: Any, summary: str) -> Outbound:
    return Outbound(name=name, summary=summary, schema=schema, delivery=Delivery.LATEST)
