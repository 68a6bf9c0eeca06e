"""Random sessions against what any client must be able to count on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsprism_core import (
    Action,
    Broadcast,
    Envelope,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Push,
    Reply,
)
from wsprism_market.board import Board
from wsprism_market.quotes import Quote
from wsprism_market.service import MarketService

LIMIT = 3
PATTERN_LIMIT = 2
sessions = st.sampled_from(["s1", "s2", "s3"])
symbols = st.sampled_from(["A-X", "A-Y", "B-X", "B-Y"])
names = st.lists(
    st.sampled_from(["A-X", "A-Y", "B-X", "B-Y", "A-*", "*-X", "*", "C*"]), max_size=3
)


@dataclass
class Client:
    """What one client was told, checked as it arrives."""

    wanted: set[str] = field(default_factory=set)
    held: dict[str, int] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)

    def wants(self, symbol: str) -> bool:
        return any(fnmatchcase(symbol, name) for name in self.wanted)

    def snapshot(self, symbol: str, seq: int) -> None:
        assert symbol not in self.held
        self.held[symbol] = seq

    def mark(self, symbols: list[str]) -> None:
        assert set(symbols) == self.held.keys() - self.live
        assert len(symbols) == len(set(symbols))
        self.live.update(symbols)

    def ticker(self, symbol: str, prev_seq: int, seq: int) -> None:
        assert symbol in self.live
        assert self.held[symbol] == prev_seq
        assert seq == prev_seq + 1
        self.held[symbol] = seq

    def left(self, symbol: str) -> None:
        del self.held[symbol]
        self.live.remove(symbol)


class Subscriptions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.board = Board("e", 100)
        self.service = MarketService(self.board, LIMIT, PATTERN_LIMIT)
        self.rooms: dict[str, set[str]] = {}
        self.clients: dict[str, Client] = {}

    def client(self, session: str) -> Client:
        return self.clients.setdefault(session, Client())

    def perform(self, actions: Iterable[Action], asked_by: str | None = None) -> None:
        for action in actions:
            match action:
                case JoinRoom(session, room, quiet=True):
                    assert session not in self.rooms.setdefault(room, set())
                    self.rooms[room].add(session)
                case LeaveRoom(session, room):
                    self.rooms[room].remove(session)
                    self.client(session).left(room.removeprefix("market:"))
                case Reply():
                    assert asked_by is not None
                case Push("snapshot", data, session=str(session)):
                    self.client(session).snapshot(data["symbol"], data["seq"])
                case Push("live", data, session=str(session)):
                    self.client(session).mark(data["symbols"])
                case Broadcast("ticker", data, room=str(room), key=str(key)):
                    assert room == f"market:{key}"
                    assert key == data["symbol"]
                    assert self.rooms[room]
                    for session in self.rooms[room]:
                        client = self.client(session)
                        client.ticker(key, data["prev_seq"], data["seq"])
                case _:
                    raise AssertionError(action)

    def ask(self, verb: str, session: str, names: list[str]) -> None:
        message = Envelope("market", verb, data={"symbols": names})
        self.perform(self.service.handle(session, message), session)

    @rule(session=sessions, names=names)
    def subscribe(self, session: str, names: list[str]) -> None:
        client = self.client(session)
        wanted = client.wanted | set(names)
        patterns = [name for name in wanted if "*" in name]
        if len(wanted) > LIMIT or len(patterns) > PATTERN_LIMIT:
            try:
                self.ask("subscribe", session, names)
            except ProtocolError:
                return
            raise AssertionError("over the limit")
        client.wanted.update(names)
        self.ask("subscribe", session, names)

    @rule(session=sessions, names=names)
    def unsubscribe(self, session: str, names: list[str]) -> None:
        self.client(session).wanted.difference_update(names)
        self.ask("unsubscribe", session, names)

    @rule(symbol=symbols)
    def quote(self, symbol: str) -> None:
        update = self.board.put(Quote(symbol, 0, 0, 1, 1, 1))
        assert update is not None
        self.perform(self.service.updated(update))

    @rule(session=sessions)
    def close(self, session: str) -> None:
        for room in self.rooms.values():
            room.discard(session)
        self.service.closed(session)
        self.clients.pop(session, None)

    @invariant()
    def who_wants_a_symbol_that_is_there_is_live(self) -> None:
        for client in self.clients.values():
            expected = {symbol for symbol in self.board if client.wants(symbol)}
            assert client.live == client.held.keys() == expected

    @invariant()
    def rooms_hold_who_is_live(self) -> None:
        for symbol in self.board:
            live = {name for name, each in self.clients.items() if symbol in each.live}
            assert self.rooms.get(f"market:{symbol}", set()) == live

    @invariant()
    def what_is_held_is_the_newest(self) -> None:
        for client in self.clients.values():
            for symbol, seq in client.held.items():
                update = self.board.get(symbol)
                assert update is not None
                assert update.seq == seq


TestSubscriptions = Subscriptions.TestCase
