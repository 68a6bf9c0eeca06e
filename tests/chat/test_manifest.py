from __future__ import annotations

from wsprism_chat.config import ChatConfig
from wsprism_chat.manifest import REFUSED_AT_BOUND, manifest
from wsprism_core import Delivery, Inbound, Outbound, RoomRule


def erase(tenant: str, room: str, user: str) -> None:
    """Stand for what the plugin offers."""


CHAT = manifest(erase)
KINDS: tuple[Inbound | Outbound, ...] = (*CHAT.inbound, *CHAT.outbound)
EVENTS = {"msg", "edited", "deleted", "erased"}
LATEST = {"typing", "reactions", "read", "status"}


def test_chat_owns_its_name_and_id() -> None:
    assert (CHAT.name, CHAT.svc_id) == ("chat", 2)
    assert CHAT.config is ChatConfig
    assert CHAT.opcodes == ()
    assert CHAT.offers == {"erase": erase}
    assert REFUSED_AT_BOUND in CHAT.counters


def test_only_members_of_a_room_are_heard() -> None:
    others = {one.name for one in CHAT.inbound if one.room is not RoomRule.MEMBER}
    assert others == {"open", "status", "presence"}


def test_what_changes_a_room_is_numbered_and_never_dropped_silently() -> None:
    assert {one.name for one in CHAT.outbound if one.recoverable} == EVENTS


def test_of_what_passes_only_the_newest_counts() -> None:
    by_delivery = {one.name: one.delivery for one in CHAT.outbound}
    assert {name for name, how in by_delivery.items() if how is Delivery.LATEST} == (
        LATEST
    )
    assert set(by_delivery.values()) == {Delivery.LATEST, Delivery.RELIABLE}


def test_what_is_asked_for_in_pages_rides_bulk_and_all_else_interactive() -> None:
    for one in KINDS:
        lane = one.lane or CHAT.lane
        is_page = one.name in {"history", "presence"}
        assert lane == ("bulk" if is_page else "interactive")


def test_every_type_says_what_it_is_for() -> None:
    assert all(one.summary for one in KINDS)
