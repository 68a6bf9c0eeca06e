from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from typing_extensions import TypedDict

from wsprism_core import (
    HOOK_API_VERSION,
    Envelope,
    HotFrame,
    Inbound,
    Lane,
    Opcode,
    Outbound,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.dispatch import Wrap
from wsprism_core.plugins import PluginSet
from wsprism_core.realtime.lanes import DEFAULT_LANES
from wsprism_core.routing import ManifestError, Routes, build_routes

SAY = Inbound(name="say")
MOVE = Opcode(number=1, name="MOVE")
TICK = Opcode(number=2, name="TICK", inbound=False)
IDS = "take one of 5-127 (third parties) or 128-255 (private)"
LANES = "control, realtime, market, interactive, bulk"


class Plugin:
    """Owns services; its handlers say whose they are."""

    wsprism_api = HOOK_API_VERSION

    def __init__(self, name: str, *services: Service) -> None:
        self.name = name
        self.services = services

    @hookimpl
    def register_services(self) -> Sequence[Service]:
        return self.services


class TextPlugin(Plugin):
    @hookimpl
    def on_message(self, message: Envelope) -> Any:
        return (self.name, message)


class FullPlugin(TextPlugin):
    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Any:
        return (self.name, session, frame)


class AsyncPlugin(Plugin):
    @hookimpl
    async def on_message(self, session: Session) -> Any:
        return (self.name, session)


class WrapperPlugin(Plugin):
    @hookimpl(wrapper=True)
    def on_message(self, session: Session) -> Generator[None, Any, Any]:
        return (self.name, session, (yield))


def routes_of(*plugins: Plugin, observe: Wrap | None = None) -> Routes:
    return build_routes(PluginSet.load([], extra=plugins), observe)


def called(function: Callable[..., Any] | None, *args: object) -> Any:
    assert function is not None
    return function(*args)


# ------------------------------------------------------------------------- the tables


def test_messages_go_to_the_owner_of_their_service() -> None:
    routes = routes_of(
        TextPlugin("a", Service(name="one", inbound=(SAY,))),
        TextPlugin("b", Service(name="two", inbound=(SAY,))),
    )
    assert list(routes.services) == ["one", "two"]
    for name, owner in (("one", "a"), ("two", "b")):
        route = routes.services[name]
        assert (route.plugin, route.service.name) == (owner, name)
        assert called(route.on_message, "session", "message") == (owner, "message")
        assert not route.is_async
        assert route.inbound == {"say": SAY}


def test_frames_go_to_the_owner_of_their_id() -> None:
    routes = routes_of(
        FullPlugin("a", Service(name="one", svc_id=5, opcodes=(MOVE, TICK))),
        FullPlugin("b", Service(name="two", svc_id=255, opcodes=(MOVE,))),
        FullPlugin("c", Service(name="three")),
    )
    assert len(routes.by_id) == 256
    taken = {i: route.service.name for i, route in enumerate(routes.by_id) if route}
    assert taken == {5: "one", 255: "two"}
    assert routes.by_id[5] is routes.services["one"]
    assert called(routes.services["two"].on_binary, 1, 2) == ("b", 1, 2)


def test_only_what_clients_may_send_is_looked_up() -> None:
    service = Service(
        name="one",
        svc_id=5,
        inbound=(SAY,),
        outbound=(Outbound(name="said"),),
        opcodes=(MOVE, TICK),
    )
    route = routes_of(FullPlugin("a", service)).services["one"]
    assert route.inbound == {"say": SAY}
    assert route.opcodes == {1: MOVE}


def test_a_plugin_may_own_several_services() -> None:
    routes = routes_of(
        TextPlugin("a", Service(name="one", inbound=(SAY,)), Service(name="two"))
    )
    assert {route.plugin for route in routes.services.values()} == {"a"}
    assert routes.services["two"].on_message is None
    assert routes.services["two"].on_binary is None


async def test_an_async_owner_is_known_as_such() -> None:
    route = routes_of(AsyncPlugin("a", Service(name="one", inbound=(SAY,)))).services[
        "one"
    ]
    assert route.is_async
    assert await called(route.on_message, "session", "message") == ("a", "session")


def test_an_owner_that_is_never_called_is_not_async() -> None:
    assert not routes_of(AsyncPlugin("a", Service(name="one"))).services["one"].is_async


def test_wrappers_of_any_plugin_go_around_the_owner() -> None:
    routes = routes_of(
        TextPlugin("a", Service(name="one", inbound=(SAY,))),
        WrapperPlugin("w"),
        WrapperPlugin("x", Service(name="two")),
    )
    on_message = routes.services["one"].on_message
    assert called(on_message, 1, 2) == ("w", 1, ("x", 1, ("a", 2)))


def test_nothing_is_owned() -> None:
    routes = routes_of()
    assert routes.services == {}
    assert set(routes.by_id) == {None}
    assert routes.observe_message is None
    assert routes.observe_binary is None
    assert routes.lanes == DEFAULT_LANES


def test_own_lanes_stand_between_the_default_ones() -> None:
    fast, slow = (
        Lane(name, 1024, 16, after=after)
        for name, after in (("fast", "control"), ("slow", "bulk"))
    )
    said = Outbound(name="said", lane="slow")
    routes = routes_of(
        Plugin("a", Service(name="one", lane="fast", lanes=(slow,), outbound=(said,))),
        Plugin("b", Service(name="two", lanes=(fast,))),
    )
    assert [lane.name for lane in routes.lanes] == [
        "control", "fast", "realtime", "market", "interactive", "bulk", "slow",
    ]  # fmt: skip


# --------------------------------------------------------------------------- observers


def test_a_plugin_without_services_observes() -> None:
    routes = routes_of(
        FullPlugin("x"),
        FullPlugin("owner", Service(name="one", inbound=(SAY,))),
        TextPlugin("y"),
    )
    assert called(routes.observe_message, 1, 2) == [("x", 2), ("y", 2)]
    assert called(routes.observe_binary, 1, 2) == [("x", 1, 2)]


def test_an_owner_does_not_observe() -> None:
    routes = routes_of(FullPlugin("owner", Service(name="one")))
    assert routes.observe_message is None
    assert routes.observe_binary is None


def test_wrappers_do_not_observe_and_are_not_around_observers() -> None:
    routes = routes_of(WrapperPlugin("w"), TextPlugin("x"))
    assert called(routes.observe_message, 1, 2) == [("x", 2)]
    assert routes_of(WrapperPlugin("w")).observe_message is None


def test_observers_may_be_wrapped_and_owners_are_not() -> None:
    routes = routes_of(
        TextPlugin("a", Service(name="one", inbound=(SAY,))),
        FullPlugin("x"),
        observe=lambda name, function: lambda *args: (name, "saw", args),
    )
    assert called(routes.observe_message, 1, 2) == [("x", "saw", (1, 2))]
    assert called(routes.observe_binary, 1, 2) == [("x", "saw", (1, 2))]
    assert called(routes.services["one"].on_message, 1, 2) == ("a", 2)


# ------------------------------------------------------------------------------ clashes


def refused(*plugins: Plugin) -> str:
    with pytest.raises(ManifestError) as caught:
        routes_of(*plugins)
    return str(caught.value)


def test_refused_two_services_of_one_name() -> None:
    assert refused(Plugin("a", Service(name="x")), Plugin("b", Service(name="x"))) == (
        "service 'x' of plugin 'b': the name is taken by service 'x' of plugin 'a'; "
        "load only one of them"
    )


def test_refused_two_equal_services_of_one_plugin() -> None:
    text = refused(Plugin("a", Service(name="x"), Service(name="x")))
    assert "the name is taken by service 'x' of plugin 'a'" in text


def test_refused_two_services_of_one_id() -> None:
    one, two = Service(name="x", svc_id=7), Service(name="y", svc_id=7)
    assert refused(Plugin("a", one), Plugin("b", two)) == (
        "service 'y' of plugin 'b': svc_id 7 is taken by service 'x' of plugin 'a'; "
        "give it another, or load only one of them"
    )


def test_services_without_ids_do_not_clash() -> None:
    assert (
        len(routes_of(Plugin("a", Service(name="x"), Service(name="y"))).services) == 2
    )


def test_refused_two_lanes_of_one_name() -> None:
    lane = Lane("fast", 1, 1, after="control")
    one, two = Service(name="x", lanes=(lane,)), Service(name="y", lanes=(lane,))
    assert refused(Plugin("a", one), Plugin("b", two)) == (
        "service 'y' of plugin 'b': lane 'fast' is taken by service 'x' of plugin 'a'; "
        "rename one of them"
    )


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (Lane("bulk", 1, 1, after="control"), "lane 'bulk' is declared twice"),
        (Lane("x", 1, 1), f"lane 'x' comes after None, none of {LANES}"),
        (Lane("x", 1, 1, after="y"), f"lane 'x' comes after 'y', none of {LANES}"),
    ],
)
def test_refused_lane_without_a_place(lane: Lane, reason: str) -> None:
    assert refused(Plugin("a", Service(name="x", lanes=(lane,)))) == (
        f"service 'x' of plugin 'a': {reason}; give it another name or place"
    )


# ---------------------------------------------------------------- one wrong declaration


def reason(service: Service) -> str:
    text = refused(FullPlugin("p", service))
    where = f"service {service.name!r} of plugin 'p'"
    assert text.startswith(where)
    return text.removeprefix(where)


@pytest.mark.parametrize(
    "name", ["", "Chat", "1chat", "-chat", "cha t", "chat\n", "chät", "a" * 33]
)
def test_refused_name_out_of_the_alphabet(name: str) -> None:
    assert reason(Service(name=name)) == (
        ": a name is a lower case letter and up to 31 more of a-z 0-9 _ -"
    )


@pytest.mark.parametrize("name", ["a", "a-b_9", "a" * 32, "chat"])
def test_names_in_the_alphabet(name: str) -> None:
    assert name in routes_of(Plugin("a", Service(name=name))).services


@pytest.mark.parametrize("name", ["sys", "room"])
def test_refused_name_of_the_core(name: str) -> None:
    assert reason(Service(name=name)) == (
        ": the name is the core's own; choose another"
    )


@pytest.mark.parametrize(
    ("name", "svc_id"),
    [("game", 1), ("chat", 2), ("party", 3), ("market", 4)],
)
def test_ids_that_the_protocol_gives_out(name: str, svc_id: int) -> None:
    assert routes_of(Plugin("a", Service(name=name, svc_id=svc_id))).by_id[svc_id]
    assert reason(Service(name="other", svc_id=svc_id)) == (
        f": svc_id {svc_id} is reserved for {name!r}; {IDS}"
    )


def test_refused_reserved_id_of_another_name() -> None:
    assert "svc_id 1 is reserved for 'game'" in reason(Service(name="chat", svc_id=1))


@pytest.mark.parametrize("svc_id", [-1, 0, 256, 1000])
def test_refused_id_that_does_not_fit(svc_id: int) -> None:
    assert reason(Service(name="x", svc_id=svc_id)) == (
        f": there is no svc_id {svc_id}; {IDS}"
    )


@pytest.mark.parametrize("svc_id", [5, 127, 128, 255])
def test_ids_for_everybody(svc_id: int) -> None:
    assert routes_of(Plugin("a", Service(name="x", svc_id=svc_id))).by_id[svc_id]


def test_refused_opcodes_without_an_id() -> None:
    assert reason(Service(name="x", opcodes=(TICK,))) == (
        f" has opcodes but no svc_id; {IDS}"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "opcode 'MOVE' is 0, which is ACK in every service"),
        (-1, "opcode 'MOVE' is -1"),
        (256, "opcode 'MOVE' is 256"),
    ],
)
def test_refused_opcode_that_does_not_fit(number: int, text: str) -> None:
    code = Opcode(number=number, name="MOVE")
    assert reason(Service(name="x", svc_id=5, opcodes=(code,))) == (
        f": {text}; take one of 1-255"
    )


def test_refused_opcode_with_an_optional_room() -> None:
    code = Opcode(number=1, name="MOVE", room=RoomRule.OPTIONAL)
    assert reason(Service(name="x", svc_id=5, opcodes=(code,))) == (
        ": opcode 'MOVE' has an optional room; a hot frame's is member or none"
    )


class Place(TypedDict):
    x: int
    y: int


@dataclass
class Base:
    by: int


@dataclass
class Step(Base):
    side: str


@pytest.mark.parametrize(
    ("schema", "key"),
    [(None, "any"), (Place | None, "any"), (Place, "x"), (Step, "by"), (Step, "side")],
)
def test_the_key_of_what_gives_way_to_a_newer_one(schema: Any, key: str) -> None:
    kind = Inbound(name="at", latest=True, key=key, schema=schema)
    routes_of(TextPlugin("a", Service(name="x", inbound=(kind,))))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            Inbound(name="at", key="x"),
            "has a key but is not latest; set latest=True or leave the key out",
        ),
        (
            Inbound(name="at", latest=True, key="z", schema=Place),
            "has the key 'z', which its schema has not; take one of x, y",
        ),
        (
            Inbound(name="at", latest=True, key="z", schema=Step),
            "has the key 'z', which its schema has not; take one of by, side",
        ),
        (
            Inbound(name="at", drop_stale=True, room=RoomRule.OPTIONAL),
            (
                "has drop_stale and an optional room, of which a client may name any "
                "number; make it member or none"
            ),
        ),
        (
            Inbound(name="at", dedup="x", schema=Place),
            (
                "has dedup, and its sender may be in no room that remembers ids; set "
                "room=RoomRule.MEMBER or leave it out"
            ),
        ),
        (
            Inbound(name="at", dedup="z", schema=Place, room=RoomRule.MEMBER),
            "has the dedup field 'z', which its schema has not; take one of x, y",
        ),
    ],
)
def test_refused_declarations_of_what_is_newest(kind: Inbound, text: str) -> None:
    assert reason(Service(name="x", inbound=(kind,))) == f": inbound type 'at' {text}"


def test_refused_to_drop_what_no_client_sends() -> None:
    code = Opcode(number=1, name="MOVE", inbound=False, drop_stale=True)
    assert reason(Service(name="x", svc_id=5, opcodes=(code,))) == (
        ": opcode 'MOVE' has drop_stale, but no client may send it; "
        "remove one of the two"
    )


@pytest.mark.parametrize(
    ("service", "what"),
    [
        (Service(name="x", inbound=(SAY, SAY)), "inbound type 'say'"),
        (
            Service(name="x", outbound=(Outbound(name="a"), Outbound(name="a"))),
            "outbound type 'a'",
        ),
        (
            Service(name="x", svc_id=5, opcodes=(MOVE, Opcode(number=1, name="B"))),
            "opcode 1",
        ),
        (
            Service(name="x", svc_id=5, opcodes=(MOVE, Opcode(number=2, name="MOVE"))),
            "opcode name 'MOVE'",
        ),
    ],
)
def test_refused_doubles(service: Service, what: str) -> None:
    assert reason(service) == f": {what} is declared twice; remove or rename one"


def test_a_type_may_go_both_ways() -> None:
    service = Service(name="x", inbound=(SAY,), outbound=(Outbound(name="say"),))
    assert routes_of(TextPlugin("a", service)).services["x"].inbound == {"say": SAY}


@pytest.mark.parametrize(
    ("service", "user"),
    [
        (Service(name="x", lane="lost"), "all of it"),
        (Service(name="x", inbound=(Inbound(name="in", lane="lost"),)), "in"),
        (Service(name="x", outbound=(Outbound(name="out", lane="lost"),)), "out"),
        (
            Service(
                name="x", svc_id=5, opcodes=(Opcode(number=1, name="OP", lane="lost"),)
            ),
            "OP",
        ),
    ],
)
def test_refused_unknown_lane(service: Service, user: str) -> None:
    assert reason(service) == (
        f": there is no lane 'lost' (for {user}); declare it, or take one of {LANES}"
    )


def test_refused_inbound_types_that_nobody_handles() -> None:
    service = Service(name="x", inbound=(SAY,))
    for plugin in (Plugin("a", service), WrapperPlugin("a", service)):
        assert refused(plugin, TextPlugin("other")) == (
            "service 'x' of plugin 'a' has inbound types; implement on_message"
        )


def test_refused_inbound_opcodes_that_nobody_handles() -> None:
    service = Service(name="x", svc_id=5, opcodes=(MOVE,))
    assert refused(TextPlugin("a", service), FullPlugin("other")) == (
        "service 'x' of plugin 'a' has inbound opcodes; implement on_binary"
    )


def test_outbound_alone_needs_no_handler() -> None:
    service = Service(
        name="x", svc_id=5, outbound=(Outbound(name="a"),), opcodes=(TICK,)
    )
    route = routes_of(Plugin("a", service)).services["x"]
    assert (route.on_message, route.on_binary) == (None, None)


def test_a_counter_has_one_owner() -> None:
    first = Plugin("one", Service(name="a", counters={"hits": "Hits"}))
    second = Plugin("two", Service(name="b", counters={"hits": "Others"}))
    with pytest.raises(ManifestError, match=r"'hits' is taken by service 'a'"):
        build_routes(PluginSet.load([], extra=[first, second]))
