from __future__ import annotations

import pytest

from wsprism_chat.owned import FOR_GOOD, OwnedRoom, OwnedRooms, Role
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


def a_room(**rules: object) -> OwnedRoom:
    blank: dict[str, object] = {
        "owner": "ann",
        "moderators": ["mod"],
        "invite_only": False,
        "invited": [],
        "slow_ms": 0,
        "muted": {},
        "banned": {},
    }
    return OwnedRoom(**(blank | rules))  # type: ignore[arg-type]


def test_roles_are_in_order() -> None:
    room = a_room()
    roles = [room.role(user) for user in ("bob", "mod", "ann")]
    assert roles == sorted(Role) == [Role.MEMBER, Role.MODERATOR, Role.OWNER]


def test_a_sanction_holds_until_its_end_or_for_good() -> None:
    room = a_room(muted={"bob": 1_000, "cat": FOR_GOOD}, banned={"bob": 1_000})
    assert room.is_muted("bob", 999)
    assert not room.is_muted("bob", 1_000)
    assert room.is_muted("cat", 10**15)
    assert not room.is_muted("dan", 0)
    assert room.is_banned("bob", 999)
    assert not room.is_banned("cat", 0)


def test_an_open_room_admits_all_but_the_banned() -> None:
    room = a_room(banned={"bob": FOR_GOOD})
    assert room.admits("cat", 0)
    assert not room.admits("bob", 0)


def test_a_closed_room_admits_who_is_invited_and_who_has_a_role() -> None:
    room = a_room(invite_only=True, invited=["cat", "bob"], banned={"bob": FOR_GOOD})
    admitted = [
        user for user in ("ann", "mod", "cat", "bob", "dan") if room.admits(user, 0)
    ]
    assert admitted == ["ann", "mod", "cat"]


def test_rooms_are_kept_for_each_tenant() -> None:
    state = MemoryState(StateBounds(9, 9_999))
    room = a_room(banned={"bob": 1_000}, invited=["ä"])
    OwnedRooms(state, "acme").save("r1", room)
    again = OwnedRooms(state, "acme")
    assert again.get("r1") == room
    assert (len(again), again.owned_by("ann"), again.owned_by("bob")) == (1, 1, 0)
    assert OwnedRooms(state, "umbrella").get("r1") is None
    again.remove("r1")
    assert again.get("r1") is None
    assert len(OwnedRooms(state, "acme")) == 0


def test_a_draft_changes_nothing_until_it_is_saved() -> None:
    rooms = OwnedRooms(MemoryState(StateBounds(9, 9_999)), "acme")
    rooms.save("r1", a_room())
    draft = rooms.draft("r1")
    draft.banned["bob"] = FOR_GOOD
    assert rooms.get("r1") == a_room()
    rooms.save("r1", draft)
    assert rooms.get("r1") == draft
    assert "r1" in rooms
    assert "r2" not in rooms


def test_what_cannot_be_kept_is_not_so() -> None:
    rooms = OwnedRooms(MemoryState(StateBounds(9, 150)), "acme")
    rooms.save("r1", a_room())
    draft = rooms.draft("r1")
    draft.invited += ["somebody"] * 20
    with pytest.raises(ProtocolError) as refused:
        rooms.save("r1", draft)
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert rooms.get("r1") == a_room()
