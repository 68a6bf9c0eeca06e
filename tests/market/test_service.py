from __future__ import annotations

import pytest

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
from wsprism_market.messages import snapshot, ticker
from wsprism_market.quotes import Quote
from wsprism_market.service import MarketService
from wsprism_market.symbols import Pattern


class Desk:
    """A board and one tenant's service."""

    def __init__(
        self, *symbols: str, max_subscriptions: int = 100, max_patterns: int = 10
    ) -> None:
        self.board = Board("e1", 1_000)
        self.service = MarketService(self.board, max_subscriptions, max_patterns)
        for symbol in symbols:
            self.quote(symbol)

    def put(self, symbol: str, last: int = 100) -> Update:
        update = self.board.put(Quote(symbol, 5, 2, last - 1, last + 1, last))
        assert update is not None
        return update

    def quote(self, symbol: str, last: int = 100) -> list[Action]:
        return self.service.updated(self.put(symbol, last))

    def subscribe(self, session: str, *names: str) -> list[Action]:
        return self.ask("subscribe", session, *names)

    def unsubscribe(self, session: str, *names: str) -> list[Action]:
        return self.ask("unsubscribe", session, *names)

    def ask(self, verb: str, session: str, *names: str) -> list[Action]:
        data = {"symbols": list(names)}
        return self.service.handle(session, Envelope("market", verb, data=data))

    def snapshot(self, session: str, symbol: str) -> Push:
        update = self.board.get(symbol)
        assert update is not None
        return Push("snapshot", snapshot(update), session=session)


def join(session: str, symbol: str) -> JoinRoom:
    return JoinRoom(session, f"market:{symbol}", quiet=True)


def leave(session: str, symbol: str) -> LeaveRoom:
    return LeaveRoom(session, f"market:{symbol}")


def live(session: str, *symbols: str) -> Push:
    return Push("live", {"symbols": list(symbols)}, session=session)


def subscribed(symbols: tuple[str, ...] = (), patterns: tuple[str, ...] = ()) -> Reply:
    data = {"symbols": list(symbols), "patterns": list(patterns)}
    return Reply("subscribed", data)


def unsubscribed(
    symbols: tuple[str, ...] = (), patterns: tuple[str, ...] = ()
) -> Reply:
    data = {"symbols": list(symbols), "patterns": list(patterns)}
    return Reply("unsubscribed", data)


def test_subscribe_to_a_symbol() -> None:
    desk = Desk("BTC-USD", "ETH-USD")
    assert desk.subscribe("s1", "BTC-USD") == [
        join("s1", "BTC-USD"),
        subscribed(("BTC-USD",)),
        desk.snapshot("s1", "BTC-USD"),
        live("s1", "BTC-USD"),
    ]


def test_subscribe_to_symbols_and_patterns() -> None:
    desk = Desk("ETH-USD", "BTC-USD", "ETH-EUR", "SOL-USD")
    assert desk.subscribe("s1", "BTC-USD", "ETH-*", "*-EUR", "BTC-USD") == [
        join("s1", "BTC-USD"),
        join("s1", "ETH-USD"),
        join("s1", "ETH-EUR"),
        subscribed(("BTC-USD",), ("ETH-*", "*-EUR")),
        desk.snapshot("s1", "BTC-USD"),
        desk.snapshot("s1", "ETH-USD"),
        desk.snapshot("s1", "ETH-EUR"),
        live("s1", "BTC-USD", "ETH-USD", "ETH-EUR"),
    ]


def test_an_update_is_one_broadcast_for_all_who_follow() -> None:
    desk = Desk("BTC-USD")
    desk.subscribe("s1", "BTC-USD")
    desk.subscribe("s2", "*")
    update = desk.put("BTC-USD", 7)
    assert desk.service.updated(update) == [
        Broadcast("ticker", ticker(update), room="market:BTC-USD", key="BTC-USD")
    ]
    assert update.prev_seq == 1


def test_what_nobody_follows_costs_nothing() -> None:
    desk = Desk("BTC-USD", "ETH-USD")
    desk.subscribe("s1", "BTC-USD")
    assert desk.quote("ETH-USD") == []


def test_a_second_subscription_sends_what_is_new_only() -> None:
    desk = Desk("BTC-USD", "ETH-USD")
    desk.subscribe("s1", "BTC-USD")
    assert desk.subscribe("s1", "*") == [
        join("s1", "ETH-USD"),
        subscribed((), ("*",)),
        desk.snapshot("s1", "ETH-USD"),
        live("s1", "ETH-USD"),
    ]
    assert desk.subscribe("s1", "BTC-USD") == [subscribed(("BTC-USD",)), live("s1")]


def test_a_symbol_that_is_not_there_yet() -> None:
    desk = Desk("BTC-USD")
    desk.subscribe("s1", "BTC-USD")
    assert desk.subscribe("s2", "NEW") == [subscribed(("NEW",)), live("s2")]
    desk.subscribe("s3", "N*")
    assert desk.quote("NEW") == [
        join("s2", "NEW"),
        desk.snapshot("s2", "NEW"),
        live("s2", "NEW"),
        join("s3", "NEW"),
        desk.snapshot("s3", "NEW"),
        live("s3", "NEW"),
    ]
    (update,) = desk.quote("NEW")
    assert isinstance(update, Broadcast)


def test_unsubscribe() -> None:
    desk = Desk("BTC-USD", "ETH-USD")
    desk.subscribe("s1", "BTC-USD", "ETH-*")
    assert desk.unsubscribe("s1", "ETH-*", "BTC-USD") == [
        leave("s1", "BTC-USD"),
        leave("s1", "ETH-USD"),
        unsubscribed(("BTC-USD",), ("ETH-*",)),
    ]
    assert desk.quote("BTC-USD") == desk.quote("ETH-USD") == []


def test_unsubscribe_from_what_something_else_still_wants() -> None:
    desk = Desk("BTC-USD", "ETH-USD")
    desk.subscribe("s1", "BTC-USD", "*-USD")
    assert desk.unsubscribe("s1", "BTC-USD") == [unsubscribed(("BTC-USD",))]
    assert desk.quote("BTC-USD") != []
    assert desk.unsubscribe("s1", "*-USD") == [
        leave("s1", "BTC-USD"),
        leave("s1", "ETH-USD"),
        unsubscribed((), ("*-USD",)),
    ]


def test_unsubscribe_from_what_one_never_had() -> None:
    desk = Desk("BTC-USD")
    assert desk.unsubscribe("s1", "BTC-USD", "no such !") == [unsubscribed()]
    desk.subscribe("s1", "B*")
    assert desk.unsubscribe("s1", "BTC-USD") == [unsubscribed()]
    assert desk.quote("BTC-USD") != []


def test_one_session_s_end_is_not_the_other_s() -> None:
    desk = Desk("BTC-USD")
    desk.subscribe("s1", "BTC-USD")
    desk.subscribe("s2", "BTC-USD")
    desk.unsubscribe("s1", "BTC-USD")
    assert desk.quote("BTC-USD") != []
    desk.service.closed("s2")
    assert desk.quote("BTC-USD") == []


def test_subscribe_again_gives_a_new_snapshot() -> None:
    desk = Desk("BTC-USD")
    desk.subscribe("s1", "BTC-USD")
    desk.unsubscribe("s1", "BTC-USD")
    desk.quote("BTC-USD", 7)
    actions = desk.subscribe("s1", "BTC-USD")
    assert desk.snapshot("s1", "BTC-USD") in actions
    assert isinstance(actions[2], Push)
    assert actions[2].data["seq"] == 2


@pytest.mark.parametrize("name", ["", "BTC/USD", "a b", "[ab]*", "****", "x" * 65])
def test_a_bad_name_refuses_the_whole_request(name: str) -> None:
    desk = Desk("BTC-USD")
    with pytest.raises(ProtocolError, match="neither symbol nor pattern") as caught:
        desk.subscribe("s1", "BTC-USD", name)
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert desk.quote("BTC-USD") == []
    assert desk.unsubscribe("s1", "BTC-USD") == [unsubscribed()]


def test_a_bad_name_is_not_echoed_at_length() -> None:
    with pytest.raises(ProtocolError) as caught:
        Desk().subscribe("s1", "\x1b" + "x" * 10_000)
    assert len(caught.value.msg) < 120
    assert caught.value.msg.isprintable()


def test_the_limit_of_subscriptions() -> None:
    desk = Desk("A", "B", "C", max_subscriptions=2)
    desk.subscribe("s1", "A", "B*")
    with pytest.raises(ProtocolError, match="more than 2 subscriptions") as caught:
        desk.subscribe("s1", "C")
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert desk.quote("C") == []
    # What it has already is not counted twice, and others have a limit of their own.
    assert desk.subscribe("s1", "A", "B*", "A") == [
        subscribed(("A",), ("B*",)),
        live("s1"),
    ]
    desk.subscribe("s2", "C")
    desk.unsubscribe("s1", "A")
    desk.subscribe("s1", "C")


def test_the_limit_of_patterns() -> None:
    desk = Desk("A", "B", "C", max_patterns=2)
    desk.subscribe("s1", "A*", "B*")
    with pytest.raises(ProtocolError, match="more than 2 patterns") as caught:
        desk.subscribe("s1", "C", "C*")
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert desk.quote("C") == []
    # Symbols do not count, nor what it has already; others have a limit of their own.
    assert join("s1", "C") in desk.subscribe("s1", "A*", "B*", "C")
    assert join("s2", "C") in desk.subscribe("s2", "C*")
    desk.unsubscribe("s1", "A*")
    desk.subscribe("s1", "C*")


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols that were held against a pattern."""
    symbols: list[str] = []
    matches = Pattern.matches

    def noted(self: Pattern, symbol: str) -> bool:
        symbols.append(symbol)
        return matches(self, symbol)

    monkeypatch.setattr(Pattern, "matches", noted)
    return symbols


def test_only_what_is_not_followed_yet_is_matched(matched: list[str]) -> None:
    desk = Desk("A", "B", "C")
    desk.subscribe("s1", "A", "B")
    desk.subscribe("s1", "X*")
    assert matched == ["C"]
    desk.subscribe("s1", "X*")
    assert matched == ["C"]


def test_to_end_nothing_matches_nothing(matched: list[str]) -> None:
    desk = Desk("A", "B")
    desk.subscribe("s1", "*")
    matched.clear()
    assert desk.unsubscribe("s1", "A", "X*") == [unsubscribed()]
    assert matched == []


def test_a_closed_session_is_forgotten() -> None:
    desk = Desk("A")
    desk.subscribe("s1", "A", "N*")
    desk.service.closed("s1")
    desk.service.closed("s1")
    assert desk.quote("A") == []
    assert desk.quote("NEW") == []


def test_tenants_share_the_board_and_nothing_else() -> None:
    desk = Desk("A")
    other = MarketService(desk.board, 100)
    desk.subscribe("s1", "A")
    update = desk.put("A")
    assert other.updated(update) == []
    assert desk.service.updated(update) != []


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        Desk("A").ask("watch", "s1", "A")
    assert refused.value.code is ErrorCode.BAD_REQUEST
    assert refused.value.msg == "market has no type 'watch'"
