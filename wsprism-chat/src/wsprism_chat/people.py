"""The users of a tenant: what each says of himself, and when he was here last.

A user is here as long as one of his sessions is, also one whose connection dropped and
that may still come back. He was here last when the last of his connections ended, not
when it became certain that it would not come back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from wsprism_chat.kept import Kept
from wsprism_chat.messages import ChosenStatus, StatusOf
from wsprism_core import ProtocolError, State, StateFull

__all__ = ("BEAT", "PEOPLE_EVICTED", "People")

#: How often it is noted that the gateway lives, in seconds: who was here when it ended
#: without a word was so until then.
BEAT: Final = 10.0
#: Counter: users of whom nothing is kept because it is of `max_people` others.
PEOPLE_EVICTED = "chat_people_evicted"


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

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to tell of him but whether he is here."""
        return self.status == "online" and not self.text


class _Stay:
    """A user's sessions, from the first to the end of the last."""

    __slots__ = ("dropped_ms", "seen_ms", "since_ms")

    def __init__(self, since_ms: int) -> None:
        #: When anything of him changed last, though nothing of him may be kept.
        self.since_ms = since_ms
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
            first, and nobody who is here and has chosen something.
        wall_ms: Returns milliseconds since 1970.
        count: Adds to a counter.
    """

    def __init__(
        self,
        state: State,
        tenant: str,
        most: int,
        wall_ms: Callable[[], int],
        count: Callable[[str], None],
    ) -> None:
        self._state = state
        self._beat = f"beat/{tenant}"
        self._wall_ms = wall_ms
        self._stays: dict[str, _Stay] = {}
        prefix = f"user/{tenant}/"
        self._let_go(prefix)
        self._kept = Kept(
            state,
            prefix,
            most,
            age=lambda _, value: _parse(value).since_ms,
            evicted=partial(count, PEOPLE_EVICTED),
        )

    def __len__(self) -> int:
        return len(self._kept)

    # ------------------------------------------------------------ coming and going

    def came(self, user: str, session: str) -> None:
        """Note a session that has begun."""
        stay = self._stays.get(user)
        if stay is None:
            person = self._load(user)
            person.here = True
            person.since_ms = max(self._wall_ms(), person.since_ms + 1)
            stay = self._stays[user] = _Stay(person.since_ms)
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
        person = self._load(user)
        del self._stays[user]
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
        self._save(user, person)
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
        return self._load(user).is_plain

    # ---------------------------------------------------------------- what is kept

    def _let_go(self, prefix: str) -> None:
        """Note until when those were here whom nobody saw go."""
        beat_ms = int(self._state.get(self._beat) or b"0")
        for key, value in self._state.items(prefix):
            person = _parse(value)
            if person.here:
                person.here = False
                person.since_ms = max(beat_ms, person.since_ms + 1)
                with suppress(StateFull):
                    self._state.put(key, _dump(person))

    def _load(self, user: str) -> _Person:
        value = self._kept.get(user)
        if value is not None:
            return _parse(value)
        stay = self._stays.get(user)
        # Who is here and not kept is newer all the same than what was told before.
        return _Person() if stay is None else _Person(since_ms=stay.since_ms, here=True)

    def _save(self, user: str, person: _Person) -> None:
        # Of one who is here and has chosen nothing, nothing is lost but a place.
        stays = person.here and not person.is_plain
        self._kept.put(user, _dump(person), stays=stays)
        if user in self._stays:
            self._stays[user].since_ms = person.since_ms

    def _save_if_possible(self, user: str, person: _Person) -> None:
        # Nobody is refused for it that he cannot be remembered; it is counted.
        with suppress(ProtocolError):
            self._save(user, person)


def _dump(person: _Person) -> bytes:
    # It is written whenever somebody comes and goes, and as JSON would take ten times
    # as long.
    return (f"{person.since_ms} {person.here:d} {person.status} {person.text}").encode()


def _parse(value: bytes) -> _Person:
    since_ms, here, status, text = value.decode().split(" ", 3)
    return _Person(cast("ChosenStatus", status), text, int(since_ms), here == "1")
