from __future__ import annotations

from typing import cast

import pytest

from support.chat_place import Place, owned, refusal, room_of_two
from wsprism_core import (
    Broadcast,
    ErrorCode,
    LeaveRoom,
    ProtocolError,
    Push,
    Session,
)


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


def test_who_is_away_is_kicked_as_well() -> None:
    place, ann, bob = owned()
    place.detach(bob)
    gone, *_, told = place.do(ann, "kick", {"user": "user:bob"})
    assert gone == LeaveRoom(bob.id, "r1")
    assert told.type == "kicked"
    assert place.member_count("r1") == 1


def test_a_room_is_handed_over_to_a_member_alone() -> None:
    place, ann, bob = owned()
    place.enter("cat")
    for nobody in "user:cat", "user:none":
        data = {"user": nobody}
        assert refusal(place, ann, "hand_over", data) is ErrorCode.NOT_FOUND
    place.detach(bob)
    place.do(ann, "hand_over", {"user": "user:bob"})


def test_handing_rooms_over_makes_no_more_of_them() -> None:
    place = Place(max_created_per_hour=3, max_rooms_per_user=2)
    eve, ann = place.enter("eve"), place.enter("ann")
    for n in range(3):
        place.join(eve, f"r{n}")
        place.do(eve, "create", room=f"r{n}")
        place.join(ann, f"r{n}")
        if n < 2:
            place.do(eve, "hand_over", {"user": "user:ann"}, room=f"r{n}")
    over = {"user": "user:ann"}
    with pytest.raises(ProtocolError) as full:
        place.do(eve, "hand_over", over, room="r2")
    assert full.value.code is ErrorCode.RESOURCE_EXHAUSTED
    place.do(eve, "close", room="r2")
    place.join(eve, "r3")
    with pytest.raises(ProtocolError) as often:
        place.do(eve, "create", room="r3")
    assert often.value.code is ErrorCode.RATE_LIMITED
    assert often.value.retry_after_ms == 3_600_000
    place.time += 3_600
    place.do(eve, "create", room="r3")


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


def test_only_the_owner_closes_a_room_with_its_past() -> None:
    place = Place()
    ann = place.enter("ann", "r1")
    place.do(ann, "create", {"invite_only": True})
    place.do(ann, "invite", {"user": "user:bob"})
    bob = place.enter("bob", "r1")
    place.say(ann, "one")
    assert refusal(place, bob, "close") is ErrorCode.NOT_ALLOWED
    (page,) = place.do(bob, "history")
    assert len(page.data["messages"]) == 1
    place.do(ann, "close")
    (page,) = place.do(bob, "history")
    assert page.data["messages"] == []


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
