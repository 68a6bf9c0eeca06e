from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat_place import Place, Visitor, refusal
from wsprism_chat.direct import direct_room
from wsprism_chat.filters import Allow, FilterChain, FilterInput, Rewrite, Shadow
from wsprism_chat.service import erased
from wsprism_core import (
    Ack,
    Broadcast,
    Envelope,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Push,
    Reply,
    Session,
)


def owned(**section: Any) -> tuple[Place, Visitor, Visitor]:
    """A place whose room r1 is ann's, and bob is in it."""
    place = Place(**section)
    ann = place.enter("ann", "r1")
    place.do(ann, "create")
    return place, ann, place.enter("bob", "r1")


def room_of_two(**section: Any) -> tuple[Place, Visitor, Visitor]:
    """A place with ann and bob in r1, which nobody owns."""
    place = Place(**section)
    return place, place.enter("ann", "r1"), place.enter("bob", "r1")


# ------------------------------------------------------------------------- send


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


def test_an_unknown_type_is_refused() -> None:
    place, ann, _ = room_of_two()
    with pytest.raises(ProtocolError, match="chat has no type 'shout'"):
        place.do(ann, "shout")


# --------------------------------------------------------------- edit, delete, erase


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
            ack={"user": "user:bob"},
        )
    ]
    assert refusal(place, bob, "erase", {"user": "user:ann"}) is ErrorCode.NOT_ALLOWED
    place.do(ann, "erase", {"user": "user:bob"})
    (page,) = place.do(bob, "history")
    assert [one["deleted"] for one in page.data["messages"]] == [True]


def test_what_an_operator_erases_names_him() -> None:
    assert erased("r1", "user:bob", by="operator").data["by"] == "operator"


# --------------------------------------------------------------------------- history


def test_a_page_answers_whoever_asks() -> None:
    place, ann, _ = room_of_two()
    place.say(ann, "one")
    (page,) = place.do(ann, "history", {"limit": 1})
    assert (page.type, page.room) == ("history", "r1")
    assert page.data["messages"][0]["msg"] == "one"
    assert refusal(place, ann, "history", {"before": 2, "after": 1}) is (
        ErrorCode.BAD_REQUEST
    )


def test_who_joins_is_shown_the_last_messages_where_that_is_wanted() -> None:
    place, ann, bob = room_of_two(history_on_join=1)
    session = cast("Session", bob)
    assert place.chat.joined(session, "r1") == []
    place.say(ann, "one")
    place.say(ann, "two")
    (shown,) = place.chat.joined(session, "r1")
    assert isinstance(shown, Push)
    assert (shown.session, shown.room) == (bob.id, "r1")
    assert [one["msg"] for one in shown.data["messages"]] == ["two"]
    quiet, _, bob = room_of_two()
    assert quiet.chat.joined(cast("Session", bob), "r1") == []


# --------------------------------------------------------------------------- filters


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


# -------------------------------------------------------------------------- mentions


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


# ------------------------------------------------------------------ typing, reactions


def test_typing_is_told_to_the_others_by_user() -> None:
    place, ann, _ = room_of_two()
    on = Broadcast(
        "typing",
        {"user": "user:ann", "on": True},
        room="r1",
        key="user:ann",
        exclude=ann.id,
    )
    off = Broadcast(
        "typing",
        {"user": "user:ann", "on": False},
        room="r1",
        key="user:ann",
        exclude=ann.id,
    )
    assert place.do(ann, "typing", {"on": False}) == []
    assert place.do(ann, "typing") == [on]
    assert place.do(ann, "typing") == []
    place.time += 1
    assert place.do(ann, "typing", {"on": False}) == [off]
    place.time += 1
    assert place.do(ann, "typing") == [on]
    place.time += 10
    assert place.chat.tick() == [off]
    place.time += 1
    assert place.chat.tick() == []
    assert place.chat._typing == {}


def test_only_so_many_type_at_once() -> None:
    place, ann, bob = room_of_two(typing_max_users=1)
    place.do(ann, "typing")
    assert refusal(place, bob, "typing") is ErrorCode.RESOURCE_EXHAUSTED


def test_who_leaves_types_no_more() -> None:
    place, _, bob = room_of_two()
    again = place.enter("bob", "r1")
    place.do(bob, "typing")
    place.time += 1
    assert place.leave(bob, "r1") == []
    (told,) = place.leave(again, "r1")
    assert isinstance(told, Broadcast)
    assert told.data == {"user": "user:bob", "on": False}


def test_reactions_are_told_by_message_when_they_are_due() -> None:
    place, ann, bob = room_of_two()
    id = place.say(ann, "one")
    for who in ann, bob:
        assert place.do(who, "react", {"id": id, "emoji": "+"}) == []
    told = {"id": id, "counts": {"+": 2}}
    assert place.chat.tick() == [Broadcast("reactions", told, room="r1", key=id)]
    assert place.chat.tick() == []
    (page,) = place.do(ann, "history")
    assert page.data["messages"][0]["reactions"] == {"+": 2}
    place.do(ann, "delete", {"id": id})
    assert refusal(place, bob, "react", {"id": id, "emoji": "+"}) is ErrorCode.NOT_FOUND
    assert place.chat.tick() == []


def test_a_message_takes_only_so_many_reactions() -> None:
    place, ann, bob = room_of_two(reactions_max_kinds=2, reactions_max=2)
    id = place.say(ann, "one")
    place.do(ann, "react", {"id": id, "emoji": "a"})
    place.do(ann, "react", {"id": id, "emoji": "b"})
    full = ErrorCode.RESOURCE_EXHAUSTED
    assert refusal(place, ann, "react", {"id": id, "emoji": "c"}) is full
    assert refusal(place, bob, "react", {"id": id, "emoji": "a"}) is full


def test_with_the_last_member_goes_what_is_not_kept() -> None:
    place, ann, bob = owned()
    id = place.say(ann, "one")
    place.do(ann, "react", {"id": id, "emoji": "+"})
    place.do(bob, "typing")
    place.leave(ann, "r1")
    chat = place.chat
    assert chat._logs
    assert place.leave(bob, "r1") == []
    kept: list[dict[str, Any]] = [chat._logs, chat._typing, chat._reactions]
    assert kept == [{}, {}, {}]


# ---------------------------------------------------------------------------- reading


def test_a_mark_is_told_in_small_rooms_alone() -> None:
    place, ann, bob = room_of_two(receipts_max_members=2)
    place.say(ann, "one")
    place.say(ann, "two")
    assert place.do(bob, "read", {"seq": 1}) == [
        Broadcast("read", {"user": "user:bob", "seq": 1}, room="r1", key="user:bob"),
        Ack({"seq": 1, "unread": 1}),
    ]
    place.enter("cat", "r1")
    assert place.do(bob, "read", {"seq": 2}) == [Ack({"seq": 2, "unread": 0})]
    assert place.do(bob, "read", {"seq": 1}) == [Ack({"seq": 2, "unread": 0})]
    silent, ann, bob = room_of_two(receipts_max_members=0)
    silent.say(ann, "one")
    assert silent.do(bob, "read", {"seq": 1}) == [Ack({"seq": 1, "unread": 0})]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=30))
def test_a_mark_never_goes_back_nor_beyond_the_head(
    steps: list[tuple[bool, int]],
) -> None:
    place, ann, bob = room_of_two()
    mark = said = 0
    for speaks, seq in steps:
        if speaks:
            place.say(ann, "x")
            said += 1
            continue
        mark = max(mark, min(seq, said))
        assert place.do(bob, "read", {"seq": seq})[-1] == Ack(
            {"seq": mark, "unread": said - mark}
        )


# ----------------------------------------------------------------------- direct rooms


def test_both_are_joined_and_the_other_is_told_with_whom() -> None:
    place, ann, bob = room_of_two()
    phone = place.enter("ann")
    room = direct_room("user:ann", "user:bob")
    assert place.do(ann, "open", {"user": "user:bob"}) == [
        JoinRoom(ann.id, room, active=False),
        JoinRoom(phone.id, room, active=False),
        Push("opened", {"room": room, "user": "user:bob"}, session=phone.id),
        JoinRoom(bob.id, room, active=False),
        Push("opened", {"room": room, "user": "user:ann"}, session=bob.id),
        Reply("opened", {"room": room, "user": "user:bob"}),
    ]
    for one in ann, phone, bob:
        one.rooms.append(room)
    assert place.do(bob, "open", {"user": "user:ann"}) == [
        Reply("opened", {"room": room, "user": "user:ann"})
    ]


def test_nobody_is_in_more_direct_rooms_than_he_may() -> None:
    place, ann, bob = room_of_two(max_direct_rooms=1)
    place.enter("cat")
    bob.rooms.append(direct_room("user:bob", "user:cat"))
    actions = place.do(ann, "open", {"user": "user:bob"})
    assert [one.session for one in actions if isinstance(one, JoinRoom)] == [ann.id]
    ann.rooms.append(direct_room("user:ann", "user:bob"))
    full = ErrorCode.RESOURCE_EXHAUSTED
    assert refusal(place, ann, "open", {"user": "user:cat"}) is full
    # The one that he is in he may open again.
    place.do(ann, "open", {"user": "user:bob"})
    assert refusal(place, ann, "open", {"user": "user:ann"}) is ErrorCode.BAD_REQUEST


# ------------------------------------------------------------------ rules of the room


def test_a_room_tells_its_rules() -> None:
    place, ann, bob = owned()
    place.do(ann, "promote", {"user": "user:mod"})
    place.do(ann, "mute", {"user": "user:bob"})
    (rules,) = place.do(bob, "rules")
    assert rules.data == {
        "owner": "user:ann",
        "moderators": ["user:mod"],
        "role": "member",
        "invite_only": False,
        "slow_ms": 0,
        "muted": True,
    }
    place.do(ann, "close")
    (rules,) = place.do(ann, "rules")
    assert (rules.data["owner"], rules.data["role"]) == (None, "member")


def test_who_is_muted_says_nothing_in_any_way() -> None:
    place, ann, bob = owned()
    id = place.say(bob, "one")
    place.do(bob, "typing")
    place.time += 1
    muted, quiet = place.do(ann, "mute", {"user": "user:bob", "for_s": 5})
    assert muted.data == {
        "user": "user:bob",
        "by": "user:ann",
        "until_ms": place.wall_ms() + 5_000,
    }
    assert quiet.data == {"user": "user:bob", "on": False}
    for type, data in (
        ("send", {"msg": "x"}),
        ("edit", {"id": id, "msg": "x"}),
        ("typing", None),
        ("react", {"id": id, "emoji": "+"}),
    ):
        assert refusal(place, bob, type, data) is ErrorCode.NOT_ALLOWED
    place.do(bob, "history")
    place.do(bob, "delete", {"id": id})
    (told,) = place.do(ann, "unmute", {"user": "user:bob"})
    assert told.data == {"user": "user:bob", "by": "user:ann"}
    place.say(bob, "again")


def test_a_ban_takes_every_session_out_and_a_kick_lets_it_come_again() -> None:
    place, ann, bob = owned()
    phone = place.enter("bob", "r1")
    told = {"user": "user:bob", "by": "user:ann"}
    gone = {**told, "room": "r1"}
    assert place.do(ann, "kick", {"user": "user:bob"}) == [
        LeaveRoom(bob.id, "r1"),
        Push("kicked", gone, session=bob.id),
        LeaveRoom(phone.id, "r1"),
        Push("kicked", gone, session=phone.id),
        Broadcast("kicked", told, room="r1"),
    ]
    assert refusal(place, ann, "kick", {"user": "user:bob"}) is ErrorCode.NOT_FOUND
    assert place.chat.may_join("user:bob", "r1") is None
    bob.rooms.append("r1")
    *_, banned = place.do(ann, "ban", {"user": "user:bob"})
    assert banned == Broadcast("banned", told, room="r1")
    assert place.chat.may_join("user:bob", "r1") is False
    bob.rooms.append("r1")
    assert place.chat.resumed(cast("Session", bob)) == [LeaveRoom(bob.id, "r1")]
    assert refusal(place, bob, "send", {"msg": "x"}) is ErrorCode.NOT_ALLOWED
    place.do(ann, "unban", {"user": "user:bob"})
    assert place.chat.resumed(cast("Session", bob)) == []


def test_roles_are_told_to_the_room() -> None:
    place, ann, _ = owned()
    told = [
        one.data
        for type in ("promote", "demote", "hand_over")
        for one in place.do(ann, type, {"user": "user:bob"})
    ]
    assert told == [
        {"user": "user:bob", "role": "moderator"},
        {"user": "user:bob", "role": "member"},
        {"user": "user:bob", "role": "owner"},
        {"user": "user:ann", "role": "moderator"},
    ]


def test_a_guest_is_told_once_that_he_may_come() -> None:
    place, ann, _ = owned()
    invite = {"user": "user:cat"}
    assert place.do(ann, "invite", invite) == [
        Push("invited", {"room": "r1", "by": "user:ann"}, user="user:cat")
    ]
    assert place.do(ann, "invite", invite) == []
    place.do(ann, "uninvite", invite)
    assert len(place.do(ann, "invite", invite)) == 1


def test_a_room_with_others_in_it_is_nobodys_to_take() -> None:
    place, ann, _ = room_of_two()
    assert refusal(place, ann, "create") is ErrorCode.NOT_ALLOWED


def test_what_is_kept_is_there_for_the_next() -> None:
    place, ann, bob = owned()
    place.say(ann, "one")
    place.do(bob, "read", {"seq": 1})
    place.do(ann, "ban", {"user": "user:bob"})
    again = Place(state=place.state)
    again.rooms = place.rooms
    assert again.chat.may_join("user:bob", "r1") is False
    bob = again.enter("bob", "r1")
    assert again.do(bob, "read") == [Ack({"seq": 1, "unread": 0})]


def test_slow_mode_counts_what_was_said_and_not_what_was_refused() -> None:
    place, ann, bob = owned(max_length=3)
    (slowed,) = place.do(ann, "slow", {"ms": 1_000})
    assert slowed == Broadcast("slowed", {"ms": 1_000}, room="r1")
    refusal(place, bob, "send", {"msg": "long"})
    place.say(bob, "one")
    assert refusal(place, bob, "send", {"msg": "two"}) is ErrorCode.RATE_LIMITED
    place.time += 1
    place.say(bob, "two")


def test_open_needs_no_room() -> None:
    place, ann, _ = room_of_two()
    message = Envelope("chat", "open", data={"user": "user:bob"})
    assert place.chat.handle(cast("Session", ann), message)
