"""Reactions to messages: each user each kind once, told as counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pydantic import TypeAdapter

from wsprism_chat.config import ChatConfig
from wsprism_chat.kept import Kept
from wsprism_chat.refusals import exhausted
from wsprism_core import State

__all__ = ("REACTIONS_EVICTED", "ReactionBook")

#: Counter: messages whose reactions went because `reactions_max_messages` newer have.
REACTIONS_EVICTED = "chat_reactions_evicted"

#: Who gave each kind; a kind stands where it was first given.
_REACTED = TypeAdapter(dict[str, list[str]])


class ReactionBook:
    """The reactions to the messages of one tenant.

    What is kept of a message is one value; it is read when it is wanted, so that
    reactions are in memory once. How many there are is remembered, for a page of
    history asks of a hundred messages. Times are seconds on a clock that never goes
    back.

    Args:
        config: The limits.
        state: Where they are kept.
        tenant: The tenant's id.
        count: Adds to a counter.
    """

    def __init__(
        self,
        config: ChatConfig,
        state: State,
        tenant: str,
        count: Callable[[str], None],
    ) -> None:
        self._every = config.reactions_batch_ms / 1000
        self._kinds = config.reactions_max_kinds
        self._most = config.reactions_max
        # By room and id. The message that got none for longest goes first; after a
        # restart the oldest one, for ids are sorted by time.
        self._kept = Kept(
            state,
            f"react/{tenant}/",
            config.reactions_max_messages,
            age=lambda key, _: key.partition("/")[2],
            evicted=partial(count, REACTIONS_EVICTED),
        )
        # Of those that are kept, where it was asked for; none is ever changed.
        self._counted: dict[str, dict[str, int]] = {}
        # Messages whose summary is to be told, in the order in which they changed.
        self._dirty: dict[str, None] = {}
        # When it was told last, of those that may not be told again yet.
        self._told: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def react(self, room: str, id: str, user: str, kind: str, *, on: bool) -> bool:
        """Note a reaction, or that it is taken back; return whether that is new.

        Raises:
            ProtocolError: `RESOURCE_EXHAUSTED`, the message has as many, or as many
                kinds, as it may, or no more can be kept.
        """
        key = f"{room}/{id}"
        by_kind = self._load(key)
        given = by_kind.get(kind, [])
        if (user in given) is on:
            return False
        if on:
            self._check(by_kind, kind)
            by_kind[kind] = [*given, user]
        else:
            given.remove(user)
            if not given:
                del by_kind[kind]
        self._save(key, by_kind)
        self._dirty[key] = None
        return True

    def counts(self, room: str, id: str) -> dict[str, int]:
        """Return how many gave a message each kind of reaction."""
        return self._counts(f"{room}/{id}")

    def forget(self, room: str, id: str) -> None:
        """Forget the reactions to a message, which is gone."""
        key = f"{room}/{id}"
        self._kept.drop(key)
        self._forget(key)

    def due(self, now: float) -> Iterator[tuple[str, str, dict[str, int]]]:
        """Yield what is to be told now: rooms, ids of messages, and their counts."""
        for key, told_at in list(self._told.items()):
            if now - told_at >= self._every:
                del self._told[key]
        for key in [key for key in self._dirty if key not in self._told]:
            del self._dirty[key]
            self._told[key] = now
            room, _, id = key.partition("/")
            yield room, id, self._counts(key)

    def _check(self, by_kind: dict[str, list[str]], kind: str) -> None:
        is_full = sum(map(len, by_kind.values())) >= self._most
        if is_full or (kind not in by_kind and len(by_kind) >= self._kinds):
            raise exhausted("the message has as many reactions as it may")

    def _load(self, key: str) -> dict[str, list[str]]:
        value = self._kept.get(key)
        return {} if value is None else _REACTED.validate_json(value)

    def _counts(self, key: str) -> dict[str, int]:
        if key not in self._kept:
            return {}
        counts = self._counted.get(key)
        if counts is None:
            counts = self._counted[key] = _count(self._load(key))
        return counts

    def _save(self, key: str, by_kind: dict[str, list[str]]) -> None:
        if not by_kind:
            self._kept.drop(key)
            self._counted.pop(key, None)
            return
        gone = self._kept.put(key, _REACTED.dump_json(by_kind))
        self._counted[key] = _count(by_kind)
        if gone is not None:
            self._forget(gone)

    def _forget(self, key: str) -> None:
        # What is not kept any more is nothing to tell of.
        self._counted.pop(key, None)
        self._dirty.pop(key, None)


def _count(by_kind: dict[str, list[str]]) -> dict[str, int]:
    return {kind: len(users) for kind, users in by_kind.items()}
