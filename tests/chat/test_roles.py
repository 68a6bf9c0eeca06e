from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from wsprism_chat.config import ChatConfig
from wsprism_chat.direct import direct_room
from wsprism_chat.owned import OwnedRooms, Role
from wsprism_chat.roles import Roles
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


def some_roles(**limits: Any) -> Roles:
    rooms = OwnedRooms(MemoryState(StateBounds(99, 99_999)), "acme")
    return Roles(ChatConfig(**limits), rooms)


def owned(**limits: Any) -> Roles:
    roles = some_roles(**limits)
    roles.create("ann", "r1", {"invite_only": True}, alone=True, now=0)
    return roles


def refused(do: Any, *args: Any, **named: Any) -> ErrorCode:
    with pytest.raises(ProtocolError) as refusal:
        do(*args, **named)
    return refusal.value.code


def test_a_room_without_an_owner_has_members_alone() -> None:
    roles = some_roles()
    assert roles.of("ann", "r1") is Role.MEMBER
    assert roles.may_join("ann", "r1", 0) is None
    for do in roles.invite, roles.uninvite, roles.promote, roles.demote:
        assert refused(do, "ann", "r1", "bob") is ErrorCode.NOT_ALLOWED
    assert refused(roles.close, "ann", "r1") is ErrorCode.NOT_ALLOWED
    hand_over = partial(roles.hand_over, present=True)
    assert refused(hand_over, "ann", "r1", "bob") is ErrorCode.NOT_ALLOWED


def test_who_is_alone_in_a_room_may_own_it_once() -> None:
    roles = some_roles()
    assert refused(roles.create, "ann", "r1", None, alone=False, now=0) is (
        ErrorCode.NOT_ALLOWED
    )
    roles.create("ann", "r1", None, alone=True, now=0)
    assert roles.of("ann", "r1") is Role.OWNER
    assert (
        refused(roles.create, "bob", "r1", None, alone=True, now=0)
        is ErrorCode.CONFLICT
    )
    roles.close("ann", "r1")
    roles.create("bob", "r1", {"slow_ms": 5}, alone=True, now=0)
    assert roles.of("bob", "r1") is Role.OWNER


def test_only_so_many_rooms_are_owned() -> None:
    roles = some_roles(max_rooms=2, max_rooms_per_user=1)
    roles.create("ann", "r1", None, alone=True, now=0)
    exhausted = ErrorCode.RESOURCE_EXHAUSTED
    assert refused(roles.create, "ann", "r2", None, alone=True, now=0) is exhausted
    roles.create("bob", "r2", None, alone=True, now=0)
    assert refused(roles.hand_over, "ann", "r1", "bob", present=True) is exhausted
    assert refused(roles.create, "cat", "r3", None, alone=True, now=0) is exhausted


def test_nobody_owns_a_direct_room_and_only_two_join_it() -> None:
    roles = some_roles()
    room = direct_room("ann", "bob")
    assert (
        refused(roles.create, "ann", room, None, alone=True, now=0)
        is ErrorCode.NOT_ALLOWED
    )
    assert roles.may_join("ann", room, 0) is None
    assert roles.may_join("eve", room, 0) is False


def test_invites_open_a_closed_room() -> None:
    roles = owned(max_invited=1)
    assert roles.may_join("bob", "r1", 0) is False
    assert refused(roles.invite, "bob", "r1", "bob") is ErrorCode.NOT_ALLOWED
    assert roles.invite("ann", "r1", "bob") is True
    assert roles.invite("ann", "r1", "bob") is False
    assert roles.may_join("bob", "r1", 0) is None
    assert refused(roles.invite, "ann", "r1", "cat") is ErrorCode.RESOURCE_EXHAUSTED
    roles.uninvite("ann", "r1", "bob")
    assert roles.may_join("bob", "r1", 0) is False
    assert refused(roles.uninvite, "ann", "r1", "bob") is ErrorCode.NOT_FOUND


def test_the_owner_names_moderators() -> None:
    roles = owned(max_moderators=1)
    roles.promote("ann", "r1", "bob")
    assert roles.of("bob", "r1") is Role.MODERATOR
    assert refused(roles.promote, "ann", "r1", "bob") is ErrorCode.CONFLICT
    assert refused(roles.promote, "ann", "r1", "ann") is ErrorCode.CONFLICT
    assert refused(roles.promote, "ann", "r1", "cat") is ErrorCode.RESOURCE_EXHAUSTED
    assert refused(roles.promote, "bob", "r1", "cat") is ErrorCode.NOT_ALLOWED
    assert refused(roles.demote, "cat", "r1", "bob") is ErrorCode.NOT_ALLOWED
    assert refused(roles.demote, "ann", "r1", "cat") is ErrorCode.NOT_FOUND
    roles.demote("bob", "r1", "bob")
    assert roles.of("bob", "r1") is Role.MEMBER
    assert roles.may_join("bob", "r1", 0) is None


def test_an_owner_who_hands_over_moderates() -> None:
    roles = owned()
    roles.promote("ann", "r1", "bob")
    hand_over = partial(roles.hand_over, present=True)
    assert refused(hand_over, "bob", "r1", "bob") is ErrorCode.NOT_ALLOWED
    assert refused(hand_over, "ann", "r1", "ann") is ErrorCode.CONFLICT
    absent = refused(roles.hand_over, "ann", "r1", "bob", present=False)
    assert absent is ErrorCode.NOT_FOUND
    hand_over("ann", "r1", "bob")
    assert [roles.of(user, "r1") for user in ("ann", "bob")] == [
        Role.MODERATOR,
        Role.OWNER,
    ]
    assert refused(roles.close, "ann", "r1") is ErrorCode.NOT_ALLOWED


def test_only_so_many_rooms_are_created_in_an_hour_whoever_owns_them() -> None:
    roles = some_roles(max_created_per_hour=2)
    for now, room in enumerate(("r1", "r2")):
        roles.create("ann", room, None, alone=True, now=now)
        roles.close("ann", room)
    often = refused(roles.create, "ann", "r3", None, alone=True, now=3_599)
    assert often is ErrorCode.RATE_LIMITED
    roles.create("bob", "r3", None, alone=True, now=3_599)
    roles.create("ann", "r4", None, alone=True, now=3_600)
