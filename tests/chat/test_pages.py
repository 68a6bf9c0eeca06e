from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat_place import Room
from wsprism_chat.log import RoomLog
from wsprism_chat.messages import History, HistoryQuery
from wsprism_chat.pages import page_of
from wsprism_core import ErrorCode, ProtocolError


def read(
    room: Room,
    query: HistoryQuery | None = None,
    chars: int = 16_384,
    reach: int = 10_000,
    reactions: Callable[[str], dict[str, int]] = lambda id: {},
) -> History:
    log = RoomLog(room.recall, "r1", reach)
    log.catch_up()
    return page_of(
        "r1",
        query or {},
        recall=room.recall,
        log=log,
        reactions=reactions,
        most_chars=chars,
    )


def page(
    room: Room,
    query: HistoryQuery | None = None,
    chars: int = 16_384,
    reach: int = 10_000,
) -> tuple[list[int], bool]:
    got = read(room, query, chars, reach)
    return [said["seq"] for said in got["messages"]], got["more"]


def test_a_page_carries_what_the_envelopes_carried() -> None:
    room = Room()
    room.say("hello")
    room.put({"id": "m2", "from": "user:bob", "msg": "hi", "reply_to": "m1"})
    first = {"id": "m1", "from": "user:ann", "msg": "hello", "seq": 1, "ts": 1_001}
    second = {"id": "m2", "from": "user:bob", "msg": "hi", "reply_to": "m1"}
    assert read(room) == {
        "messages": [first, {**second, "seq": 2, "ts": 1_002}],
        "more": False,
    }


def test_a_silent_room_has_an_empty_page() -> None:
    assert page(Room()) == ([], False)


@pytest.mark.parametrize("query", [{"limit": 1}, {"limit": 1, "after": 0}])
def test_a_page_reads_no_edits_on_its_way(query: HistoryQuery) -> None:
    held = Room()
    held.say("hello")
    for version in range(2, 1_000):
        told = {"id": "m1", "from": "user:ann", "msg": "hi", "version": version}
        held.put(told, type="edited")
    held.say("well")
    log = RoomLog(held.recall, "r1", 10_000)
    log.catch_up()
    rows = 0

    def recall(
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        nonlocal rows
        found = held.recall(room, before=before, after=after, limit=limit)
        rows += len(found)
        return found

    got = page_of(
        "r1",
        query,
        recall=recall,
        log=log,
        reactions=lambda id: {},
        most_chars=16_384,
    )
    assert (len(got["messages"]), got["more"]) == (1, True)
    assert rows <= 4


@pytest.mark.parametrize(
    ("query", "seqs", "more"),
    [
        ({}, [1, 2, 3, 4, 5], False),
        ({"limit": 5}, [1, 2, 3, 4, 5], False),
        ({"limit": 2}, [4, 5], True),
        ({"limit": 2, "before": 4}, [2, 3], True),
        ({"limit": 2, "before": 3}, [1, 2], False),
        ({"before": 1}, [], False),
        ({"before": 0}, [], False),
        ({"limit": 2, "after": 0}, [1, 2], True),
        ({"limit": 2, "after": 3}, [4, 5], False),
        ({"after": 5}, [], False),
        ({"after": 99}, [], False),
    ],
)
def test_a_page_is_the_messages_next_to_its_mark(
    query: HistoryQuery, seqs: list[int], more: bool
) -> None:
    room = Room()
    room.say("a", "b", "c", "d", "e")
    assert page(room, query) == (seqs, more)


def test_50_messages_are_a_page_where_no_limit_is_named() -> None:
    room = Room()
    room.say(*"x" * 60)
    assert page(room) == (list(range(11, 61)), True)
    assert page(room, {"after": 0}) == (list(range(1, 51)), True)


def test_a_page_ends_where_it_would_hold_too_much_text() -> None:
    room = Room()
    room.say("aaa", "bbb", "ccc")
    assert page(room, chars=6) == ([2, 3], True)
    assert page(room, {"after": 0}, chars=6) == ([1, 2], True)


def test_a_message_longer_than_a_page_is_a_page() -> None:
    room = Room()
    room.say("short", "much too long", "short")
    assert page(room, {"before": 3}, chars=5) == ([2], True)
    assert page(room, {"after": 1}, chars=5) == ([2], True)


def test_what_other_services_said_in_the_room_is_passed_over() -> None:
    room = Room()
    room.say("a")
    for _ in range(70):
        room.put({"hp": 3}, svc="party", type="msg")
    room.put({"typing": True}, type="other")
    room.say("b")
    assert page(room) == ([1, 73], False)
    assert page(room, {"after": 0}) == ([1, 73], False)
    assert page(room, {"limit": 1}) == ([73], True)


def test_both_ends_of_a_range_are_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        read(Room(), {"before": 2, "after": 1})
    assert refused.value.code is ErrorCode.BAD_REQUEST
    assert refused.value.msg == "history takes before or after, not both"


@given(
    texts=st.lists(st.one_of(st.none(), st.text(min_size=1)), max_size=90),
    limit=st.integers(1, 100),
    chars=st.integers(1, 100),
)
def test_paging_either_way_meets_every_message_once(
    texts: list[str | None], limit: int, chars: int
) -> None:
    room = Room()
    for text in texts:
        if text is None:
            room.put({}, svc="party", type="state")
        else:
            room.say(text)
    expected = [envelope["seq"] for envelope in room.held if envelope["svc"] == "chat"]

    forwards: list[int] = []
    backwards: list[int] = []
    for met, mark in (forwards, "after"), (backwards, "before"):
        query: Any = {"after": 0} if mark == "after" else {}
        more = True
        while more:
            got = read(room, query | {"limit": limit}, chars)
            said: list[Any] = got["messages"]
            more = got["more"]
            seqs = [one["seq"] for one in said]
            assert seqs == sorted(seqs)
            assert len(seqs) <= limit
            assert len(said) == 1 or sum(len(one["msg"]) for one in said) <= chars
            assert said or not more
            if mark == "after":
                met += seqs
                query = {"after": met[-1] if met else 0}
            else:
                met[:0] = seqs
                query = {"before": met[0] if met else 0}
    assert forwards == backwards == expected


@pytest.mark.parametrize("query", [{}, {"after": 0}])
def test_a_message_reads_as_it_is_now(query: HistoryQuery) -> None:
    room = Room()
    room.say("helo", "gone", "stays")
    told = {"id": "m1", "from": "user:ann", "msg": "hello", "version": 2}
    room.put({**told, "mentions": ["user:bob"]}, type="edited")
    room.put({"id": "m2", "by": "user:mod", "version": 2}, type="deleted")
    first, second, third = read(room, query)["messages"]
    assert first == {**told, "mentions": ["user:bob"], "seq": 1, "ts": 1_001}
    assert second == {
        "id": "m2",
        "from": "user:ann",
        "seq": 2,
        "ts": 1_002,
        "version": 2,
        "deleted": True,
    }
    assert third["msg"] == "stays"


def test_reactions_stand_beside_what_they_are_for() -> None:
    room = Room()
    room.say("one", "two")
    counts = {"m2": {"+": 3}}
    first, second = read(room, reactions=lambda id: counts.get(id, {}))["messages"]
    assert "reactions" not in first
    assert second["reactions"] == {"+": 3}


@pytest.mark.parametrize("query", [{}, {"after": 0}, {"after": 2}, {"before": 9}])
def test_what_is_out_of_reach_is_not_shown(query: HistoryQuery) -> None:
    room = Room()
    room.say(*"abcde")
    assert page(room, query, reach=2) == ([4, 5], False)
