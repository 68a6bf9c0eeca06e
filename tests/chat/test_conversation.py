from __future__ import annotations

import pytest

from support.chat_place import Place, owned, refusal, room_of_two
from wsprism_chat.conversation import ERASE_EVERY, erased
from wsprism_chat.direct import direct_room
from wsprism_chat.filters import (
    Allow,
    FilterChain,
    FilterInput,
    Reject,
    Rewrite,
    Shadow,
    Verdict,
)
from wsprism_chat.mentions import OUTSIDE_PER_MINUTE
from wsprism_core import (
    Ack,
    Broadcast,
    ErrorCode,
    ProtocolError,
    Push,
)


def test_what_is_sent_goes_to_everyone_and_the_ack_carries_its_id() -> None:
    place, ann, _ = room_of_two()
    assert place.do(ann, "send", {"msg": "hello"}) == [
        Broadcast(
            "msg",
            {"id": "id1", "from": "user:ann", "msg": "hello"},
            room="r1",
            ack={"id": "id1"},
        )
    ]
    assert place.say(ann, "hello") == "id2"


def test_the_clients_id_tells_a_retry_and_is_not_sent_on() -> None:
    place, ann, _ = room_of_two()
    (sent,) = place.do(ann, "send", {"msg": "hello", "id": "mine", "reply_to": "id0"})
    assert sent.dedup == "mine"
    assert sent.data == {
        "id": "id1",
        "from": "user:ann",
        "msg": "hello",
        "reply_to": "id0",
    }


@pytest.mark.parametrize("character", ["a", "é", "語", "🦀", "\0"])
def test_the_longest_message_is_counted_in_characters(character: str) -> None:
    place, ann, _ = room_of_two(max_length=3)
    id = place.say(ann, character * 3)
    too_long = character * 4
    assert refusal(place, ann, "send", {"msg": too_long}) is ErrorCode.PAYLOAD_TOO_LARGE
    edit = {"id": id, "msg": too_long}
    assert refusal(place, ann, "edit", edit) is ErrorCode.PAYLOAD_TOO_LARGE
    with pytest.raises(ProtocolError, match="msg is 4 characters long; 3 is the most"):
        place.do(ann, "send", {"msg": too_long})


def test_a_refused_message_uses_up_no_id() -> None:
    place, ann, _ = room_of_two(max_length=1)
    refusal(place, ann, "send", {"msg": "aa"})
    assert place.say(ann, "a") == "id1"


def test_only_its_sender_edits_a_message_and_versions_rise() -> None:
    place, ann, bob = owned()
    id = place.say(bob, "helo")
    (edited,) = place.do(bob, "edit", {"id": id, "msg": "hello"})
    assert edited.data == {
        "id": id,
        "from": "user:bob",
        "msg": "hello",
        "version": 2,
    }
    assert edited.ack == {"id": id, "version": 2}
    assert refusal(place, ann, "edit", {"id": id, "msg": "x"}) is ErrorCode.NOT_ALLOWED
    stale = {"id": id, "msg": "x", "version": 1}
    assert refusal(place, bob, "edit", stale) is ErrorCode.CONFLICT
    (edited,) = place.do(bob, "edit", {"id": id, "msg": "x", "version": 2})
    assert edited.data["version"] == 3


def test_versions_rise_though_the_history_is_late() -> None:
    place, ann, _ = room_of_two()
    id = place.say(ann, "one")
    held = place.rooms["r1"].held
    for version in 2, 3:
        (edited,) = place.do(ann, "edit", {"id": id, "msg": "x"})
        assert edited.data["version"] == version
        held.pop()
        place.rooms["r1"].head -= 1


def test_an_edit_comes_in_time_or_not_at_all() -> None:
    place, ann, _ = room_of_two(edit_window_s=60)
    id = place.say(ann, "one")
    place.time += 60
    place.do(ann, "edit", {"id": id, "msg": "two"})
    place.time += 0.1
    assert refusal(place, ann, "edit", {"id": id, "msg": "x"}) is ErrorCode.NOT_ALLOWED
    place.do(ann, "delete", {"id": id})


def test_without_a_window_one_may_edit_for_ever() -> None:
    place, ann, _ = room_of_two(edit_window_s=0)
    id = place.say(ann, "one")
    place.time += 10**9
    place.do(ann, "edit", {"id": id, "msg": "two"})


def test_a_message_is_deleted_by_its_sender_or_a_moderator_once() -> None:
    place, ann, bob = owned()
    mine, his = place.say(ann, "mine"), place.say(bob, "his")
    assert refusal(place, bob, "delete", {"id": mine}) is ErrorCode.NOT_ALLOWED
    (gone,) = place.do(ann, "delete", {"id": his})
    assert gone.data == {"id": his, "by": "user:ann", "version": 2}
    assert gone.ack == {"id": his, "version": 2}
    for type, data in (("delete", {"id": his}), ("edit", {"id": his, "msg": "x"})):
        assert refusal(place, bob, type, data) is ErrorCode.NOT_FOUND
    place.do(ann, "delete", {"id": mine})


def test_one_erases_oneself_and_a_moderator_those_below() -> None:
    place, ann, bob = owned()
    place.say(bob, "one")
    assert place.do(bob, "erase", {"user": "user:bob"}) == [
        Broadcast(
            "erased",
            {"user": "user:bob", "by": "user:bob"},
            room="r1",
            ack={"user": "user:bob", "count": 1},
        )
    ]
    assert refusal(place, bob, "erase", {"user": "user:ann"}) is ErrorCode.NOT_ALLOWED
    place.say(bob, "two")
    place.do(ann, "erase", {"user": "user:bob"})
    (page,) = place.do(bob, "history")
    assert [one["deleted"] for one in page.data["messages"]] == [True, True]


def test_where_nothing_is_left_to_erase_nothing_is_told() -> None:
    place, ann, bob = owned()
    id = place.say(bob, "one")
    place.do(ann, "mute", {"user": "user:bob"})
    head = place.rooms["r1"].head
    me = {"user": "user:bob"}
    for nobody in (me, {"user": "user:none"}):
        place.do(ann, "erase", nobody)
        head = place.rooms["r1"].head
        for _ in range(3):
            assert place.do(ann, "erase", nobody) == [Ack({**nobody, "count": 0})]
            assert place.do(bob, "erase", me) == [Ack({**me, "count": 0})]
    assert place.rooms["r1"].head == head == 2
    assert refusal(place, ann, "delete", {"id": id}) is ErrorCode.NOT_FOUND


def test_one_erases_now_and_then() -> None:
    place, ann, bob = owned()
    for user, target in ((bob, "bob"), (ann, "bob")):
        data = {"user": f"user:{target}"}
        place.say(bob, "one")
        place.do(user, "erase", data)
        place.say(bob, "two")
        assert refusal(place, user, "erase", data) is ErrorCode.RATE_LIMITED
        place.time += ERASE_EVERY
        place.do(user, "erase", data)


def test_what_an_operator_erases_names_him() -> None:
    assert erased("r1", "user:bob", by="operator").data["by"] == "operator"


def test_a_page_answers_whoever_asks() -> None:
    place, ann, _ = room_of_two()
    place.say(ann, "one")
    (page,) = place.do(ann, "history", {"limit": 1})
    assert (page.type, page.room) == ("history", "r1")
    assert page.data["messages"][0]["msg"] == "one"
    assert refusal(place, ann, "history", {"before": 2, "after": 1}) is (
        ErrorCode.BAD_REQUEST
    )


def test_a_filter_is_told_where_a_text_stands() -> None:
    seen: list[FilterInput] = []

    def look(given: FilterInput) -> Allow:
        seen.append(given)
        return Allow()

    place = Place(FilterChain([("look", look)]))
    ann = place.enter("ann", "r1")
    id = place.say(ann, "one")
    place.do(ann, "edit", {"id": id, "msg": "two"})
    assert seen == [
        FilterInput("acme", "r1", "user:ann", "one", False),
        FilterInput("acme", "r1", "user:ann", "two", True),
    ]


def test_a_text_is_said_as_the_filters_left_it() -> None:
    place = Place(FilterChain([("stars", lambda given: Rewrite("***"))]))
    ann = place.enter("ann", "r1")
    (sent,) = place.do(ann, "send", {"msg": "darn"})
    assert sent.data["msg"] == "***"
    (edited,) = place.do(ann, "edit", {"id": "id1", "msg": "darn"})
    assert edited.data["msg"] == "***"


def test_what_is_shadowed_is_shown_to_its_sender_alone() -> None:
    shadow = [False]
    chain = FilterChain([("s", lambda given: Shadow() if shadow[0] else Allow())])
    place = Place(chain)
    ann, _ = place.enter("ann", "r1"), place.enter("bob")
    id = place.say(ann, "one")
    shadow[0] = True
    said = {"id": "id2", "from": "user:ann", "msg": "@bob two"}
    assert place.do(ann, "send", {"msg": "@bob two"}) == [
        Ack({"id": "id2"}),
        Push("msg", said, user="user:ann", room="r1"),
    ]
    ack, push = place.do(ann, "edit", {"id": id, "msg": "two"})
    assert ack == Ack({"id": id, "version": 2})
    assert (push.type, push.user) == ("edited", "user:ann")


def test_members_are_named_and_those_elsewhere_are_told() -> None:
    place, ann, _ = room_of_two()
    place.enter("cat")
    msg, told = place.do(
        ann, "send", {"msg": "@bob @cat @dan @ann", "mentions": ["user:bob"]}
    )
    assert msg.data["mentions"] == ["user:bob", "user:ann"]
    assert told == Push(
        "mentioned", {"room": "r1", "id": "id1", "from": "user:ann"}, user="user:cat"
    )


def test_a_retry_tells_nobody_again() -> None:
    place, ann, _ = room_of_two()
    place.enter("cat")
    assert len(place.do(ann, "send", {"msg": "@cat", "id": "mine"})) == 2
    assert len(place.do(ann, "send", {"msg": "@cat", "id": "mine"})) == 1


def test_who_could_not_read_it_is_not_told() -> None:
    place, ann, _ = owned()
    place.enter("cat")
    place.do(ann, "ban", {"user": "user:cat"})
    assert len(place.do(ann, "send", {"msg": "@cat"})) == 1
    room = direct_room("user:ann", "user:bob")
    ann.rooms.append(room)
    assert len(place.do(ann, "send", {"msg": "@cat"}, room)) == 1


def test_whose_ticket_is_not_for_the_room_is_not_told() -> None:
    place, ann, _ = room_of_two()
    cat = place.enter("cat")
    cat.only = "elsewhere"
    assert len(place.do(ann, "send", {"msg": "@cat"})) == 1
    cat.only = "r1"
    assert len(place.do(ann, "send", {"msg": "@cat"})) == 2


def test_only_so_many_outside_are_told_in_a_minute() -> None:
    place, ann, bob = room_of_two()
    place.enter("cat")
    told = [len(place.do(ann, "send", {"msg": "@cat"})) for _ in range(40)]
    assert told == [2] * OUTSIDE_PER_MINUTE + [1] * (40 - OUTSIDE_PER_MINUTE)
    assert len(place.do(bob, "send", {"msg": "@cat"})) == 2
    place.time += 60
    assert len(place.do(ann, "send", {"msg": "@cat"})) == 2


def test_only_so_many_are_mentioned() -> None:
    place, ann, _ = room_of_two(max_mentions=1)
    place.enter("cat")
    many = {"msg": "x", "mentions": ["user:bob", "user:cat"]}
    assert refusal(place, ann, "send", many) is ErrorCode.BAD_REQUEST
    (msg,) = place.do(ann, "send", {"msg": "@bob @cat"})
    assert msg.data["mentions"] == ["user:bob"]
    (msg,) = place.do(ann, "send", {"msg": "@cat", "mentions": ["user:bob"]})
    assert msg.data["mentions"] == ["user:bob"]


def test_an_edit_may_mention_members() -> None:
    place, ann, _ = room_of_two()
    id = place.say(ann, "hi")
    (edited,) = place.do(ann, "edit", {"id": id, "msg": "hi @bob"})
    assert edited.data["mentions"] == ["user:bob"]


def test_slow_mode_counts_what_was_said_and_not_what_was_refused() -> None:
    place, ann, bob = owned(max_length=3)
    (slowed,) = place.do(ann, "slow", {"ms": 1_000})
    assert slowed == Broadcast("slowed", {"ms": 1_000}, room="r1")
    refusal(place, bob, "send", {"msg": "long"})
    place.say(bob, "one")
    assert refusal(place, bob, "send", {"msg": "two"}) is ErrorCode.RATE_LIMITED
    place.time += 1
    place.say(bob, "two")


def test_in_a_slow_room_an_edit_counts_as_a_message() -> None:
    place, ann, bob = owned()
    place.do(ann, "slow", {"ms": 1_000})
    id = place.say(bob, "one")
    edit = {"id": id, "msg": "two"}
    assert refusal(place, bob, "edit", edit) is ErrorCode.RATE_LIMITED
    place.time += 1
    place.do(bob, "edit", edit)
    assert refusal(place, bob, "send", {"msg": "three"}) is ErrorCode.RATE_LIMITED


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Reject("no"), ErrorCode.NOT_ALLOWED),
        (Rewrite("***"), ErrorCode.NOT_ALLOWED),
        (Shadow(), None),
        (Allow(), None),
    ],
)
def test_a_reaction_passes_the_filters(
    verdict: Verdict, code: ErrorCode | None
) -> None:
    def check(given: FilterInput) -> Verdict:
        return verdict if given.text == "darn" else Allow()

    place = Place(FilterChain([("f", check)]))
    ann = place.enter("ann", "r1")
    id = place.say(ann, "one")
    react = {"id": id, "emoji": "darn"}
    if code is None:
        place.do(ann, "react", react)
    else:
        assert refusal(place, ann, "react", react) is code
    place.do(ann, "react", {"id": id, "emoji": "+1"})
    (page,) = place.do(ann, "history")
    counts = {"darn": 1, "+1": 1} if verdict == Allow() else {"+1": 1}
    assert page.data["messages"][0]["reactions"] == counts
    # What is there may be taken back.
    place.do(ann, "react", {**react, "on": False})
