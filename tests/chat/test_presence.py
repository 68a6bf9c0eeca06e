from __future__ import annotations

from typing import Any

from support.chat_place import Place, Visitor, owned, refusal, room_of_two
from wsprism_chat.filters import FilterChain, Reject, Rewrite, Shadow, Verdict
from wsprism_chat.presence import TOLD_AT_ONCE
from wsprism_core import Ack, Broadcast, ErrorCode, Reply


def told(place: Place, seconds: float = 1.0) -> list[tuple[str | None, Any]]:
    """Return what rooms are told of whom in the next moments."""
    place.time += seconds
    news = []
    for action in place.chat.tick():
        assert isinstance(action, Broadcast)
        assert action.type == "status"
        assert action.key == action.data["user"]
        news.append((action.room, action.data))
    return news


def of(user: str, status: str, since_ms: int, **more: Any) -> dict[str, Any]:
    return {"user": f"user:{user}", "status": status, "since_ms": since_ms, **more}


def ask(place: Place, visitor: Visitor, *users: str) -> Any:
    (answer,) = place.do(visitor, "presence", {"users": list(users)})
    assert isinstance(answer, Reply)
    assert answer.type == "presence"
    return answer.data["users"]


def busy(place: Place, visitor: Visitor, text: str = "writing") -> int:
    (ack,) = place.do(visitor, "status", {"status": "busy", "text": text})
    assert isinstance(ack, Ack)
    since_ms: int = ack.data["since_ms"]
    return since_ms


def test_a_status_is_told_once_in_each_room_that_one_is_in() -> None:
    place, ann, _ = room_of_two()
    place.enter("ann", "r1", "r2")
    place.do(ann, "status", {"status": "away"})
    since_ms = busy(place, ann)
    assert told(place, 0.9) == []
    news = of("ann", "busy", since_ms, text="writing")
    assert told(place, 0.1) == [("r1", news), ("r2", news)]
    assert told(place) == []


def test_who_asks_is_answered_in_his_order() -> None:
    place, ann, bob = room_of_two()
    since_ms = busy(place, bob)
    assert ask(place, ann, "user:bob", "user:none", "user:bob") == [
        of("bob", "busy", since_ms, text="writing"),
        {"user": "user:none", "status": "offline"},
    ]


def test_a_room_is_told_of_a_newcomer_who_has_something_to_say() -> None:
    place, ann, _ = room_of_two()
    busy(place, ann)
    told(place)
    place.join(ann, "r3")
    assert [room for room, _ in told(place)] == ["r3"]
    place.enter("cat", "r1")
    assert told(place) == []


def test_who_is_gone_is_told_where_he_was() -> None:
    place, _, bob = room_of_two()
    phone = place.enter("bob", "r1", "r2")
    place.enter("ann", "r2")
    place.end(bob)
    assert told(place) == []
    place.leave(phone, "r1")
    assert told(place) == []
    place.time = 2_000
    place.end(phone)
    assert told(place) == [("r2", of("bob", "offline", 2_000_000))]
    assert place.chat._presence._parting == {}


def test_who_drops_is_gone_only_when_he_does_not_come_back() -> None:
    place, ann, bob = room_of_two()
    place.time = 2_000
    place.detach(bob)
    assert told(place) == []
    assert ask(place, ann, "user:bob")[0]["status"] == "online"
    place.resume(bob)
    place.time = 3_000
    place.detach(bob)
    place.time = 3_030
    place.end(bob)
    assert told(place) == [("r1", of("bob", "offline", 3_000_000))]


def test_a_status_is_told_where_only_a_dropped_connection_is() -> None:
    place, _, bob = room_of_two()
    place.detach(bob)
    laptop = place.enter("bob")
    since_ms = busy(place, laptop)
    assert told(place) == [("r1", of("bob", "busy", since_ms, text="writing"))]
    place.do(laptop, "status", {"status": "online"})
    assert [news["status"] for _, news in told(place)] == ["online"]
    place.resume(bob)
    place.leave(bob, "r1")
    busy(place, laptop)
    assert told(place) == []
    place.detach(bob)
    place.end(bob)
    assert place.chat._presence._detached == {}


def test_what_is_much_is_told_in_several_turns() -> None:
    count = TOLD_AT_ONCE // 2 + 10
    place = Place(status_max_members=2 * count)
    ann = place.enter("ann", "r1", "r2")
    for one in [place.enter(f"u{n}", "r1", "r2") for n in range(count)]:
        place.end(one)
    first = told(place)
    assert len(first) == TOLD_AT_ONCE
    # What comes meanwhile is told behind it.
    busy(place, ann)
    rest = told(place, 0.0)
    assert [news["user"] for _, news in rest[-2:]] == ["user:ann"] * 2
    assert len({(room, news["user"]) for room, news in first + rest[:-2]}) == 2 * count
    assert len(first) + len(rest) == 2 * count + 2
    assert told(place) == []


def test_who_is_back_at_once_is_told_as_he_is() -> None:
    place, _, bob = room_of_two()
    place.end(bob)
    place.enter("bob", "r1")
    assert [news["status"] for _, news in told(place)] == ["online"]


def test_members_of_many_are_told_nothing() -> None:
    place, ann, bob = room_of_two(status_max_members=2)
    busy(place, ann)
    cat = place.enter("cat", "r1")
    busy(place, bob)
    assert told(place) == []
    place.end(cat)
    assert told(place) == [("r1", of("cat", "offline", place.wall_ms() - 1_000))]
    silent, ann, _ = room_of_two(status_max_members=0)
    busy(silent, ann)
    assert told(silent) == []


def test_a_room_that_is_empty_by_then_is_told_nothing() -> None:
    place, ann, bob = room_of_two()
    busy(place, ann)
    place.end(ann)
    place.end(bob)
    assert told(place) == []


def test_the_words_of_who_is_muted_are_not_told_there() -> None:
    place, ann, bob = owned()
    place.join(bob, "r2")
    place.do(ann, "mute", {"user": "user:bob"})
    busy(place, bob)
    assert {room: news.get("text") for room, news in told(place)} == {
        "r1": None,
        "r2": "writing",
    }


def test_the_words_pass_the_filters() -> None:
    verdicts: list[Verdict] = [Rewrite("*" * 150), Shadow(), Reject("no")]
    place = Place(FilterChain([("f", lambda given: verdicts.pop(0))]))
    ann = place.enter("ann")
    busy(place, ann)
    assert ask(place, ann, "user:ann")[0]["text"] == "*" * 100
    busy(place, ann)
    assert "text" not in ask(place, ann, "user:ann")[0]
    data = {"status": "away", "text": "darn"}
    assert refusal(place, ann, "status", data) is ErrorCode.NOT_ALLOWED
    assert ask(place, ann, "user:ann")[0]["status"] == "busy"
    place.do(ann, "status", {"status": "away"})


def test_that_the_gateway_lives_is_noted_now_and_then() -> None:
    place = Place()
    place.enter("ann")
    for seconds, beat in ((0, b"1000000"), (9, b"1000000"), (1, b"1010000")):
        told(place, seconds)
        assert place.state.get("beat/acme") == beat
