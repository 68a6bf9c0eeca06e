"""The users of a tenant: what each says of himself, and when he was here last.

A user is here as long as one of his sessions is, also one whose connection dropped and
that may still come back. He was here last when the last of his connections ended, not
when it became certain that it would not come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from wsprism_chat.messages import ChosenStatus, StatusOf
from wsprism_chat.refusals import exhausted
from wsprism_core import State, StateFull

__all__ = ("BEAT", "People")

#: How often it is noted that the gateway lives, in seconds: who was here when it ended
#: without a word was so until then.
BEAT: Final = 10.0


@dataclass(slots=True)
class _Person:
    """What is kept of a user.

    Args:
        status: What he has chosen.
        text: A few words of his.
        since_ms: When anything of it changed last, or he came or went, in milliseconds
            since 1970; it only grows.
        here: Whether he was here when it was written.
    """

    status: ChosenStatus = "online"
    text: str = ""
    since_ms: int = 0
    here: bool = False


class _Stay:
    """A user's sessions, from the first to the end of the last."""

    __slots__ = ("dropped_ms", "seen_ms")

    def __init__(self) -> None:
        #: By session, when its connection dropped; None is connected.
        self.dropped_ms: dict[str, int | None] = {}
        #: When the last of those that are over ended.
        self.seen_ms = 0


class People:
    """The users of one tenant.

    Args:
        state: Where it is kept.
        tenant: The tenant's id.
        most: Of how many users; the one of whom nothing has changed for longest goes
            first.
        wall_ms: Returns milliseconds since 1970.
    """

    def __init__(
        self, state: State, tenant: str, most: int, wall_ms: Callable[[], int]
    ) -> None:
        self._state = state
        self._prefix = f"user/{tenant}/"
        self._beat = f"beat/{tenant}"
        self._most = most
        self._wall_ms = wall_ms
        self._stays: dict[str, _Stay] = {}
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._load_all()

    def __len__(self) -> int:
        return len(self._kept)

    # ------------------------------------------------------------ coming and going

    def came(self, user: str, session: str) -> None:
        """Note a session that has begun."""
        stay = self._stays.get(user)
        if stay is None:
            stay = self._stays[user] = _Stay()
            person = self._load(user)
            person.here = True
            person.since_ms = max(self._wall_ms(), person.since_ms + 1)
            self._save_if_possible(user, person)
        stay.dropped_ms[session] = None

    def dropped(self, user: str, session: str) -> None:
        """Note that a session's connection is gone; it may come back."""
        self._stays[user].dropped_ms[session] = self._wall_ms()

    def back(self, user: str, session: str) -> None:
        """Note that a session goes on."""
        self._stays[user].dropped_ms[session] = None

    def went(self, user: str, session: str) -> bool:
        """Note a session that is over; return whether its user is gone with it."""
        stay = self._stays[user]
        dropped_ms = stay.dropped_ms.pop(session)
        seen_ms = self._wall_ms() if dropped_ms is None else dropped_ms
        stay.seen_ms = max(stay.seen_ms, seen_ms)
        if stay.dropped_ms:
            return False
        del self._stays[user]
        person = self._load(user)
        person.here = False
        person.since_ms = max(stay.seen_ms, person.since_ms + 1)
        self._save_if_possible(user, person)
        return True

    def beat(self) -> None:
        """Note that the gateway lives, if anybody is here."""
        if self._stays:
            with suppress(StateFull):
                self._state.put(self._beat, str(self._wall_ms()).encode())

    # ------------------------------------------------------------- what one says

    def choose(self, user: str, status: ChosenStatus, text: str) -> int:
        """Keep what a user who is here says of himself; return since when it is so.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, so much is kept that nothing changed.
        """
        person = self._load(user)
        person.status, person.text, person.here = status, text, True
        person.since_ms = max(self._wall_ms(), person.since_ms + 1)
        try:
            self._save(user, person)
        except StateFull:
            raise exhausted("no more can be kept; nothing was changed") from None
        return person.since_ms

    def of(self, user: str) -> StatusOf:
        """Return what others are told of a user."""
        person = self._load(user)
        is_here = user in self._stays
        told: StatusOf = {
            "user": user,
            "status": person.status if is_here else "offline",
        }
        if person.text:
            told["text"] = person.text
        if person.since_ms:
            told["since_ms"] = person.since_ms
        return told

    def is_plain(self, user: str) -> bool:
        """Whether there is nothing to tell of a user but that he is here."""
        person = self._load(user)
        return person.status == "online" and not person.text

    # ---------------------------------------------------------------- what is kept

    def _load_all(self) -> None:
        """Find who is kept, and until when those were here whom nobody saw go."""
        beat_ms = int(self._state.get(self._beat) or b"0")
        found = []
        for key, value in self._state.items(self._prefix):
            user, person = key.removeprefix(self._prefix), _parse(value)
            if person.here:
                person.here = False
                person.since_ms = max(beat_ms, person.since_ms + 1)
                self._state.put(key, _dump(person))
            found.append((person.since_ms, user))
        self._kept.update((user, None) for _, user in sorted(found))

    def _load(self, user: str) -> _Person:
        value = self._state.get(self._prefix + user)
        return _Person() if value is None else _parse(value)

    def _save(self, user: str, person: _Person) -> None:
        if user not in self._kept and len(self._kept) >= self._most:
            oldest, _ = self._kept.popitem(last=False)
            self._state.delete(self._prefix + oldest)
        self._state.put(self._prefix + user, _dump(person))
        self._kept[user] = None
        self._kept.move_to_end(user)

    def _save_if_possible(self, user: str, person: _Person) -> None:
        # Nobody is refused for it that he cannot be remembered; the state counts it.
        with suppress(StateFull):
            self._save(user, person)


def _dump(person: _Person) -> bytes:
    # It is written whenever somebody comes and goes, and as JSON would take ten times
    # as long.
    return (f"{person.since_ms} {person.here:d} {person.status} {person.text}").encode()


def _parse(value: bytes) -> _Person:
    since_ms, here, status, text = value.decode().split(" ", 3)
    return _Person(cast("ChosenStatus", status), text, int(since_ms), here == "1")
