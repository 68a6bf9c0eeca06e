"""What checks may answer, and what a plugin without a service may do."""

from __future__ import annotations

from typing import Any

import pytest

from support.services import Lab
from wsprism_core import (
    Actions,
    Broadcast,
    Envelope,
    HttpRequest,
    HttpResponse,
    JoinRoom,
    Kick,
    Push,
    Reply,
    Route,
    Session,
    hookimpl,
)
from wsprism_core.gateway.http import RouteError
from wsprism_core.plugins import PluginError
from wsprism_core.testing import GatewayHarness


class Gate:
    """Answers whatever it is told to."""

    wsprism_api = 1
    name = "gate"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    @hookimpl
    def check_join(self) -> Any:
        return self.answer

    @hookimpl
    def check_message(self) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [0, "no", object(), []])
async def test_a_check_that_answers_nonsense_has_failed(
    gateway: type[GatewayHarness], answer: Any
) -> None:
    async with gateway(Gate(answer), Lab()) as gw, gw.connect() as dev:
        ref = await dev.send("room", "join", room="r1")
        await dev.expect_error("INTERNAL", ref=ref)
        ref = await dev.send("lab", "echo")
        await dev.expect_error("INTERNAL", ref=ref)
        dev.expect_nothing()
        assert gw.metrics.plugin_failures == {
            ("gate", "check_join"): 1,
            ("gate", "check_message"): 1,
        }


async def test_no_is_an_answer(gateway: type[GatewayHarness]) -> None:
    async with gateway(Gate(False), Lab()) as gw, gw.connect() as dev:
        await dev.send("room", "join", room="r1")
        await dev.expect_error("NOT_ALLOWED")
        assert gw.metrics.plugin_failures == {}


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_message_keeps_its_kind(
    gateway: type[GatewayHarness], in_place: bool
) -> None:
    class Swap:
        wsprism_api = 1
        name = "swap"

        @hookimpl
        def check_message(self, message: Envelope) -> Envelope | None:
            if not in_place:
                return Envelope("lab", "post")
            message.type = "post"
            return None

    async with gateway(Swap(), Lab()) as gw, gw.connect() as dev:
        ref = await dev.send("lab", "echo")
        await dev.expect_error("INTERNAL", ref=ref)
        assert gw.metrics.plugin_failures == {("swap", "check_message"): 1}


class Porter:
    """Owns no service; does for a new session what it is told to."""

    wsprism_api = 1
    name = "porter"

    def __init__(self, action: Any) -> None:
        self.action = action

    @hookimpl
    def on_open(self, session: Session) -> Actions:
        actions: Actions = self.action(session.id)
        return actions


async def test_without_a_service_it_may_join_and_kick(
    gateway: type[GatewayHarness],
) -> None:
    porter = Porter(lambda id: JoinRoom(id, "hall"))
    async with gateway(porter, Lab()) as gw, gw.connect() as dev:
        await dev.expect_push("sys.joined")
        porter.action = lambda id: [Kick("full", session=id)]
        late = await gw.dial(ticket="dev:late")
        await late.read_all()
        assert await late.expect_closed(4005) == "full"
        assert gw.metrics.plugin_failures == {}


@pytest.mark.parametrize(
    "action", [Push("said", 1, user="user:dev"), Broadcast("said"), Reply("said")]
)
async def test_without_a_service_it_sends_nothing(
    gateway: type[GatewayHarness], action: Any, caplog: pytest.LogCaptureFixture
) -> None:
    porter = Porter(lambda _: action)
    async with gateway(porter, Lab()) as gw, gw.connect() as dev:
        dev.expect_nothing()
        assert gw.metrics.plugin_failures == {("porter", "actions"): 1}
        (record,) = caplog.records
        assert "this plugin owns none" in record.__dict__["fields"]["error"]


class Routed:
    wsprism_api = 1
    name = "routed"

    def __init__(self, routes: Any) -> None:
        self.routes = routes

    @hookimpl
    def register_routes(self) -> Any:
        return self.routes()


def ok(request: HttpRequest) -> HttpResponse:
    return HttpResponse(body=b"ok")


@pytest.mark.parametrize(
    ("routes", "error", "text"),
    [
        (lambda: 1 / 0, PluginError, "register_routes failed: ZeroDivisionError"),
        (lambda: 42, PluginError, "register_routes failed: TypeError"),
        (lambda: ["/stats"], PluginError, "not a Route"),
        (lambda: [Route("stats", ok)], RouteError, "begins with no '/'"),
        (lambda: [Route("/v1/ws", ok)], RouteError, "is the WebSocket's"),
    ],
)
async def test_a_route_that_cannot_be(
    gateway: type[GatewayHarness], routes: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as refused:
        async with gateway(Routed(routes)):
            pass
    assert "'routed'" in str(refused.value)


async def test_only_what_has_begun_is_ended(gateway: type[GatewayHarness]) -> None:
    class Broken(Lab):
        name = "broken"

        @hookimpl
        def register_services(self) -> None:  # type: ignore[override]
            return None

        @hookimpl
        def on_start(self) -> None:  # type: ignore[override]
            raise RuntimeError

    class Never(Broken):
        name = "never"

    lab, broken, never = Lab(), Broken(), Never()
    with pytest.raises(RuntimeError):
        async with gateway(lab, broken, never):
            pass
    assert lab.events == [("start",), ("stop",)]
    assert broken.events == never.events == []
