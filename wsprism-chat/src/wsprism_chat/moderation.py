"""Mutes, bans and slow mode: who may speak in an owned room, and when.

Sanctions end by the wall clock, for they outlive a restart; slow mode runs on a clock
that never goes back and does not.
"""

from __future__ import annotations

from collections import OrderedDict

from wsprism_chat.config import ChatConfig
from wsprism_chat.owned import FOR_GOOD, OwnedRoom, OwnedRooms, Role
from wsprism_chat.refusals import exhausted, not_allowed, not_found, too_often

__all__ = ("Moderation",)


class Moderation:
    """Moderation in one tenant's rooms.

    What is asked for either happens whole or raises `ProtocolError`.

    Args:
        config: The limits.
        rooms: Where owned rooms are kept.
    """

    def __init__(self, config: ChatConfig, rooms: OwnedRooms) -> None:
        self._config = config
        self._rooms = rooms
        #: When each user spoke last in a slow room, the one longest ago first.
        self._spoke: dict[str, OrderedDict[str, float]] = {}

    # ---------------------------------------------------------------- may he speak

    def check_voice(self, user: str, room: str, now_ms: int) -> None:
        """Refuse a user who is muted or banned.

        Raises:
            ProtocolError: `NOT_ALLOWED`.
        """
        owned = self._rooms.get(room)
        if owned is None:
            return
        if owned.is_muted(user, now_ms):
            raise not_allowed("you are muted in this room")
        if owned.is_banned(user, now_ms):
            raise not_allowed("you are banned from this room")

    def take_turn(self, user: str, room: str, now: float) -> None:
        """Refuse a member who spoke a moment ago in a slow room; else note that he did.

        Raises:
            ProtocolError: `RATE_LIMITED`, with the time to wait.
        """
        owned = self._rooms.get(room)
        if owned is None or not owned.slow_ms:
            return
        if owned.role(user) is not Role.MEMBER:
            return
        spoke = self._spoke.setdefault(room, OrderedDict())
        pause = owned.slow_ms / 1000
        last = spoke.get(user)
        if last is not None and now - last < pause:
            raise too_often(
                f"the room is slow: one message in {pause:g} s", last + pause - now
            )
        spoke[user] = now
        spoke.move_to_end(user)
        # Nothing is remembered that counts no more, so that it cannot grow.
        while now - next(iter(spoke.values())) >= pause:
            spoke.popitem(last=False)

    def forget(self, room: str, now: float) -> None:
        """Forget who spoke in a room that is empty, if that counts no more."""
        owned = self._rooms.get(room)
        pause = 0.0 if owned is None else owned.slow_ms / 1000
        spoke = self._spoke.get(room)
        # Leaving and coming again is no way around it.
        if spoke and now - next(reversed(spoke.values())) >= pause:
            del self._spoke[room]

    # -------------------------------------------------------------- what is done

    def mute(
        self, by: str, room: str, user: str, for_s: int | None, now_ms: int
    ) -> int | None:
        """Let a user speak no more; return until when, in milliseconds since 1970.

        Args:
            by: A moderator or the owner.
            room: The room.
            user: Somebody of a lower role.
            for_s: For how many seconds; None is for good.
            now_ms: The time in milliseconds since 1970.
        """
        rules = self._over(by, room, user)
        until = self._impose(rules.muted, user, for_s, now_ms)
        self._rooms.save(room, rules)
        return until

    def unmute(self, by: str, room: str, user: str, now_ms: int) -> None:
        """Let a user speak again."""
        rules = self._over(by, room, user)
        if not rules.is_muted(user, now_ms):
            raise not_found("the user is not muted")
        del rules.muted[user]
        self._rooms.save(room, rules)

    def ban(
        self, by: str, room: str, user: str, for_s: int | None, now_ms: int
    ) -> int | None:
        """Keep a user out; return until when. As `mute`.

        An invite that he had is gone with it.
        """
        rules = self._over(by, room, user)
        until = self._impose(rules.banned, user, for_s, now_ms)
        if user in rules.invited:
            rules.invited.remove(user)
        self._rooms.save(room, rules)
        return until

    def unban(self, by: str, room: str, user: str, now_ms: int) -> None:
        """Let a user join again."""
        rules = self._over(by, room, user)
        if not rules.is_banned(user, now_ms):
            raise not_found("the user is not banned")
        del rules.banned[user]
        self._rooms.save(room, rules)

    def check_over(self, by: str, room: str, user: str) -> None:
        """Refuse what only somebody of a higher role may do to a user."""
        self._over(by, room, user)

    def slow(self, by: str, room: str, ms: int) -> None:
        """Set how slow a room is; 0 is not at all."""
        rules = self._as_moderator(by, room)
        rules.slow_ms = ms
        self._rooms.save(room, rules)

    def _over(self, by: str, room: str, user: str) -> OwnedRoom:
        rules = self._as_moderator(by, room)
        if rules.role(by) <= rules.role(user):
            raise not_allowed("the user's role is not below yours")
        return rules

    def _as_moderator(self, by: str, room: str) -> OwnedRoom:
        if self._rooms.get(room) is None:
            raise not_allowed("nobody owns the room, so nobody may do that")
        rules = self._rooms.draft(room)
        if rules.role(by) is Role.MEMBER:
            raise not_allowed("only the owner and moderators may do that")
        return rules

    def _impose(
        self, sanctions: dict[str, int], user: str, for_s: int | None, now_ms: int
    ) -> int | None:
        """Write a sanction down, and drop those that are over."""
        for other, until in list(sanctions.items()):
            if until != FOR_GOOD and until <= now_ms:
                del sanctions[other]
        if user not in sanctions and len(sanctions) >= self._config.max_sanctions:
            raise exhausted("as many are under this sanction as may be")
        sanctions[user] = FOR_GOOD if for_s is None else now_ms + for_s * 1000
        return None if for_s is None else sanctions[user]
