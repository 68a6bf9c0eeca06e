from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from random import Random
from typing import Any, cast

import pluggy
import pytest

from wsprism_chat.config import ChatConfig
from wsprism_chat.ids import ID_LENGTH
from wsprism_chat.plugin import ChatPlugin
from wsprism_core import (
    HOOK_API_VERSION,
    Broadcast,
    Envelope,
    ErrorCode,
    Gateway,
    Member,
    ProtocolError,
    Session,
)
from wsprism_core.hookspecs import PROJECT, HookSpecs
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


class StillGateway:
    """A gateway at one moment, whose rooms each hold one message."""

    random = Random(1)
    log = None
    state = MemoryState(StateBounds(9, 999))

    def count(self, counter: str) -> None:
        raise AssertionError(f"counted {counter}")

    def now(self) -> float:
        return 5.0

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Nothing is due at one moment."""

    def members(self, tenant: str, room: str) -> Sequence[Member]:
        return ()

    def member_count(self, tenant: str, room: str) -> int:
        return 0

    def forget_history(self, tenant: str, room: str) -> None:
        """Nothing is forgotten within one moment."""

    def sessions_of(self, tenant: str, user: str) -> Sequence[Session]:
        return ()

    def wall_ms(self) -> int:
        return 1_767_225_600_000

    @property
    def config(self) -> ChatConfig:
        return ChatConfig(max_length=5)

    def history(
        self,
        tenant: str,
        room: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]:
        if before == 1 or (after or 0) >= 1:
            return []
        said = {"id": "m1", "from": "user:ann", "msg": f"{tenant}/{room}"}
        return [{"svc": "chat", "type": "msg", "seq": 1, "ts": 7, "data": said}]


@dataclass
class Visitor:
    """A session, as far as chat looks at it."""

    user: str
    tenant: str
    id: str = "s1"


SEND = Envelope("chat", "send", room="r1", data={"msg": "hello"})


def started(seed: int = 1) -> ChatPlugin:
    plugin = ChatPlugin(Random(seed))
    plugin.on_start(cast("Gateway", StillGateway()))
    return plugin


def hear(plugin: ChatPlugin, message: Envelope, tenant: str = "acme") -> Any:
    session = cast("Session", Visitor(user="user:ann", tenant=tenant))
    return plugin.on_message(session, message)


def test_the_entry_point_is_the_plugin() -> None:
    (found,) = entry_points(group="wsprism", name="chat")
    assert found.load() is ChatPlugin
    assert ChatPlugin.name == found.name
    assert ChatPlugin.wsprism_api == HOOK_API_VERSION


def test_every_hook_is_one_of_the_gateways() -> None:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    manager.register(ChatPlugin(), name="chat")
    manager.check_pending()
    (service,) = manager.hook.register_services()
    assert service.name == "chat"
    callers = manager.get_hookcallers(manager.get_plugin("chat")) or ()
    assert {caller.name for caller in callers} == {
        "check_join",
        "on_close",
        "on_detach",
        "on_join",
        "on_leave",
        "on_message",
        "on_open",
        "on_resume",
        "on_start",
        "on_stop",
        "register_services",
    }


def test_a_message_goes_out_in_its_senders_name() -> None:
    sent = hear(started(), SEND)
    assert isinstance(sent, Broadcast)
    assert sent.data["from"] == "user:ann"
    assert len(sent.data["id"]) == ID_LENGTH


def test_the_configured_limit_holds() -> None:
    with pytest.raises(ProtocolError) as refused:
        hear(started(), Envelope("chat", "send", room="r1", data={"msg": "hello!"}))
    assert refused.value.code is ErrorCode.PAYLOAD_TOO_LARGE


def test_each_tenant_has_its_own_rooms() -> None:
    plugin = started()
    history = Envelope("chat", "history", room="r1", data={})
    for tenant in "acme", "umbrella", "acme":
        reply = hear(plugin, history, tenant)
        assert [said["msg"] for said in reply.data["messages"]] == [f"{tenant}/r1"]


def test_ids_follow_the_seed_and_are_unique_across_tenants() -> None:
    def ids(seed: int) -> list[str]:
        plugin = started(seed)
        return [hear(plugin, SEND, tenant).data["id"] for tenant in "abab"]

    assert ids(1) == ids(1)
    assert len({*ids(1), *ids(2)}) == 8
