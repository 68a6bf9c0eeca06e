"""Rows A6 to A8: switches that are insecure, tenants apart, and names of rooms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from support.command_line import environment, wsprism
from support.gateway_process import Gateways
from support.listener import Listener
from support.naughty import NAUGHTY
from support.oracle import FULL, Row
from support.services import ANYWHERE, LAB, RELAY, Lab
from wsprism_core import HotFrame, Kick
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

# ------------------------------------------------------------------------------- A6


def test_a6_an_insecure_switch_is_said_loudly_and_shown(gateways: Gateways) -> None:
    gateway = gateways(None, "--host", "0.0.0.0", "--allow-insecure-dev")
    (said,) = [one for one in gateway.logged() if one["event"] == "check_this"]
    assert said["level"] == "warning"
    assert "DEVELOPMENT TICKETS ARE ON" in said["text"]
    assert "INSECURE: other machines reach 0.0.0.0" in said["text"]
    shown = gateway.look().metrics
    assert shown["wsprism_insecure{switch=development_tickets}"] == 1


def test_a6_without_it_the_gateway_does_not_start() -> None:
    command = ("run", "--host", "0.0.0.0", "--port", "0")
    with wsprism(*command, env=environment()) as process:
        _, said = process.communicate(timeout=20)
        assert process.returncode == 2
    assert "--allow-insecure-dev" in said
    assert said.count("\n") == 1


# ------------------------------------------------------------------------------- A7

MINE: Final = "acme"
OTHER: Final = "globex"
TENANTS = st.sampled_from([MINE, OTHER])
USERS = st.sampled_from(["ann", "bob"])
ROOMS = st.sampled_from(["r1", "r2", "r3"])
#: An alias that no room has.
NO_ALIAS = 2**31
#: Everything that one tenant could use up for the other.
LIMITS = {
    "max_sessions_total": 3,
    "max_rooms_total": 2,
    "max_users_per_room": 2,
    "max_rooms_per_user": 2,
}
POLICY = {
    "rate_limit_rps": 10,
    "rate_limit_burst": 20,
    "rate_limit_scope": "both",
    "sessions": {"max_sessions_per_user": 2, "on_exceed": "kick_oldest"},
}


class World:
    """A gateway with two tenants, in which the same names are used.

    Attributes:
        harness: The gateway.
        clients: Those that are connected, by tenant and user, oldest first.
        aliases: What `sys.joined` told, by tenant and room.
    """

    def __init__(self) -> None:
        config = config_with(
            limits=LIMITS,
            policy=POLICY,
            tenants=(MINE, OTHER),
            gateway={"max_idle_rooms": 1, "history": {"messages": 4}},
        )
        self.harness = GatewayHarness(Lab(), config=config)
        self.clients: dict[tuple[str, str], list[ScriptedClient]] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self._epochs: dict[str, dict[str, int]] = {MINE: {}, OTHER: {}}

    async def connect(self, tenant: str, user: str) -> ScriptedClient:
        client = await self.harness.dial(ticket=f"dev:{user}", tenant=tenant, name=user)
        self.clients.setdefault((tenant, user), []).append(client)
        return client

    async def of(self, tenant: str, user: str) -> ScriptedClient:
        """Return a user's newest connection, or a new one."""
        clients = self.clients.setdefault((tenant, user), [])
        clients[:] = [one for one in clients if one.closed is None]
        return clients[-1] if clients else await self.connect(tenant, user)

    async def observed(self, tenant: str) -> list[Any]:
        """Return all that a tenant's clients got since the last time."""
        seen = []
        for (whose, user), clients in self.clients.items():
            for place, client in enumerate(clients):
                # Also of the other tenant aliases are learned.
                got = [self._plain(whose, one) for one in await client.read_all()]
                if whose == tenant:
                    seen += [(user, place, what) for what in (*got, client.closed)]
        return sorted(seen, key=repr)

    def _plain(self, tenant: str, got: Any) -> Any:
        """Return a message without what is left to chance, and without aliases.

        An alias is a number that all tenants have in common, as the protocol has it.
        """
        names = {alias: room for (_, room), alias in self.aliases.items()}
        if isinstance(got, HotFrame):
            return (got.opcode, got.payload, got.seq, got.sender, names[got.alias or 0])
        plain = {name: got[name] for name in got if name != "trace_id"}
        if plain["type"] == "joined":
            data = dict(plain["data"])
            self.aliases[tenant, plain["room"]] = data.pop("alias")
            epochs = self._epochs[tenant]
            data["epoch"] = epochs.setdefault(data["epoch"], len(epochs))
            plain["data"] = data
        return plain


Work = Callable[[World], Coroutine[Any, Any, object]]


class Tenants(RuleBasedStateMachine):
    """Two gateways: with a second tenant that does things, and with one that doesn't.

    The first tenant does the same in both, and must not see a difference.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.worlds = World(), World()
        for world in self.worlds:
            self.runner.run(world.harness.__aenter__())

    def teardown(self) -> None:
        for world in self.worlds:
            self.runner.run(world.harness.__aexit__(None, None, None))
        self.runner.close()

    def act(self, tenant: str, work: Work) -> None:
        """Have a tenant do something, the second one in the first world only."""
        both, alone = self.worlds
        seen = []
        for world in self.worlds:
            if world is both or tenant == MINE:
                self.runner.run(self._act(world, work))
            seen.append(self.runner.run(world.observed(MINE)))
        assert seen[0] == seen[1]
        assert OTHER not in json.dumps(seen, default=str)
        assert alone.harness.metrics.errors.keys() == {
            key for key in both.harness.metrics.errors if key[0] == MINE
        }

    async def _act(self, world: World, work: Work) -> None:
        await work(world)
        await world.harness.settle()

    def send(self, tenant: str, user: str, work: Callable[..., Any]) -> None:
        """Have a user of a tenant do something."""

        async def doing(world: World) -> None:
            await work(world, await world.of(tenant, user))

        self.act(tenant, doing)

    @initialize()
    def begin(self) -> None:
        for tenant in (MINE, OTHER):
            self.connect(tenant, "ann")
            self.come_or_go(tenant, "ann", "r1", leaving=False)

    @rule(tenant=TENANTS, user=USERS)
    def connect(self, tenant: str, user: str) -> None:
        self.act(tenant, lambda world: world.connect(tenant, user))

    @rule(tenant=TENANTS, user=USERS, kicked=st.booleans())
    def end(self, tenant: str, user: str, kicked: bool) -> None:
        async def ending(world: World, client: ScriptedClient) -> None:
            if kicked:
                kick = Kick(user=f"user:{user}", reason="you know why")
                world.harness.api.perform(kick, tenant=tenant)
            else:
                await client.close()

        self.send(tenant, user, ending)

    @rule(tenant=TENANTS, user=USERS, room=ROOMS, leaving=st.booleans())
    def come_or_go(self, tenant: str, user: str, room: str, leaving: bool) -> None:
        verb = "leave" if leaving else "join"
        self.send(
            tenant, user, lambda _, client: client.send("room", verb, room=room, seq=1)
        )

    @rule(tenant=TENANTS, user=USERS, room=ROOMS, recoverable=st.booleans())
    def join_and_publish(
        self, tenant: str, user: str, room: str, recoverable: bool
    ) -> None:
        type = "post" if recoverable else "say"

        async def publishing(_: World, client: ScriptedClient) -> None:
            await client.send("room", "join", room=room, seq=8)
            await client.send("lab", type, f"of {tenant}", room=room, seq=2)

        self.send(tenant, user, publishing)

    @rule(tenant=TENANTS, user=USERS, room=ROOMS, seq=st.integers(0, 6))
    def recover(self, tenant: str, user: str, room: str, seq: int) -> None:
        async def recovering(world: World, client: ScriptedClient) -> None:
            found = world.harness.gateway.rooms.get(tenant, room)
            epoch = "unknown" if found is None else found.channel.epoch
            data = {"epoch": epoch, "seq": seq}
            await client.send("room", "join", data, room=room, seq=3)

        self.send(tenant, user, recovering)

    @rule(tenant=TENANTS, user=USERS, room=ROOMS)
    def ask_who_is_there(self, tenant: str, user: str, room: str) -> None:
        self.send(
            tenant,
            user,
            lambda _, client: client.send("room", "members", room=room, seq=4),
        )

    @rule(tenant=TENANTS, user=USERS, room=ROOMS, theirs=st.booleans())
    def send_a_frame(self, tenant: str, user: str, room: str, theirs: bool) -> None:
        async def sending(world: World, client: ScriptedClient) -> None:
            whose = {MINE: OTHER, OTHER: MINE}[tenant] if theirs else tenant
            alias = world.aliases.get((whose, room), NO_ALIAS)
            await client.send("room", "join", room=room, seq=9)
            await client.send_frame(LAB, RELAY, b"x", alias=alias, seq=5)

        self.send(tenant, user, sending)

    @rule(tenant=TENANTS, user=USERS)
    def send_what_nobody_takes(self, tenant: str, user: str) -> None:
        async def sending(_: World, client: ScriptedClient) -> None:
            await client.send("nobody", "listens", seq=6)
            await client.send_frame(LAB, ANYWHERE, seq=7)

        self.send(tenant, user, sending)

    @rule(seconds=st.sampled_from([0.1, 1, 10]))
    def wait(self, seconds: float) -> None:
        self.act(MINE, lambda world: world.harness.advance(seconds))


# Each step is a turn of two gateways: to shrink a failure would take too long.
QUICK = settings(
    max_examples=100 if FULL else 12,
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),
)


def test_a7_a_tenant_sees_nothing_of_another() -> None:
    run_state_machine_as_test(Tenants, settings=QUICK)


# ------------------------------------------------------------------------------- A8

#: Names that are refused at the gateway, whatever carries rooms between gateways.
BAD_ROOMS = (
    *("*", ">", "a.>", "hall.*", "[a-z]*", "h?ll", "{}", "a b", " hall", "hall ", ""),
    *("\r\nPUB x 1\r\n", "hall\r\nPUB x 1\r\n", "hall\n", "\0", "hall\0", "$SYS.>"),
    *("$JS.API.>", "../", "main/hall", "..\\", "hall#", "+", "a,b", "a;b", "a=b"),
    *("caf\u00e9", "cafe\u0301", "\u202ehall", "hall\u200b", "\uff48all", "h\u0430ll"),
    *("x" * 129, "x" * 255, "x" * 256, "\ud83d\ude00", "%2e%2e", "a%00", "`a`", '"'),
)
#: Names that look odd and are names like any other.
ODD_ROOMS = (
    "a..b",
    ".",
    "..",
    ":",
    "-",
    "@",
    "_",
    "main:hall",
    "other:hall",
    "x" * 128,
)


async def test_a8_names_that_no_room_has(gateways: Gateways) -> None:
    gateway = gateways({"gateway": {"max_strikes": 1}})
    names = [*BAD_ROOMS, *NAUGHTY["line ends"], *NAUGHTY["controls"]]
    async with (
        Row(gateway, closes={1000: len(names) + 1}) as row,
        Listener(await row.connect("witness", tenant="other")) as witness,
    ):
        await witness.send("room", "join", room="hall")
        await witness.until("sys.joined")
        for name in names:
            async with Listener(await row.connect()) as one:
                for svc, type in (
                    *(("room", "join"), ("room", "members"), ("room", "leave")),
                    ("chat", "send"),
                ):
                    message = {"svc": svc, "type": type, "room": name, "seq": 1}
                    await one.peer.send("text", json.dumps(message).encode())
                errors = await one.until("sys.error", 4)
                told = {(one["data"]["code"], one["data"]["msg"]) for one in errors}
                assert told == {("BAD_REQUEST", "bad room name")}, name
                # It is no strike, and nothing is left of it.
                await one.leave()
        assert gateway.look().metrics["wsprism_rooms{}"] == 1
        await witness.leave()


async def test_a8_odd_names_are_rooms_of_their_own(gateways: Gateways) -> None:
    gateway = gateways(None)
    async with (
        Row(gateway, closes={1000: 2}) as row,
        Listener(await row.connect("witness", tenant="other")) as witness,
        Listener(await row.connect("mallory", tenant="main")) as one,
    ):
        for place, name in enumerate(("hall", *ODD_ROOMS)):
            for member in (witness, one):
                await member.send("room", "join", room=name)
                joined = (await member.until("sys.joined", place + 1))[-1]
                # Nobody else is in it, in either tenant.
                assert (joined["room"], joined["data"]["count"]) == (name, 1)
            await one.send("probe", "say", name, room=name)
            said = (await one.until("probe.said", place + 1))[-1]
            assert (said["room"], said["data"]) == (name, name)
        await witness.send("probe", "echo")
        await witness.until("probe.echoed")
        assert not witness.of("probe.said")
        for member in (witness, one):
            await member.leave()
