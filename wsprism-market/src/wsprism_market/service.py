"""The rules of market: state in, actions out."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from wsprism_core import (
    Action,
    Broadcast,
    Envelope,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Push,
    Reply,
)
from wsprism_market.board import Board, Update
from wsprism_market.config import DEFAULT_MAX_PATTERNS
from wsprism_market.messages import Live, Subscribed, snapshot, ticker
from wsprism_market.symbols import WILDCARD, Pattern, is_symbol

__all__ = ("ROOM_PREFIX", "MarketService", "Subscriber")

#: A symbol's subscribers are the audience of a room, so that an update is encoded once.
ROOM_PREFIX: Final = "market:"

#: Names as the client wrote them, with the pattern that each stands for, if it is one.
Wanted: TypeAlias = dict[str, Pattern | None]


@dataclass(slots=True)
class Subscriber:
    """What one session follows.

    Attributes:
        wanted: What it subscribed to.
        live: The symbols that it had a snapshot of; a dict, for its order.
    """

    wanted: Wanted = field(default_factory=dict)
    live: dict[str, None] = field(default_factory=dict)


class MarketService:
    """Subscriptions of one tenant.

    Args:
        board: The newest quotes; all tenants read the same.
        max_subscriptions: Symbols and patterns that one session may name.
        max_patterns: Patterns among them; each is matched with the whole board.
    """

    def __init__(
        self,
        board: Board,
        max_subscriptions: int,
        max_patterns: int = DEFAULT_MAX_PATTERNS,
    ) -> None:
        self._board = board
        self._max_subscriptions = max_subscriptions
        self._max_patterns = max_patterns
        self._subscribers: dict[str, Subscriber] = {}
        # Sessions per symbol, so that what nobody follows costs nothing.
        self._audience: dict[str, int] = {}

    def handle(self, session: str, message: Envelope) -> list[Action]:
        """Do what a client asks.

        Raises:
            ProtocolError: `BAD_REQUEST` for a name that is neither symbol nor pattern
                or a type that is not market's,
                `RESOURCE_EXHAUSTED` for too many; nothing has changed then.
        """
        match message.type:
            case "subscribe":
                return self._subscribe(session, message.data["symbols"])
            case "unsubscribe":
                return self._unsubscribe(session, message.data["symbols"])
            case unknown:
                raise ProtocolError(
                    ErrorCode.BAD_REQUEST, f"market has no type {unknown!r}"
                )

    def updated(self, update: Update) -> list[Action]:
        """Tell the tenant's sessions of a quote that is on the board now."""
        symbol = update.symbol
        if update.is_first:
            return self._introduce(symbol)
        if symbol not in self._audience:
            return []
        return [Broadcast("ticker", ticker(update), room=_room(symbol), key=symbol)]

    def closed(self, session: str) -> None:
        """Forget a session."""
        subscriber = self._subscribers.pop(session, None)
        if subscriber is not None:
            for symbol in subscriber.live:
                self._unfollow(symbol)

    def _subscribe(self, session: str, names: list[str]) -> list[Action]:
        subscriber = self._subscribers.get(session) or Subscriber()
        if len(subscriber.wanted.keys() | names) > self._max_subscriptions:
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED,
                f"more than {self._max_subscriptions} subscriptions",
            )
        asked = _parse(names)
        # What is wanted already has all that it matches: to look again, pattern by
        # pattern over the whole board, would let a client buy much work for little.
        fresh = {k: v for k, v in asked.items() if k not in subscriber.wanted}
        if _count_patterns(subscriber.wanted | fresh) > self._max_patterns:
            raise ProtocolError(
                ErrorCode.RESOURCE_EXHAUSTED, f"more than {self._max_patterns} patterns"
            )
        subscriber.wanted.update(fresh)
        self._subscribers[session] = subscriber
        begun = self._matching(fresh, subscriber.live)
        return [
            *(self._follow(session, subscriber, symbol) for symbol in begun),
            Reply("subscribed", _listed(asked)),
            *self._snapshots(session, begun),
        ]

    def _unsubscribe(self, session: str, names: list[str]) -> list[Action]:
        subscriber = self._subscribers.get(session) or Subscriber()
        wanted = subscriber.wanted
        ended = {name: wanted.pop(name) for name in _each_once(names) if name in wanted}
        if not ended:
            return [Reply("unsubscribed", _listed(ended))]
        over = [one for one in subscriber.live if not _wants(wanted, one)]
        for symbol in over:
            del subscriber.live[symbol]
            self._unfollow(symbol)
        if not wanted:
            self._subscribers.pop(session, None)
        return [
            *(LeaveRoom(session, _room(symbol)) for symbol in over),
            Reply("unsubscribed", _listed(ended)),
        ]

    def _introduce(self, symbol: str) -> list[Action]:
        """Begin a symbol that is new on the board for all who wait for it."""
        actions: list[Action] = []
        for session, subscriber in self._subscribers.items():
            if _wants(subscriber.wanted, symbol):
                actions.append(self._follow(session, subscriber, symbol))
                actions.extend(self._snapshots(session, [symbol]))
        return actions

    def _matching(self, asked: Wanted, live: Container[str]) -> list[str]:
        """Return the symbols on the board that are asked for and not live yet."""
        named = [
            name
            for name in asked
            if name not in live and self._board.get(name) is not None
        ]
        patterns = [pattern for pattern in asked.values() if pattern is not None]
        if not patterns:
            return named
        matched = (
            symbol
            for symbol in self._board
            if symbol not in live and any(each.matches(symbol) for each in patterns)
        )
        return list(_each_once([*named, *matched]))

    def _snapshots(self, session: str, symbols: list[str]) -> list[Action]:
        """Return a snapshot of each symbol and the mark behind the last."""
        newest = filter(None, map(self._board.get, symbols))
        live: Live = {"symbols": symbols}
        return [
            *(Push("snapshot", snapshot(each), session=session) for each in newest),
            Push("live", live, session=session),
        ]

    def _follow(self, session: str, subscriber: Subscriber, symbol: str) -> JoinRoom:
        subscriber.live[symbol] = None
        self._audience[symbol] = self._audience.get(symbol, 0) + 1
        return JoinRoom(session, _room(symbol), quiet=True)

    def _unfollow(self, symbol: str) -> None:
        self._audience[symbol] -= 1
        if not self._audience[symbol]:
            del self._audience[symbol]


def _parse(names: Iterable[str]) -> Wanted:
    """Tell symbols from patterns.

    Raises:
        ProtocolError: A name is neither.
    """
    wanted: Wanted = {}
    for name in names:
        try:
            wanted[name] = Pattern(name) if WILDCARD in name else None
        except ValueError:
            raise _bad_name(name) from None
        if wanted[name] is None and not is_symbol(name):
            raise _bad_name(name)
    return wanted


def _bad_name(name: str) -> ProtocolError:
    return ProtocolError(
        ErrorCode.BAD_REQUEST, f"neither symbol nor pattern: {name!r:.80}"
    )


def _wants(wanted: Wanted, symbol: str) -> bool:
    if symbol in wanted:
        return True
    return any(each is not None and each.matches(symbol) for each in wanted.values())


def _count_patterns(wanted: Wanted) -> int:
    return sum(pattern is not None for pattern in wanted.values())


def _listed(names: Wanted) -> Subscribed:
    return {
        "symbols": [name for name, pattern in names.items() if pattern is None],
        "patterns": [name for name, pattern in names.items() if pattern is not None],
    }


def _each_once(names: Iterable[str]) -> Iterable[str]:
    """Drop repetitions and keep the order."""
    return dict.fromkeys(names)


def _room(symbol: str) -> str:
    return ROOM_PREFIX + symbol
