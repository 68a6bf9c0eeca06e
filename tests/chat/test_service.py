from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.config import ChatConfig
from wsprism_chat.messages import HistoryQuery
from wsprism_chat.service import ChatService
from wsprism_core import Broadcast, Envelope, ErrorCode, ProtocolError, Reply


class Room:
    """The room `r1` as the gateway holds it: a ring of numbered messages."""

    def __init__(self) -> None:
        self.held: list[Mapping[str, Any]] = []
        self.head = 0

    def put(self, data: Any, svc: str = "chat", type: str = "msg") -> None:
        self.head += 1
        envelope = {"svc": svc, "type": type, "room": "r1", "data": data}
        self.held.append({**envelope, "seq": self.head, "ts": 1_000 + self.head})

    def say(self, *texts: str) -> None:
        for text in texts:
            self.put({"id": f"m{self.head + 1}", "from": "user:ann", "msg": text})

    def recall(
        self,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        assert room == "r1"
        found = [
            envelope
            for envelope in self.held
            if (before is None or envelope["seq"] < before)
            and (after is None or envelope["seq"] > after)
        ]
        return found[-limit:] if after is None else found[:limit]


def chat(room: Room | None = None, **limits: int) -> ChatService:
    numbers = count(1)
    recall = (room or Room()).recall
    return ChatService(ChatConfig(**limits), recall, lambda: f"id{next(numbers)}")


def page(service: ChatService, query: HistoryQuery | None = None) -> tuple[Any, bool]:
    reply = service.history("r1", query)
    return [said["seq"] for said in reply.data["messages"]], reply.data["more"]


# ------------------------------------------------------------------------- send


def test_what_is_sent_goes_to_everyone_and_the_ack_carries_its_id() -> None:
    assert chat().send("user:ann", "r1", {"msg": "hello"}) == Broadcast(
        "msg",
        {"id": "id1", "from": "user:ann", "msg": "hello"},
        room="r1",
        ack={"id": "id1"},
    )


def test_each_message_has_an_id_of_its_own() -> None:
    service = chat()
    first = service.send("user:ann", "r1", {"msg": "hello"})
    second = service.send("user:ann", "r1", {"msg": "hello"})
    assert (first.ack, second.ack) == ({"id": "id1"}, {"id": "id2"})


def test_the_clients_id_tells_a_retry_and_is_not_sent_on() -> None:
    sent = chat().send("user:ann", "r1", {"msg": "hello", "id": "mine"})
    assert sent.dedup == "mine"
    assert sent.data == {"id": "id1", "from": "user:ann", "msg": "hello"}
    assert sent.ack == {"id": "id1"}


def test_a_reply_names_what_it_answers() -> None:
    sent = chat().send("user:ann", "r1", {"msg": "yes", "reply_to": "id0"})
    assert sent.data == {
        "id": "id1",
        "from": "user:ann",
        "msg": "yes",
        "reply_to": "id0",
    }


@pytest.mark.parametrize("character", ["a", "é", "語", "🦀", "\0"])
def test_the_longest_message_is_counted_in_characters(character: str) -> None:
    service = chat(max_length=3)
    service.send("user:ann", "r1", {"msg": character * 3})
    with pytest.raises(ProtocolError) as refused:
        service.send("user:ann", "r1", {"msg": character * 4})
    assert refused.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert refused.value.msg == "msg is 4 characters long; 3 is the most"


def test_4000_characters_pass_by_default() -> None:
    service = chat()
    service.send("user:ann", "r1", {"msg": "a" * 4_000})
    with pytest.raises(ProtocolError):
        service.send("user:ann", "r1", {"msg": "a" * 4_001})


def test_a_refused_message_uses_up_no_id() -> None:
    service = chat(max_length=1)
    with pytest.raises(ProtocolError):
        service.send("user:ann", "r1", {"msg": "aa"})
    assert service.send("user:ann", "r1", {"msg": "a"}).ack == {"id": "id1"}


# ---------------------------------------------------------------------- history


def test_a_page_carries_what_the_envelopes_carried() -> None:
    room = Room()
    room.say("hello")
    room.put({"id": "m2", "from": "user:bob", "msg": "hi", "reply_to": "m1"})
    first = {"id": "m1", "from": "user:ann", "msg": "hello", "seq": 1, "ts": 1_001}
    second = {"id": "m2", "from": "user:bob", "msg": "hi", "reply_to": "m1"}
    assert chat(room).history("r1", None) == Reply(
        "history",
        {"messages": [first, {**second, "seq": 2, "ts": 1_002}], "more": False},
        room="r1",
    )


def test_a_silent_room_has_an_empty_page() -> None:
    assert page(chat()) == ([], False)


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
    assert page(chat(room), query) == (seqs, more)


def test_50_messages_are_a_page_where_no_limit_is_named() -> None:
    room = Room()
    room.say(*"x" * 60)
    assert page(chat(room)) == (list(range(11, 61)), True)
    assert page(chat(room), {"after": 0}) == (list(range(1, 51)), True)


def test_a_page_ends_where_it_would_hold_too_much_text() -> None:
    room = Room()
    room.say("aaa", "bbb", "ccc")
    service = chat(room, history_page_chars=6)
    assert page(service) == ([2, 3], True)
    assert page(service, {"after": 0}) == ([1, 2], True)


def test_a_message_longer_than_a_page_is_a_page() -> None:
    room = Room()
    room.say("short", "much too long", "short")
    service = chat(room, history_page_chars=5)
    assert page(service, {"before": 3}) == ([2], True)
    assert page(service, {"after": 1}) == ([2], True)


def test_what_other_services_said_in_the_room_is_passed_over() -> None:
    room = Room()
    room.say("a")
    for _ in range(70):
        room.put({"hp": 3}, svc="party", type="msg")
    room.put({"typing": True}, type="other")
    room.say("b")
    service = chat(room)
    assert page(service) == ([1, 73], False)
    assert page(service, {"after": 0}) == ([1, 73], False)
    assert page(service, {"limit": 1}) == ([73], True)


def test_both_ends_of_a_range_are_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        chat().history("r1", {"before": 2, "after": 1})
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
    service = chat(room, history_page_chars=chars)
    expected = [envelope["seq"] for envelope in room.held if envelope["svc"] == "chat"]

    forwards: list[int] = []
    backwards: list[int] = []
    for met, mark in (forwards, "after"), (backwards, "before"):
        query: Any = {"after": 0} if mark == "after" else {}
        more = True
        while more:
            reply = service.history("r1", query | {"limit": limit})
            said, more = reply.data["messages"], reply.data["more"]
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


# ----------------------------------------------------------------------- handle


def test_a_message_goes_to_the_rule_of_its_type() -> None:
    room = Room()
    room.say("hello")
    service = chat(room)
    send = Envelope("chat", "send", room="r1", data={"msg": "hi"})
    said = {"id": "id1", "from": "user:ann", "msg": "hi"}
    assert service.handle("user:ann", send) == Broadcast(
        "msg", said, room="r1", ack={"id": "id1"}
    )
    asked = Envelope("chat", "history", room="r1", data={"limit": 1})
    assert service.handle("user:ann", asked) == service.history("r1", {"limit": 1})


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        chat().handle("user:ann", Envelope("chat", "shout", room="r1"))
    assert refused.value.code is ErrorCode.BAD_REQUEST
    assert refused.value.msg == "chat has no type 'shout'"
