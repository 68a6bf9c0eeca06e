from __future__ import annotations

from typing import cast

import pytest

from support.chat_place import Place, owned, room_of_two
from wsprism_core import (
    Ack,
    Broadcast,
    Envelope,
    ProtocolError,
    Push,
    Session,
)


def test_an_unknown_type_is_refused() -> None:
    place, ann, _ = room_of_two()
    with pytest.raises(ProtocolError, match="chat has no type 'shout'"):
        place.do(ann, "shout")


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


def test_who_leaves_types_no_more() -> None:
    place, _, bob = room_of_two()
    again = place.enter("bob", "r1")
    place.do(bob, "typing")
    place.time += 1
    assert place.leave(bob, "r1") == []
    (told,) = place.leave(again, "r1")
    assert isinstance(told, Broadcast)
    assert told.data == {"user": "user:bob", "on": False}


def test_with_the_last_member_goes_what_is_not_kept() -> None:
    place, ann, bob = owned()
    id = place.say(ann, "one")
    place.do(ann, "react", {"id": id, "emoji": "+"})
    place.do(bob, "typing")
    place.leave(ann, "r1")
    chat = place.chat
    assert len(chat._logs) == 1
    assert place.leave(bob, "r1") == []
    assert len(chat._logs) == 0
    assert chat._signals.typists == {}


def test_what_is_kept_is_there_for_the_next() -> None:
    place, ann, bob = owned()
    place.say(ann, "one")
    place.do(bob, "read", {"seq": 1})
    place.do(bob, "react", {"id": "id1", "emoji": "+"})
    place.do(ann, "ban", {"user": "user:bob"})
    again = Place(state=place.state)
    again.rooms = place.rooms
    assert again.chat.may_join("user:bob", "r1") is False
    bob = again.enter("bob", "r1")
    assert again.do(bob, "read") == [Ack({"seq": 1, "unread": 0})]
    (page,) = again.do(bob, "history")
    assert page.data["messages"][0]["reactions"] == {"+": 1}


def test_open_needs_no_room() -> None:
    place, ann, _ = room_of_two()
    message = Envelope("chat", "open", data={"user": "user:bob"})
    assert place.chat.handle(cast("Session", ann), message)
