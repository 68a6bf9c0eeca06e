from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import pytest
from pydantic import TypeAdapter, ValidationError

from wsprism_core import (
    Actions,
    Delivery,
    Envelope,
    Gateway,
    JoinRoom,
    LeaveRoom,
    Push,
    Session,
)
from wsprism_game.party.config import PartyConfig
from wsprism_game.party.plugin import PartyPlugin

#: The first id that the seeded plugin gives.
FIRST = "c209629f6fbed82c07cd"


class FakeGateway:
    """A clock that a test turns, and a list of what was performed."""

    def __init__(self) -> None:
        self.time = 10.0
        self.done: list[tuple[str, Actions]] = []
        self.work: Callable[[], None] | None = None
        self.random = Random()

    def now(self) -> float:
        return self.time

    @property
    def config(self) -> PartyConfig:
        return PartyConfig(invite_ttl_ms=5_000, away_grace_ms=2_000)

    def perform(self, actions: Actions, *, tenant: str) -> None:
        if actions:
            self.done.append((tenant, actions))

    def every(self, seconds: float, work: Callable[[], None]) -> FakeGateway:
        self.work = work
        return self

    def cancel(self) -> None:
        self.work = None

    def pass_seconds(self, seconds: float) -> None:
        assert self.work is not None
        self.time += seconds
        self.work()


@dataclass
class FakeSession:
    id: str
    user: str
    tenant: str = "acme"
    rooms: tuple[str, ...] = ()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def plugin(gateway: FakeGateway) -> PartyPlugin:
    plugin = PartyPlugin(Random(0))
    plugin.on_start(cast("Gateway", gateway))
    return plugin


def connect(plugin: PartyPlugin, user: str, tenant: str = "acme") -> Session:
    session = cast("Session", FakeSession(f"{user}1", user, tenant))
    plugin.on_open(session)
    return session


def ask(plugin: PartyPlugin, session: Session, type: str, data: Any = None) -> Any:
    return plugin.on_message(session, Envelope("party", type, data=data))


def party_of(plugin: PartyPlugin, session: Session) -> dict[str, Any] | None:
    of = plugin.register_services().offers["of"]
    state: dict[str, Any] | None = of(session.tenant, session.user)
    return state


def test_other_services_may_ask_for_a_users_party(plugin: PartyPlugin) -> None:
    ann = connect(plugin, "ann")
    assert party_of(plugin, ann) is None
    ask(plugin, ann, "create", {"max_size": 4})
    assert party_of(plugin, ann) == {
        "id": FIRST,
        "version": 1,
        "leader": "ann",
        "members": [{"user": "ann", "status": "online"}],
        "invites": [],
        "max_size": 4,
    }


def test_no_two_parties_have_one_id(plugin: PartyPlugin) -> None:
    ann, bob = connect(plugin, "ann"), connect(plugin, "ann", "evil")
    ids = set()
    for session in (ann, bob, ann):
        ask(plugin, session, "create")
        ids.add((party_of(plugin, session) or {})["id"])
        ask(plugin, session, "leave")
    assert len(ids) == 3
    assert {len(id) for id in ids} == {20}


def test_two_gateways_give_no_id_twice(gateway: FakeGateway) -> None:
    ids = set()
    for plugin in (PartyPlugin(), PartyPlugin()):
        plugin.on_start(cast("Gateway", gateway))
        ann = connect(plugin, "ann")
        ask(plugin, ann, "create")
        ids.add((party_of(plugin, ann) or {})["id"])
    assert len(ids) == 2


def test_tenants_are_apart(plugin: PartyPlugin) -> None:
    ann, other = connect(plugin, "ann"), connect(plugin, "ann", "evil")
    ask(plugin, ann, "create")
    assert party_of(plugin, other) is None
    room = f"party:{FIRST}"
    assert plugin.check_join(ann, room) is None
    assert plugin.check_join(other, room) is False


def test_time_ends_invites_and_graces(
    plugin: PartyPlugin, gateway: FakeGateway
) -> None:
    ann, bob = connect(plugin, "ann"), connect(plugin, "bob", "evil")
    ask(plugin, ann, "create")
    ask(plugin, bob, "create")
    ask(plugin, ann, "invite", {"user": "cat"})
    plugin.on_close(bob)
    gateway.pass_seconds(1.9)
    assert gateway.done == []
    gateway.pass_seconds(0.1)
    [(tenant, _)] = gateway.done
    assert tenant == "evil"
    assert party_of(plugin, bob) is None
    gateway.pass_seconds(3.0)
    tenant, actions = gateway.done[1]
    assert tenant == "acme"
    assert isinstance(actions, list)
    gone = {"party": FIRST, "reason": "expired"}
    assert actions[0] == Push("invite_gone", gone, user="cat")


def test_a_dropped_connection_is_away_until_it_resumes(plugin: PartyPlugin) -> None:
    ann = connect(plugin, "ann")
    ask(plugin, ann, "create")
    plugin.on_detach(ann)
    assert (party_of(plugin, ann) or {})["members"][0]["status"] == "away"
    actions = plugin.on_resume(ann)
    assert (party_of(plugin, ann) or {})["members"][0]["status"] == "online"
    assert JoinRoom("ann1", f"party:{FIRST}", active=False) in cast(
        "list[Any]", actions
    )


def test_a_dropped_session_ends_later(plugin: PartyPlugin) -> None:
    ann, bob = connect(plugin, "ann"), connect(plugin, "bob")
    ask(plugin, ann, "create")
    ask(plugin, ann, "invite", {"user": "bob"})
    ask(plugin, bob, "accept", {"party": FIRST})
    plugin.on_detach(bob)
    kicked = ask(plugin, ann, "kick", {"user": "bob"})
    assert LeaveRoom("bob1", f"party:{FIRST}") in kicked
    assert plugin.on_close(bob) == []


def test_a_resumed_session_keeps_its_rooms(plugin: PartyPlugin) -> None:
    ann = connect(plugin, "ann")
    ask(plugin, ann, "create")
    plugin.on_detach(ann)
    kept = FakeSession(ann.id, ann.user, rooms=(f"party:{FIRST}",))
    actions = cast("list[Any]", plugin.on_resume(cast("Session", kept)))
    assert [action.type for action in actions] == ["state"]


def test_stopping_stops_the_timer(plugin: PartyPlugin, gateway: FakeGateway) -> None:
    assert gateway.work is not None
    plugin.on_stop()
    assert gateway.work is None


# ----------------------------------------------------------------------- manifest

REFUSED: list[tuple[str, list[object]]] = [
    ("create", [[], {"max_size": 1}, {"max_size": 257}, {"max_size": "8"}, {"x": 1}]),
    ("invite", [None, {}, {"user": ""}, {"user": 7}, {"user": "a" * 257}]),
    ("invite", [{"user": "ann", "x": 1}]),
    ("accept", [None, {}, {"party": ""}, {"party": None}, {"party": "p" * 65}]),
]
TAKEN: list[tuple[str, list[object]]] = [
    ("create", [None, {}, {"max_size": 2}, {"max_size": 256}]),
    ("invite", [{"user": "a" * 256}]),
    ("kick", [{"user": "ann"}]),
    ("promote", [{"user": "ann"}]),
    ("accept", [{"party": "p1"}]),
    ("decline", [{"party": "p1"}]),
]


def check(type: str, data: object) -> object:
    """Check data as the gateway does."""
    service = PartyPlugin().register_services()
    [schema] = [inbound.schema for inbound in service.inbound if inbound.name == type]
    adapter: TypeAdapter[object] = TypeAdapter(schema)
    return adapter.validate_python(data, strict=True, extra="forbid")


@pytest.mark.parametrize(
    ("type", "data"), [(type, one) for type, many in TAKEN for one in many]
)
def test_data_that_is_taken(type: str, data: object) -> None:
    assert check(type, data) == data


@pytest.mark.parametrize(
    ("type", "data"), [(type, one) for type, many in REFUSED for one in many]
)
def test_data_that_is_refused(type: str, data: object) -> None:
    with pytest.raises(ValidationError):
        check(type, data)


def test_the_manifest_has_the_names_on_the_wire() -> None:
    service = PartyPlugin().register_services()
    assert (service.name, service.svc_id, service.opcodes) == ("party", 3, ())
    assert [inbound.name for inbound in service.inbound] == [
        *("create", "invite", "accept", "decline", "leave", "kick", "promote")
    ]
    delivery = {outbound.name: outbound.delivery for outbound in service.outbound}
    assert delivery == {
        "state": Delivery.LATEST,
        "left": Delivery.RELIABLE,
        "invited": Delivery.RELIABLE,
        "invite_gone": Delivery.RELIABLE,
    }


@pytest.mark.parametrize("name", ["default_size", "max_size"])
@pytest.mark.parametrize("size", [1, 257])
def test_sizes_out_of_range_are_refused(name: str, size: int) -> None:
    with pytest.raises(ValidationError, match=name):
        PartyConfig.model_validate({name: size})


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_sise"):
        PartyConfig.model_validate({"max_sise": 8})
