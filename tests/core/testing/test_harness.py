from __future__ import annotations

import asyncio
import threading

import pytest
from pydantic import ValidationError

from support.services import LAB, RELAY, Lab, Late
from wsprism_core import Actions, Envelope, Push, Session, hookimpl
from wsprism_core.plugins import PluginError
from wsprism_core.testing import GatewayHarness, VirtualClock, config_with


class Observer:
    """Sees every message and owns none."""

    wsprism_api = 1

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> None:
        self.seen.append(f"{session.user} {message.svc}.{message.type}")


class Guard:
    """Lets nobody into the room `secret`."""

    wsprism_api = 1

    @hookimpl
    def check_join(self, room: str) -> bool | None:
        return False if room == "secret" else None


async def test_a_service_answers(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect(user="ann") as ann:
        assert ann.authed["user"] == "user:ann"
        ref = await ann.send("lab", "echo", {"hello": 1}, ack=True)
        reply = await ann.expect_reply(ref)
        assert (reply["type"], reply["data"]) == ("echoed", {"hello": 1})
        ann.expect_nothing()


async def test_plugins_are_chosen_by_name_class_and_object(
    gateway: type[GatewayHarness],
) -> None:
    observer = Observer()
    async with gateway("chat", Lab, observer) as gw, gw.connect() as dev:
        assert dev.authed["services"] == {"chat": 2, "lab": LAB}
        await dev.join("r1")
        await dev.request("lab", "echo")
        await dev.request("chat", "send", {"msg": "hi"})
    assert observer.seen == ["user:dev lab.echo", "user:dev chat.send"]


async def test_a_name_that_is_not_installed(gateway: type[GatewayHarness]) -> None:
    with pytest.raises(PluginError, match="no plugin 'nope' is installed"):
        async with gateway("nope"):
            pass


async def test_plugins_are_started_and_stopped(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with gateway(lab) as gw:
        assert lab.events == [("start",)]
        assert gw.api.now() == 0.0
        async with gw.connect(user="ann"):
            pass
    assert lab.events == [
        ("start",),
        ("open", "user:ann"),
        ("close", "user:ann", 1000, ""),
        ("stop",),
    ]


async def test_a_broadcast_reaches_members_in_either_codec(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob", codec="msgpack") as bob,
    ):
        await ann.join("r1")
        alias = (await bob.join("r1"))["data"]["alias"]
        await bob.send("lab", "say", "hi")
        for client in (ann, bob):
            said = await client.expect_push("lab.said")
            assert (said["room"], said["data"]) == ("r1", "hi")
        seq = await bob.send_frame(LAB, RELAY, b"move")
        for client in (ann, bob):
            frame = await client.expect_frame(LAB, RELAY)
            assert (frame.payload, frame.seq) == (b"move", seq)
            assert (frame.alias, frame.sender) == (alias, 2)


async def test_a_check_refuses(gateway: type[GatewayHarness]) -> None:
    async with gateway(Guard()) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("room", "join", room="secret", ack=True)
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        await ann.join("open")


async def test_time_passes_only_when_told_to(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect(user="ann") as ann:
        (session,) = gw.api.sessions_of("default", "user:ann")
        lab.gateway.every(
            10,
            lambda: lab.gateway.perform(
                Push("said", gw.clock.now(), session=session.id),
                svc="lab",
                tenant="default",
            ),
        )
        await gw.advance(9.99)
        ann.expect_nothing()
        await gw.advance(20.01)
        pushes = [await ann.expect_push("lab.said") for _ in range(3)]
        assert [push["data"] for push in pushes] == [10.0, 20.0, 30.0]
        ann.expect_nothing()


async def test_an_async_handler_is_waited_for(gateway: type[GatewayHarness]) -> None:
    class Yields(Late):
        @hookimpl
        async def on_message(self, session: Session, message: Envelope) -> Actions:
            for _ in range(10):
                await asyncio.sleep(0)
            return Push("done", session=session.id)

    async with gateway(Yields()) as gw, gw.connect(user="ann") as ann:
        await ann.send("late", "work")
        assert [one["type"] for one in ann.unread if isinstance(one, dict)] == ["done"]


async def test_an_expectation_waits_for_a_handler_that_waits_for_a_thread(
    gateway: type[GatewayHarness],
) -> None:
    class Threaded(Late):
        @hookimpl
        async def on_message(self, session: Session, message: Envelope) -> Actions:
            done = threading.Event()
            asyncio.get_running_loop().call_later(0.02, done.set)
            answer = await asyncio.to_thread(done.wait)
            return Push("done", answer, session=session.id)

    async with gateway(Threaded()) as gw, gw.connect(user="ann") as ann:
        await ann.send("late", "work")
        assert (await ann.expect_push("late.done"))["data"] is True


async def test_an_expectation_gives_a_handler_up_that_never_ends(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsprism_core.testing.harness._PATIENCE", 0.01)
    async with gateway(Late()) as gw, gw.connect(user="ann") as ann:
        ref = await ann.send("late", "work", ack=True)
        with pytest.raises(AssertionError, match="ann expected an answer to 1"):
            await ann.expect_reply(ref)


async def test_who_is_not_let_in_is_told_apart(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw:
        with pytest.raises(AssertionError, match=r"closed: 4503 unknown tenant"):
            async with gw.connect(tenant="nobody"):
                pass
        client = await gw.dial(ticket="no such")
        assert await client.expect_closed(4503) == "the ticket is not good"


async def test_two_gateways_share_a_clock(gateway: type[GatewayHarness]) -> None:
    clock = VirtualClock()
    async with gateway(clock=clock) as one, gateway(clock=clock) as other:
        await one.advance(3)
        assert other.clock.now() == 3


async def test_the_same_seed_gives_the_same_epochs(
    gateway: type[GatewayHarness],
) -> None:
    epochs = []
    for seed in (1, 1, 2):
        async with gateway(seed=seed) as gw, gw.connect() as dev:
            epochs.append((await dev.join("r1"))["data"]["epoch"])
    assert epochs[0] == epochs[1] != epochs[2]


async def test_draining_takes_virtual_time(gateway: type[GatewayHarness]) -> None:
    async with gateway() as gw, gw.connect(user="ann") as ann:
        await gw.drain()
        assert gw.clock.now() == pytest.approx(0.5)
        await ann.expect_push("sys.draining")
        await ann.expect_closed(1001)


def test_config_with_changes_only_what_is_named() -> None:
    config = config_with(
        gateway={"max_strikes": 3},
        limits={"max_rooms_total": 5},
        policy={"sessions": {"mode": "single"}},
        plugins={"chat": {"max_length": 9}},
        tenants=("acme", "globex"),
    )
    assert config.gateway.max_strikes == 3
    assert config.gateway.listen == "127.0.0.1:8080"
    assert [tenant.id for tenant in config.tenants] == ["acme", "globex"]
    for tenant in config.tenants:
        assert tenant.limits.max_rooms_total == 5
        assert tenant.limits.max_frame_bytes == 65_536
        assert tenant.policy.sessions.mode == "single"
        assert tenant.policy.sessions.max_sessions_per_user == 0
        assert tenant.policy.ext_allowlist == ("*:*",)
    assert config.plugins == {"chat": {"max_length": 9}}


def test_config_with_refuses_an_unknown_key() -> None:
    with pytest.raises(ValidationError, match="max_srikes"):
        config_with(gateway={"max_srikes": 3})
