from __future__ import annotations

from wsprism_chat.config import ChatConfig
from wsprism_chat.manifest import CHAT
from wsprism_core import Delivery, RoomRule


def test_chat_owns_its_name_and_id() -> None:
    assert (CHAT.name, CHAT.svc_id) == ("chat", 2)
    assert CHAT.config is ChatConfig
    assert CHAT.opcodes == ()


def test_only_members_of_a_room_are_heard() -> None:
    assert {inbound.name: inbound.room for inbound in CHAT.inbound} == {
        "send": RoomRule.MEMBER,
        "history": RoomRule.MEMBER,
    }


def test_messages_are_numbered_and_never_dropped_silently() -> None:
    outbound = {one.name: one for one in CHAT.outbound}
    assert outbound["msg"].recoverable
    assert not outbound["history"].recoverable
    assert {one.delivery for one in CHAT.outbound} == {Delivery.RELIABLE}


def test_history_rides_bulk_and_all_else_interactive() -> None:
    inbound = {one.name: one.lane or CHAT.lane for one in CHAT.inbound}
    outbound = {one.name: one.lane or CHAT.lane for one in CHAT.outbound}
    assert inbound == {"send": "interactive", "history": "bulk"}
    assert outbound == {"msg": "interactive", "history": "bulk"}
