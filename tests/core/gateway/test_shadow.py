"""Limits on trial: everything happens as without them, and is counted."""

from __future__ import annotations

from typing import Any

from support.services import DO, HERE, LAB, Lab
from wsprism_core.config import Config
from wsprism_core.testing import GatewayHarness, config_with


def on_trial(policy: dict[str, Any] | None = None, **shadow: Any) -> Config:
    return config_with(policy={**(policy or {}), "shadow": shadow})


def counted(gw: GatewayHarness) -> dict[str, int]:
    return {rule: count for (_, rule), count in gw.metrics.shadow_refusals.items()}


async def test_a_rate_for_each_connection(gateway: type[GatewayHarness]) -> None:
    config = on_trial(rate_limit_rps=1, rate_limit_burst=3)
    async with gateway(Lab(), config=config) as gw, gw.connect(user="ann") as ann:
        for _ in range(5):
            await ann.request("lab", "echo")
        assert counted(gw) == {"rate_limit_rps": 2}
        assert gw.metrics.shadow_refusals == {("default", "rate_limit_rps"): 2}
        async with gw.connect(user="bob") as bob:
            await bob.request("lab", "echo")
        assert counted(gw) == {"rate_limit_rps": 2}


async def test_a_rate_of_the_tenant(gateway: type[GatewayHarness]) -> None:
    config = on_trial(
        {"rate_limit_rps": 0, "rate_limit_scope": "tenant"},
        rate_limit_rps=1,
        rate_limit_burst=3,
    )
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        for client in (ann, bob, ann, bob, ann):
            await client.request("lab", "echo")
        assert counted(gw) == {"rate_limit_rps": 2}


async def test_allowlists(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    config = on_trial(
        ext_allowlist=["lab:echo", "room:join"], hot_allowlist=[f"{LAB}:{HERE}"]
    )
    async with gateway(lab, config=config) as gw, gw.connect(user="ann") as ann:
        await ann.join("r1")
        await ann.request("lab", "echo")
        assert not counted(gw)
        await ann.request("lab", "say", room="r1")
        await ann.request("room", "members", room="r1")
        await ann.request("lab", "do")
        assert counted(gw) == {"ext_allowlist": 3}
        done: list[int] = []
        lab.todo_frame = lambda _, frame: done.append(frame.opcode)
        for opcode in (HERE, DO, DO):
            await ann.send_frame(LAB, opcode, b"")
        await gw.settle()
        assert done == [HERE, DO, DO]
        assert counted(gw) == {"ext_allowlist": 3, "hot_allowlist": 2}
        # They are counted as received all the same.
        assert gw.metrics.messages["default", "lab", "hot"] == 3
        assert gw.metrics.messages["default", "lab", "text"] == 3
        # What holds refuses on, and that is counted elsewhere.
        ref = await ann.send("lab", "nope")
        await ann.expect_error(code="BAD_REQUEST", ref=ref)
        assert counted(gw) == {"ext_allowlist": 3, "hot_allowlist": 2}


async def test_rooms_and_users(gateway: type[GatewayHarness]) -> None:
    config = on_trial(max_rooms_per_user=1, max_users_per_room=1, max_rooms_total=3)
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann") as ann,
        gw.connect(user="bob") as bob,
    ):
        await ann.join("r1")
        await ann.join("r1")
        assert not counted(gw)
        await bob.join("r1")
        assert counted(gw) == {"max_users_per_room": 1}
        await ann.join("r2")
        assert counted(gw) == {"max_users_per_room": 1, "max_rooms_per_user": 1}


async def test_rooms_of_all(gateway: type[GatewayHarness]) -> None:
    config = on_trial(max_rooms_total=2)
    async with gateway(Lab(), config=config) as gw, gw.connect(user="ann") as ann:
        for name in ("r1", "r2", "r3", "r3", "r4"):
            await ann.join(name)
        assert counted(gw) == {"max_rooms_total": 2}


async def test_a_limit_that_holds_comes_first(gateway: type[GatewayHarness]) -> None:
    config = config_with(
        limits={"max_rooms_total": 1}, policy={"shadow": {"max_rooms_total": 1}}
    )
    async with gateway(Lab(), config=config) as gw, gw.connect(user="ann") as ann:
        await ann.join("r1")
        ref = await ann.send("room", "join", room="r2")
        await ann.expect_error(code="RESOURCE_EXHAUSTED", ref=ref)
        assert not counted(gw)


async def test_sessions(gateway: type[GatewayHarness]) -> None:
    config = on_trial(max_sessions_per_user=1, max_sessions_total=2)
    async with (
        gateway(Lab(), config=config) as gw,
        gw.connect(user="ann"),
        gw.connect(user="bob"),
    ):
        assert not counted(gw)
        async with gw.connect(user="ann"):
            assert counted(gw) == {"max_sessions_per_user": 1}
            async with gw.connect(user="cem"):
                assert counted(gw) == {
                    "max_sessions_per_user": 1,
                    "max_sessions_total": 1,
                }


async def test_without_a_section_nothing_is_there(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect(user="ann") as ann:
        await ann.request("lab", "echo")
        assert not counted(gw)
        assert b"shadow_refusals_total{" not in gw.gateway._render_metrics()[0]
