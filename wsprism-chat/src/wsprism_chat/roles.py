"""Who owns a room, who moderates it, and who may come in.

A room that nobody created has no owner: everybody in it is a member and nothing else.
Whoever creates one is alone in it, so that no room is taken from those who use it.
"""

from __future__ import annotations

from wsprism_chat.config import ChatConfig
from wsprism_chat.direct import is_direct, may_join_direct
from wsprism_chat.messages import Create
from wsprism_chat.owned import OwnedRoom, OwnedRooms, Role
from wsprism_chat.pace import Pace
from wsprism_chat.refusals import (
    conflict,
    exhausted,
    not_allowed,
    not_found,
    too_often,
)

__all__ = ("Roles",)


class Roles:
    """The roles in one tenant's rooms.

    What is asked for either happens whole or raises `ProtocolError`.

    Args:
        config: The limits.
        rooms: Where owned rooms are kept.
    """

    def __init__(self, config: ChatConfig, rooms: OwnedRooms) -> None:
        self._config = config
        self._rooms = rooms
        self._creations = Pace(config.max_created_per_hour, 3_600)

    def of(self, user: str, room: str) -> Role:
        """Return a user's role in a room."""
        owned = self._rooms.get(room)
        return Role.MEMBER if owned is None else owned.role(user)

    def may_join(self, user: str, room: str, now_ms: int) -> bool | None:
        """Say whether a user may join a room.

        Returns:
            False where not; else None, for another plugin may still refuse.
        """
        if is_direct(room):
            return None if may_join_direct(user, room) else False
        owned = self._rooms.get(room)
        return None if owned is None or owned.admits(user, now_ms) else False

    def create(
        self, user: str, room: str, wanted: Create | None, *, alone: bool, now: float
    ) -> None:
        """Own a room.

        Args:
            user: Who wants to.
            room: The room, of which he is a member.
            wanted: Its rules.
            alone: Whether no other user is in it.
            now: Seconds on a clock that never goes back.
        """
        wanted = wanted or {}
        if is_direct(room):
            raise not_allowed("a direct room belongs to both; nobody can own it")
        if self._rooms.get(room) is not None:
            raise conflict("the room has an owner")
        if not alone:
            raise not_allowed("others are in the room; create one of your own")
        if len(self._rooms) >= self._config.max_rooms:
            raise exhausted("there are as many owned rooms as there may be")
        if self._rooms.owned_by(user) >= self._config.max_rooms_per_user:
            raise exhausted("you own as many rooms as you may")
        # Whoever hands rooms over or closes them owns few, and has had many.
        wait = self._creations.take(user, now)
        if wait:
            raise too_often("you have created as many rooms as you may", wait)
        rules = OwnedRoom(
            owner=user,
            moderators=[],
            invite_only=wanted.get("invite_only", False),
            invited=[],
            slow_ms=wanted.get("slow_ms", 0),
            muted={},
            banned={},
        )
        self._rooms.save(room, rules)

    def check_owner(self, user: str, room: str) -> None:
        """Refuse what only the owner may do."""
        self._as_owner(user, room)

    def close(self, user: str, room: str) -> None:
        """Give a room up: it has no owner and no rules any more."""
        self._as_owner(user, room)
        self._rooms.remove(room)

    def invite(self, user: str, room: str, guest: str) -> bool:
        """Let a guest join; return whether he was not invited before."""
        rules = self._as_owner(user, room)
        if guest in rules.invited:
            return False
        if len(rules.invited) >= self._config.max_invited:
            raise exhausted("as many are invited as may be")
        rules.invited.append(guest)
        self._rooms.save(room, rules)
        return True

    def uninvite(self, user: str, room: str, guest: str) -> None:
        """Take an invite back; who has joined by it stays."""
        rules = self._as_owner(user, room)
        if guest not in rules.invited:
            raise not_found("the user is not invited")
        rules.invited.remove(guest)
        self._rooms.save(room, rules)

    def promote(self, user: str, room: str, other: str) -> None:
        """Name a moderator."""
        rules = self._as_owner(user, room)
        if rules.role(other) is not Role.MEMBER:
            raise conflict("the user has a role in the room already")
        if len(rules.moderators) >= self._config.max_moderators:
            raise exhausted("the room has as many moderators as it may")
        rules.moderators.append(other)
        self._rooms.save(room, rules)

    def demote(self, user: str, room: str, other: str) -> None:
        """Make a moderator a member again; he may do it himself."""
        rules = self._draft(room)
        if other not in rules.moderators:
            raise not_found("the user is no moderator")
        if rules.role(user) is not Role.OWNER and user != other:
            raise not_allowed("only the owner may do that")
        rules.moderators.remove(other)
        # A room for which one has to be invited is not closed behind him.
        if rules.invite_only and other not in rules.invited:
            rules.invited.append(other)
        self._rooms.save(room, rules)

    def hand_over(self, user: str, room: str, other: str, *, present: bool) -> None:
        """Make another user the owner; the old one becomes a moderator.

        Args:
            user: The owner.
            room: The room.
            other: Who is to be it.
            present: Whether he is in the room. Else a name that nobody has could be
                given rooms that no bound counts.
        """
        rules = self._as_owner(user, room)
        if other == user:
            raise conflict("you are the owner already")
        if not present:
            raise not_found("the user is not in the room")
        if self._rooms.owned_by(other) >= self._config.max_rooms_per_user:
            raise exhausted("the user owns as many rooms as one may")
        if other in rules.moderators:
            rules.moderators.remove(other)
        rules.muted.pop(other, None)
        rules.banned.pop(other, None)
        rules.owner = other
        rules.moderators.append(user)
        self._rooms.save(room, rules)

    def _as_owner(self, user: str, room: str) -> OwnedRoom:
        rules = self._draft(room)
        if rules.role(user) is not Role.OWNER:
            raise not_allowed("only the owner may do that")
        return rules

    def _draft(self, room: str) -> OwnedRoom:
        if self._rooms.get(room) is None:
            raise not_allowed("nobody owns the room, so nobody may do that")
        return self._rooms.draft(room)
