from __future__ import annotations

import pytest

from support.pure import WIRE, ManualClock, session
from wsprism_core.backplane.memory import MemoryBackplane
from wsprism_core.history.memory import MemoryStore
from wsprism_core.history.port import Retention
from wsprism_core.realtime.channel import Publication, Receipt
from wsprism_core.realtime.rooms import Room, RoomRegistry
from wsprism_core.realtime.wire import Encoded, Outgoing


class Deaf:
    def published(self, publication: Publication, receipt: Receipt) -> None: ...

    def check(self, publication: Publication) -> None: ...

    def entered(self, n: int, user: str) -> None: ...

    def exited(self, n: int) -> None: ...


def a_room(registry: RoomRegistry | None = None, name: str = "lobby") -> Room:
    if registry is None:
        registry = RoomRegistry()
    room = registry.create("acme", name)
    backplane = MemoryBackplane(
        ManualClock(), MemoryStore(lambda: "epoch", lambda tenant, room: Retention())
    )
    room.channel = backplane.open("acme", name, Deaf())
    return room


def test_joining_gives_a_number_and_makes_the_room_active() -> None:
    room, ann = a_room(), session("1")
    membership = room.add(ann, quiet=False)
    assert membership.n == 1
    assert ann.active_room == "lobby"
    assert ann.number_in("lobby") == 1
    assert ann.is_member("lobby")
    assert {wire: list(one) for wire, one in room.audience.items()} == {WIRE: [ann]}


def test_after_the_active_room_is_left_there_is_none() -> None:
    lobby, arena, ann = a_room(), a_room(name="arena"), session("1")
    lobby.add(ann, quiet=False)
    arena.remove(arena.add(ann, quiet=False))
    assert ann.active_room is None
    assert ann.rooms == ("lobby",)


def test_leaving_another_room_leaves_the_active_one_active() -> None:
    lobby, arena, ann = a_room(), a_room(name="arena"), session("1")
    first = lobby.add(ann, quiet=False)
    arena.add(ann, quiet=False)
    lobby.remove(first)
    assert ann.active_room == "arena"


def test_numbers_are_not_reused() -> None:
    room, ann, bob = a_room(), session("1"), session("2")
    room.remove(room.add(ann, quiet=False))
    assert room.add(bob, quiet=False).n == 2


def test_users_are_counted_and_not_connections() -> None:
    room = a_room()
    one, two = session("1"), session("2")
    two.user = one.user
    first = room.add(one, quiet=False)
    room.add(two, quiet=False)
    assert room.users == 1
    room.remove(first)
    assert room.users == 1
    assert room.has_user(one.user)


def test_a_quiet_member_is_an_audience_and_no_company() -> None:
    room, ann = a_room(), session("1")
    membership = room.add(ann, quiet=True)
    assert membership.n == 0
    assert ann.active_room is None
    assert room.users == 0
    assert room.roster() == []
    assert not ann.is_member("lobby")
    assert ann.rooms == ()
    assert list(room.audience[WIRE]) == [ann]
    room.remove(membership)
    assert room.is_empty


def test_the_roster_pages_by_number() -> None:
    room = a_room()
    for n in range(5):
        room.add(session(str(n)), quiet=False)
    assert [row["n"] for row in room.roster(after=2, limit=2)] == [3, 4]


def test_a_room_is_found_by_name_and_alias_within_its_tenant() -> None:
    registry = RoomRegistry()
    room = a_room(registry)
    other = a_room(registry, "arena")
    assert room.alias != other.alias
    assert registry.get("acme", "lobby") is room
    assert registry.get("other", "lobby") is None
    assert registry.by_alias(room.alias) is room


def test_rooms_with_members_are_counted_by_tenant() -> None:
    registry = RoomRegistry()
    room, audience = a_room(registry), a_room(registry, "market:BTC")
    audience.add(session("1"), quiet=True)
    assert registry.in_tenant("acme") == 0
    first = room.add(session("1"), quiet=False)
    second = room.add(session("2"), quiet=False)
    room.remove(first)
    assert registry.in_tenant("acme") == 1
    assert registry.in_tenant("other") == 0
    room.remove(second)
    assert registry.in_tenant("acme") == 0


def test_nothing_is_left_of_a_room_that_is_removed() -> None:
    registry = RoomRegistry()
    room = a_room(registry)
    registry.remove(room)
    assert registry.get("acme", "lobby") is None
    assert registry.by_alias(room.alias) is None
    assert registry.in_tenant("acme") == 0
    assert registry.create("acme", "lobby").alias != room.alias


def test_the_number_in_a_room_one_is_not_in_is_an_error() -> None:
    with pytest.raises(KeyError):
        session("1").number_in("lobby")


def test_a_ping_of_the_connection_before_proves_nothing_more() -> None:
    room, ann = a_room(), session("1")
    membership = room.add(ann, quiet=False)
    membership.probed, membership.proven = 9, 4
    membership.presence_probed, membership.presence_proven = 7, 2
    membership.came_back(4)
    assert (membership.probed, membership.proven) == (4, 4)
    # An answer on the new connection proves what was proven before, and no more.
    assert (membership.presence_probed, membership.presence_proven) == (2, 2)


def test_what_is_listed_is_so_until_somebody_comes_or_goes() -> None:
    room = a_room()
    message = Encoded(Outgoing(0, envelope={"v": 1}).form(WIRE))
    room.listed[WIRE, 100] = message
    room.entered(1, "ann")
    assert not room.listed
    room.listed[WIRE, 100] = message
    room.exited(1)
    assert not room.listed
