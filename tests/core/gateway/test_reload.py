"""A new configuration in a gateway that runs: what holds, what stays, what is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from support.services import ANYWHERE, LAB, Lab
from support.tokens import letting_in
from wsprism_core import Identity, JoinRoom, hookimpl
from wsprism_core.config import AdminConfig, Config, TenantConfig
from wsprism_core.gateway.reload import differences
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with


async def reload(gw: GatewayHarness, config: Config) -> None:
    gw.gateway.reload(config)
    await gw.settle()


async def refusal(gw: GatewayHarness, user: str, tenant: str | None = None) -> int:
    """Return the status with which somebody new is refused, or 101."""
    client = await gw.dial(ticket=f"dev:{user}", tenant=tenant)
    if client.link.refusal is None:
        await client.close()
        await gw.settle()
        return 101
    return client.link.refusal.status


async def answer(client: ScriptedClient, svc: str, type: str, **more: Any) -> str:
    """Return what a message comes to: the type of its answer, or the error's code."""
    ref = await client.send(svc, type, ack=True, **more)
    answers = [m for m in await client.read_all() if isinstance(m, dict)]
    (found,) = [one for one in answers if one.get("ref") == ref]
    is_error = found["type"] == "error"
    return str(found["data"]["code"] if is_error else found["type"])


async def tokens(client: ScriptedClient) -> int:
    """Return how many messages pass before one is refused, 30 at most."""
    for count in range(30):
        if await answer(client, "lab", "echo") == "RATE_LIMITED":
            return count
    return 30


# ---------------------------------------------------------------- limits tighten


async def test_a_lower_limit_of_sessions_ends_none_and_refuses_new_ones(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        assert await refusal(gw, "cat") == 101
        await reload(gw, config_with(limits={"max_sessions_total": 1}))
        assert await answer(ann, "lab", "echo") == "echoed"
        assert await answer(bob, "lab", "echo") == "echoed"
        assert await refusal(gw, "cat") == 503
        await bob.close()
        assert await refusal(gw, "cat") == 503
        await ann.close()
        assert await refusal(gw, "cat") == 101


async def test_a_lower_limit_of_a_users_sessions_ends_none(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect("ann") as first,
        gw.connect("ann") as second,
    ):
        policy = {"sessions": {"max_sessions_per_user": 1}}
        await reload(gw, config_with(policy=policy))
        assert await refusal(gw, "ann") == 429
        assert await refusal(gw, "bob") == 101
        policy["sessions"] |= {"on_exceed": "kick_oldest"}  # type: ignore[dict-item]
        await reload(gw, config_with(policy=policy))
        assert first.closed is second.closed is None
        assert await refusal(gw, "ann") == 101
        assert await first.expect_closed(4502)
        assert await second.expect_closed(4502)


@pytest.mark.parametrize(
    ("limit", "room"),
    [
        ("max_rooms_total", "new"),
        ("max_rooms_per_user", "new"),
        ("max_users_per_room", "one"),
    ],
)
async def test_lower_limits_of_rooms_put_nobody_out(
    gateway: type[GatewayHarness], limit: str, room: str
) -> None:
    async with (
        gateway(Lab()) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
        gw.connect("cat") as cat,
    ):
        for client in (ann, bob):
            await client.join("one")
            await client.join("two")
        await reload(gw, config_with(limits={limit: 1}))
        assert await answer(ann, "lab", "post", room="one") == "ack"
        assert await answer(ann, "lab", "post", room="two") == "ack"
        newcomer = cat if room == "one" else ann
        refused = await answer(newcomer, "room", "join", room=room)
        assert refused == "RESOURCE_EXHAUSTED"
        await reload(gw, config_with())
        assert await answer(newcomer, "room", "join", room=room) == "joined"


async def test_one_session_is_in_so_many_rooms(gateway: type[GatewayHarness]) -> None:
    def bounded(most: int) -> Config:
        return config_with(gateway={"max_rooms_per_session": most})

    async with (
        gateway(Lab(), config=bounded(2)) as gw,
        gw.connect("ann") as ann,
        gw.connect("ann") as again,
    ):
        for client in ann, again:
            for room in "one", "two":
                assert await answer(client, "room", "join", room=room) == "joined"
            over = await answer(client, "room", "join", room="three")
            assert over == "RESOURCE_EXHAUSTED"
            assert await answer(client, "room", "join", room="two") == "joined"
        assert len(gw.gateway.rooms) == 2
        # What a service wants is not asked.
        (session, _) = gw.gateway.sessions
        gw.gateway.api_of("lab").perform(JoinRoom(session.id, "four"), tenant="default")
        await reload(gw, bounded(0))
        assert await answer(ann, "room", "join", room="three") == "joined"
        await reload(gw, bounded(1))
        assert await answer(ann, "room", "leave", room="three") == "left"
        assert await answer(ann, "room", "join", room="three") == "RESOURCE_EXHAUSTED"


async def test_the_largest_message_is_what_the_client_was_told(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab()) as gw, gw.connect("ann") as ann:
        await reload(gw, config_with(limits={"max_frame_bytes": 500}))
        assert await answer(ann, "lab", "echo", data="x" * 1_000) == "echoed"
        async with gw.connect("bob") as bob:
            assert bob.authed["limits"] == {"max_frame_bytes": 500}
            await bob.send("lab", "echo", "x" * 1_000)
            await bob.expect_closed(1009)
        ref = await ann.send("sys", "refresh", {"ticket": "dev:ann"})
        told = (await ann.expect_reply(ref))["data"]["limits"]
        assert told == {"max_frame_bytes": 500}
        await ann.send("lab", "echo", "x" * 1_000)
        await ann.expect_closed(1009)


# --------------------------------------------------------------------- allowlists


async def test_an_allowlist_holds_for_who_is_there_already(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab) as gw, gw.connect("ann") as ann:
        assert await answer(ann, "lab", "echo") == "echoed"
        await reload(gw, config_with(policy={"ext_allowlist": ["lab:do"]}))
        assert await answer(ann, "lab", "echo") == "NOT_ALLOWED"
        assert await answer(ann, "lab", "do") == "ack"
        assert await answer(ann, "room", "join", room="r") == "NOT_ALLOWED"
        await reload(gw, config_with())
        assert await answer(ann, "lab", "echo") == "echoed"


async def test_so_does_one_for_hot_frames_and_whether_errors_are_told(
    gateway: type[GatewayHarness],
) -> None:
    seen: list[int] = []
    lab = Lab()
    lab.todo_frame = lambda session, frame: seen.append(frame.seq or 0)
    async with gateway(lab) as gw, gw.connect("ann") as ann:
        await ann.send_frame(LAB, ANYWHERE, seq=1)
        await reload(gw, config_with(policy={"hot_allowlist": []}))
        await ann.send_frame(LAB, ANYWHERE, seq=2)
        await ann.expect_error("NOT_ALLOWED", ref=2)
        silent = {"hot_allowlist": [], "hot_error_mode": "silent"}
        await reload(gw, config_with(policy=silent))
        await ann.send_frame(LAB, ANYWHERE, seq=3)
        ann.expect_nothing()
        await reload(gw, config_with())
        await ann.send_frame(LAB, ANYWHERE, seq=4)
        assert seen == [1, 4]


# -------------------------------------------------------------------- rate limits


def limited(burst: int, scope: str = "connection", rps: int = 1) -> Config:
    return config_with(
        policy={
            "rate_limit_rps": rps,
            "rate_limit_burst": burst,
            "rate_limit_scope": scope,
        }
    )


@pytest.mark.parametrize("scope", ["connection", "tenant", "both"])
async def test_a_rate_limit_keeps_its_level(
    gateway: type[GatewayHarness], scope: str
) -> None:
    async with gateway(Lab(), config=limited(5, scope)) as gw, gw.connect("ann") as ann:
        assert await tokens(ann) == 5
        await reload(gw, limited(20, scope))
        assert await tokens(ann) == 0
        await gw.advance(6)
        assert await tokens(ann) == 6
        await gw.advance(100)
        await reload(gw, limited(3, scope))
        assert await tokens(ann) == 3


async def test_reconnecting_after_a_reload_gives_nothing_back(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab(), config=limited(5)) as gw:
        async with gw.connect("ann") as ann:
            assert await tokens(ann) == 5
        await reload(gw, limited(20))
        async with gw.connect("ann") as ann:
            assert await tokens(ann) == 0
        await gw.advance(7)
        async with gw.connect("ann") as ann:
            assert await tokens(ann) == 7
        async with gw.connect("bob") as bob:
            assert await tokens(bob) == 20


async def test_a_rate_limit_comes_and_goes(gateway: type[GatewayHarness]) -> None:
    async with gateway(Lab()) as gw, gw.connect("ann") as ann:
        assert await tokens(ann) == 30
        await reload(gw, limited(2))
        assert await tokens(ann) == 2
        await reload(gw, limited(4, "tenant"))
        assert await tokens(ann) == 4
        await reload(gw, config_with())
        assert await tokens(ann) == 30


async def test_a_limit_on_trial_keeps_its_level(gateway: type[GatewayHarness]) -> None:
    def trial(burst: int) -> Config:
        shadow = {"rate_limit_rps": 1, "rate_limit_burst": burst}
        return config_with(policy={"rate_limit_rps": 0, "shadow": shadow})

    async with gateway(Lab(), config=trial(5)) as gw, gw.connect("ann") as ann:
        counted = gw.metrics.shadow_refusals
        rule = ("default", "rate_limit_rps")
        assert await tokens(ann) == 30
        assert counted[rule] == 25
        await reload(gw, trial(20))
        assert await tokens(ann) == 30
        assert counted[rule] == 25 + 30
        await gw.advance(6)
        assert await tokens(ann) == 30
        assert counted[rule] == 25 + 30 + 24


# ------------------------------------------------------------------------ tenants


async def test_a_tenant_is_added(gateway: type[GatewayHarness]) -> None:
    lab = Lab()
    async with gateway(lab, config=config_with(tenants=["a"])) as gw:
        assert await refusal(gw, "ann") == 101
        assert await refusal(gw, "ann", "b") == 400
        await reload(gw, config_with(tenants=["b", "a"]))
        assert list(lab.gateway.tenants()) == ["b", "a"]
        async with gw.connect("ann", tenant="b") as ann:
            assert await answer(ann, "lab", "echo") == "echoed"
        # As with two from the start, a client has to say which.
        assert await refusal(gw, "ann") == 400


async def test_the_sessions_of_a_tenant_that_is_gone_are_ended_and_no_others(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with (
        gateway(lab, config=config_with(tenants=["a", "b"])) as gw,
        gw.connect("ann", tenant="a") as ann,
        gw.connect("bob", tenant="b") as bob,
    ):
        await bob.join("r1")
        await ann.join("r1")
        await bob.read_all()
        await reload(gw, config_with(tenants=["a"]))
        told = await bob.expect_push("sys.kicked")
        assert told["data"] == {"reason": "the tenant was removed"}
        assert await bob.expect_closed(4503) == "the tenant was removed"
        assert lab.events[-2:] == [
            ("leave", "user:bob", "r1"),
            ("close", "user:bob", 4503, "the tenant was removed"),
        ]
        assert await answer(ann, "lab", "post", room="r1") == "ack"
        assert await refusal(gw, "bob", "b") == 400
        assert dict(gw.gateway.sessions.per_tenant()) == {"a": 1}


async def test_many_of_them_are_ended_over_several_turns_and_can_do_little(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    async with gateway(lab, config=config_with(tenants=["a", "b"])) as gw:
        clients = [await gw.dial(ticket=f"dev:u{n}", tenant="b") for n in range(150)]
        gw.gateway.reload(config_with(tenants=["a"]))
        # Now, before the next turn.
        assert gw.gateway.sessions.in_tenant("b") == 150 - 64
        clients[-1].link.send_text(b'{"svc":"room","type":"join","room":"r","seq":1}')
        await gw.settle()
        assert all(client.closed is not None for client in clients)
        assert len(gw.gateway.sessions) == 0
        assert list(gw.complaints()) == []


async def test_so_are_those_whose_connection_dropped(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    both = config_with(tenants=["a", "b"])
    async with gateway(lab, config=both) as gw:
        for tenant in "a", "b":
            for n in range(100):
                client = await gw.dial(ticket=f"dev:u{n}", tenant=tenant)
                if n == 0:
                    await client.join("r1")
                client.drop_link()
        await gw.settle()
        assert len(gw.gateway.rooms) == 2
        await reload(gw, config_with(tenants=["a"]))
        closes = [event for event in lab.events if event[0] == "close"]
        assert len(closes) == 100
        assert gw.metrics.closes == {1006: 100}
        # The other tenant's wait on.
        assert [(room.tenant, room.name) for room in gw.gateway.rooms] == [("a", "r1")]
        await reload(gw, both)
        assert list(gw.complaints()) == []


async def test_who_is_being_judged_when_the_tenant_goes_is_refused(
    gateway: type[GatewayHarness],
) -> None:
    gate = asyncio.Event()

    class Door:
        wsprism_api = 1

        @hookimpl
        async def authenticate(self, ticket: str, tenant: str) -> Identity:
            await gate.wait()
            return Identity(ticket, tenant)

    async with gateway(Door(), config=config_with(tenants=["a", "b"])) as gw:
        client = await gw.dial(tenant="b", ticket="somebody")
        await reload(gw, config_with(tenants=["a"]))
        # One of the same name that comes later is another one.
        await reload(gw, config_with(tenants=["a", "b"]))
        gate.set()
        await gw.until(lambda: client.link.refusal is not None)
        assert client.link.refusal is not None
        assert client.link.refusal.status == 400


async def test_in_a_tenant_that_is_gone_nobody_joins(
    gateway: type[GatewayHarness],
) -> None:
    lab = Lab()
    config = config_with(tenants=["a", "b"])
    async with gateway(lab, config=config) as gw:
        for n in range(65):
            await gw.dial(ticket=f"dev:u{n}", tenant="b")
        gw.gateway.reload(config_with(tenants=["a"]))
        (session,) = gw.gateway.sessions
        with pytest.raises(ProtocolError, match="the tenant was removed"):
            gw.gateway._desk._rooms.ask_to_join(session, "r", None)


# ------------------------------------------------------------- the report, the whole


async def test_what_changed_is_reported_and_what_waits_for_a_restart(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway(Lab(), config=config_with(tenants=["a", "b"])) as gw:
        wanted = config_with(
            gateway={
                "listen": "127.0.0.1:9",
                "lanes": {"bulk": {"max_bytes": 9}},
                "max_strikes": 3,
            },
            limits={"max_rooms_total": 7},
            plugins={"lab": {"secret": "sesame"}},
            tenants=["a", "c"],
        )
        report = gw.gateway.reload(wanted)
        assert [str(change) for change in report.applied] == [
            "gateway.max_strikes: 10 -> 3",
            "tenants[a].limits.max_rooms_total: 0 -> 7",
            "tenants[b]: there -> removed",
            "tenants[c]: not there -> added",
        ]
        waiting = [
            'gateway.listen: "127.0.0.1:8080" -> "127.0.0.1:9"',
            (
                'gateway.lanes.bulk: null -> {"max_bytes":9,"max_messages":null,'
                '"max_message_bytes":null}'
            ),
            "plugins.lab: (not shown) -> (not shown)",
        ]
        assert [str(change) for change in report.needs_restart] == waiting
        assert gw.gateway.config.gateway.listen == "127.0.0.1:8080"
        assert gw.gateway.config.gateway.max_strikes == 3
        assert gw.gateway.config.plugins == {}
        # It waits on.
        again = gw.gateway.reload(wanted)
        assert again.applied == ()
        assert [str(change) for change in again.needs_restart] == waiting
        back = gw.gateway.reload(config_with(tenants=["a", "b"]))
        assert back.needs_restart == ()


def test_a_secret_is_not_shown() -> None:
    old, new = (
        config_with().model_copy(
            update={
                "gateway": config_with().gateway.model_copy(
                    update={"admin": AdminConfig(api_key=SecretStr(key * 16))}
                )
            }
        )
        for key in ("a", "b")
    )
    (changed,) = differences(old, new)
    assert changed.path == "gateway.admin.api_key"
    assert "aaaa" not in str(changed)
    assert "bbbb" not in str(changed)
    (added,) = differences(config_with(), new)
    assert added.path == "gateway.admin"
    assert "bbbb" not in str(added)


def with_keys(*secrets: str) -> Config:
    keys = [{"secret": secret} for secret in secrets]
    issuer = {"algorithms": ["HS256"], "keys": keys}
    auth = {"jwt": [{"issuer": "other", **issuer}, issuer]}
    return letting_in({"default": auth if secrets else {}})


def test_of_a_list_only_what_changed_is_told_and_no_secret_in_it() -> None:
    one, two, three = "1" * 32, "2" * 32, "3" * 32
    old = with_keys(one, two)
    issuer = "tenants[default].auth.jwt"
    changed = [str(change) for change in differences(old, with_keys(one, three))]
    assert changed == [
        f'{issuer}[{place}].keys[1].secret: "**********" -> "**********"'
        for place in (0, 1)
    ]
    added = [str(change) for change in differences(old, with_keys(one, two, three))]
    assert added == [
        f'{issuer}[{place}].keys[2]: not there -> {{"kid":null,"secret":"**********",'
        '"secret_env":null,"file":null}'
        for place in (0, 1)
    ]
    assert [change.new for change in differences(old, with_keys(one))] == [
        "removed"
    ] * 2
    everything = [
        *differences(old, with_keys(three)),
        *differences(with_keys(), old),
        *differences(old, with_keys()),
    ]
    assert not any(secret in str(everything) for secret in (one, two, three))


def test_a_long_value_is_cut() -> None:
    origins = [f"https://{n}.example.com" for n in range(100)]
    new = config_with(gateway={"allowed_origins": origins})
    (change,) = differences(config_with(), new)
    assert change.new.startswith('["https://0.example.com"')
    assert change.new.endswith("...")
    assert len(change.new) < 210


@pytest.mark.interpreted
async def test_a_tenant_that_cannot_be_built_changes_nothing(
    gateway: type[GatewayHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    async with gateway(Lab()) as gw, gw.connect("ann") as ann:
        before = gw.gateway.config
        monkeypatch.setattr("wsprism_core.gateway.ingress.InboundTable", fail)
        with pytest.raises(MemoryError):
            gw.gateway.reload(
                config_with(gateway={"max_strikes": 1}, policy={"ext_allowlist": []})
            )
        assert gw.gateway.config is before
        assert await answer(ann, "lab", "echo") == "echoed"


# ------------------------------------------------- as a gateway started with the new

PATTERNS = st.lists(
    st.sampled_from(["lab:*", "lab:echo", "room:*", "*:*", "*:join", "lab:say"]),
    max_size=2,
)
TENANTS = st.builds(
    lambda id, limits, policy: {"id": id, "limits": limits, "policy": policy},
    st.sampled_from(["a", "b"]),
    st.fixed_dictionaries(
        {},
        optional={
            "max_frame_bytes": st.integers(60, 200),
            "max_sessions_total": st.integers(0, 3),
            "max_rooms_total": st.integers(0, 2),
            "max_users_per_room": st.integers(0, 2),
            "max_rooms_per_user": st.integers(0, 2),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "rate_limit_rps": st.integers(0, 3),
            "rate_limit_burst": st.integers(1, 4),
            "rate_limit_scope": st.sampled_from(["tenant", "connection", "both"]),
            "sessions": st.fixed_dictionaries(
                {
                    "mode": st.sampled_from(["single", "multi"]),
                    "max_sessions_per_user": st.integers(0, 2),
                    "on_exceed": st.sampled_from(["deny", "kick_oldest"]),
                }
            ),
            "ext_allowlist": PATTERNS,
            "hot_allowlist": st.lists(
                st.sampled_from(["*:*", "200:*", "*:2", "200:2"]), max_size=1
            ),
            "hot_error_mode": st.sampled_from(["sys_error", "silent"]),
            "hot_requires_active_room": st.booleans(),
        },
    ),
)
CONFIGS = st.builds(
    lambda gateway, tenants: Config.model_validate(
        {"version": 1, "gateway": gateway, "tenants": tenants}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "ping_interval_ms": st.sampled_from([0, 5_000, 20_000]),
            "idle_timeout_ms": st.sampled_from([0, 15_000]),
            "max_strikes": st.integers(1, 3),
            "presence_max_members": st.integers(0, 2),
            "presence_batch_ms": st.sampled_from([0, 100]),
            "max_recover_messages": st.integers(0, 2),
            "handshake_limit": st.fixed_dictionaries(
                {
                    "enabled": st.booleans(),
                    "per_ip_burst": st.integers(1, 4),
                    "per_ip_rps": st.integers(1, 2),
                }
            ),
        },
    ),
    st.lists(TENANTS, min_size=1, max_size=2, unique_by=lambda one: str(one["id"])),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("connect"), st.sampled_from("xy"), st.sampled_from(["a", "b", None])
        ),
        st.tuples(
            st.just("send"),
            st.integers(0, 3),
            st.sampled_from(
                [
                    ("lab", "echo", None),
                    ("lab", "say", "r1"),
                    ("room", "join", "r1"),
                    ("room", "join", "r2"),
                    ("room", "leave", "r1"),
                ]
            ),
        ),
        st.tuples(st.just("frame"), st.integers(0, 3), st.sampled_from([1, 2, 6])),
        st.tuples(st.just("garbage"), st.integers(0, 3), st.none()),
        st.tuples(st.just("big"), st.integers(0, 3), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([1, 10]), st.none()),
    ),
    max_size=25,
)


#: What is another one in each session and room.
_OWN = ("sid", "epoch", "resume")


async def transcript(
    gw: GatewayHarness, steps: list[tuple[str, Any, Any]]
) -> list[Any]:
    """Return what clients that come from now on get."""
    clients: list[ScriptedClient] = []
    seen: list[Any] = []
    for step, one, other in steps:
        if step == "connect":
            client = await gw.dial(ticket=f"dev:{one}", tenant=other)
            refusal = client.link.refusal
            seen.append(refusal and (refusal.status, refusal.reason))
            if refusal is None:
                clients.append(client)
        elif step == "wait":
            await gw.advance(one)
        elif one < len(clients) and clients[one].closed is None:
            client = clients[one]
            if step == "send":
                svc, type, room = other
                await client.send(svc, type, "data", room=room, ack=True)
            elif step == "frame":
                await client.send_frame(LAB, other, ack=True)
            elif step == "garbage":
                await client.send_text(b"{")
            else:
                await client.send("lab", "echo", "x" * 100)
        seen += [
            (n, _comparable(message))
            for n, client in enumerate(clients)
            for message in await client.read_all()
        ]
        seen.append([client.closed for client in clients])
    return seen


def _comparable(message: Any) -> Any:
    """Return a message without what is left to chance."""
    if not isinstance(message, dict):
        return message
    kept = {key: value for key, value in message.items() if key != "trace_id"}
    if isinstance(kept.get("data"), dict):
        data = {k: v for k, v in kept["data"].items() if k not in _OWN}
        kept["data"] = data
    kept.pop("epoch", None)
    return kept


@hypothesis_settings(max_examples=50)
@given(old=CONFIGS, new=CONFIGS, steps=STEPS)
def test_newcomers_find_the_gateway_as_if_it_had_been_started_so(
    old: Config, new: Config, steps: list[tuple[str, Any, Any]]
) -> None:
    async def compare() -> None:
        async with GatewayHarness(Lab(), config=old) as gw:
            before: TenantConfig = old.tenants[0]
            guest = await gw.dial(ticket="dev:x", tenant=before.id)
            await guest.send("lab", "echo", "hi")
            await guest.close()
            # Until every limit is whole again.
            await gw.advance(100)
            report = gw.gateway.reload(new)
            assert report.needs_restart == ()
            assert gw.gateway.config == new
            await gw.advance(100)
            reloaded = await transcript(gw, steps)
        async with GatewayHarness(Lab(), config=new) as gw:
            await gw.advance(200)
            assert reloaded == await transcript(gw, steps)

    asyncio.run(compare())
