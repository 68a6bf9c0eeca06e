"""What an operator may set about chat."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wsprism_chat.messages import MAX_PAGE

__all__ = ("ChatConfig",)


class ChatConfig(BaseModel):
    """The section `plugins.chat` of the configuration; an unknown key is refused.

    The upper bounds keep every message well under the largest that a lane takes.

    Attributes:
        max_length: The longest `msg`, in characters.
        history_page_chars: How much text a page of history holds, in characters; a
            single longer message is a page of its own.
        history_reach: How far back in a room pages, edits and the rest reach, in
            numbers of the room.
        history_on_join: Messages that a session is sent when it joins; 0 is none.
        edit_window_s: For how many seconds a sender may edit; 0 is for ever.
        max_mentions: Users that one message mentions.
        typing_ttl_ms: How long who types is shown without another word of it.
        typing_every_ms: How often others are told of the same user, at the most.
        typing_max_users: Users of a room who are shown as typing at once.
        reactions_batch_ms: How often a message's reactions are told, at the most.
        reactions_max_kinds: Different reactions to one message.
        reactions_max: Reactions to one message.
        reactions_max_messages: Messages of a tenant whose reactions are kept; of the
            one that got none for longest they go first.
        receipts_max_members: Members that a room may have for others to be told how far
            one has read; 0 tells nobody.
        status_batch_ms: For how long changes of statuses are collected before others
            are told.
        status_max_members: Members that a room may have for them to be told each
            other's statuses; 0 tells nobody.
        max_people: Users of a tenant of whom it is kept what they are and when they
            were here last; the one of whom nothing has changed for longest goes first,
            and nobody who is here and has chosen a status.
        max_marks: Rooms times users of a tenant of whom it is kept how far they read.
        max_rooms: Rooms of a tenant that somebody owns.
        max_rooms_per_user: The same that one user owns.
        max_moderators: Moderators of a room.
        max_invited: Users who are invited to a room.
        max_sanctions: Users of a room who are muted, and who are banned.
        max_direct_rooms: Direct rooms that one session is in.
        filters: Names of the filters that a text passes, in this order.
        filter_options: What each of them is told, by name.
        filter_failure: Whether a text passes where a filter fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    max_length: int = Field(default=4_000, ge=1, le=16_384)
    history_page_chars: int = Field(default=16_384, ge=1, le=16_384)
    history_reach: int = Field(default=10_000, ge=1, le=1_000_000)
    history_on_join: int = Field(default=0, ge=0, le=MAX_PAGE)
    edit_window_s: int = Field(default=3_600, ge=0)
    max_mentions: int = Field(default=16, ge=0, le=64)
    typing_ttl_ms: int = Field(default=10_000, ge=1_000)
    typing_every_ms: int = Field(default=1_000, ge=0)
    typing_max_users: int = Field(default=50, ge=1)
    reactions_batch_ms: int = Field(default=250, ge=0)
    reactions_max_kinds: int = Field(default=16, ge=1, le=64)
    reactions_max: int = Field(default=1_000, ge=1)
    reactions_max_messages: int = Field(default=10_000, ge=1)
    receipts_max_members: int = Field(default=50, ge=0)
    status_batch_ms: int = Field(default=1_000, ge=0)
    status_max_members: int = Field(default=100, ge=0)
    max_people: int = Field(default=10_000, ge=1)
    max_marks: int = Field(default=100_000, ge=1)
    max_rooms: int = Field(default=10_000, ge=0)
    max_rooms_per_user: int = Field(default=100, ge=0)
    max_moderators: int = Field(default=50, ge=0)
    max_invited: int = Field(default=1_000, ge=0)
    max_sanctions: int = Field(default=1_000, ge=1)
    max_direct_rooms: int = Field(default=100, ge=0)
    filters: tuple[str, ...] = Field(default=(), strict=False)
    filter_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    filter_failure: Literal["reject", "allow"] = "reject"
