"""One simulation: a gateway, its clients, the links between them, and time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final
from unittest.mock import patch

from simulation.clients import Client, Keeping
from simulation.invariants import Invariant, Violation
from simulation.lab import LabPlugin
from simulation.ledger import Ledger, Tally
from simulation.links import Network, SimulatedLink
from simulation.tap import TappedEngine, count_encodings
from simulation.traffic import Traffic
from wsprism_chat.plugin import ChatPlugin
from wsprism_core.gateway import Gateway
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.lanes import DEFAULT_LANES
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.testing import VirtualClock, config_with
from wsprism_core.transports.framed import TCP_WIRES
from wsprism_core.transports.memory import MemoryTransport
from wsprism_core.transports.port import NO_CLOSE_FRAME
from wsprism_game.gameplay.plugin import GamePlugin
from wsprism_game.party.plugin import PartyPlugin
from wsprism_market.plugin import MarketPlugin

__all__ = ("Failure", "Outcome", "Plan", "simulate")

TENANTS: Final = ("acme", "zeta")
#: Steps of a trace that are kept.
TRACED: Final = 400
#: Virtual seconds between two looks at what slow clients have read.
TICK: Final = 0.01
#: Ends behind which there is something to come back to.
DROPPED: Final = (
    NO_CLOSE_FRAME,
    CloseCode.SLOW_CONSUMER,
    CloseCode.IDLE_TIMEOUT,
    CloseCode.NO_PONG,
)
#: Seconds by which the end of the window is not sure.
SLACK: Final = 1.0
#: After it nobody who has gone is waited for any more, in virtual seconds.
AFTERMATH: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate; the same plan always comes out the same.

    Attributes:
        seed: Decides everything else.
        sessions: How many clients there are.
        steps: How often one of them does something.
    """

    seed: int
    sessions: int = 200
    steps: int = 1_000

    @property
    def command(self) -> str:
        """What runs it again."""
        return (
            f"uv run poe simulate --seed {self.seed} "
            f"--sessions {self.sessions} --steps {self.steps}"
        )


@dataclass(slots=True)
class Outcome:
    """What happened in a simulation in which everything held.

    Attributes:
        plan: What was simulated.
        transcript: A digest of every byte that the gateway wrote, in order.
        counts: How much of what there was.
    """

    plan: Plan
    transcript: str
    counts: Counter[str] = field(default_factory=Counter)


class Failure(AssertionError):
    """Something did not hold.

    Attributes:
        plan: What was simulated.
        step: When.
        violation: What did not hold.
        trace: The last steps before, one line each.
    """

    def __init__(
        self, plan: Plan, step: int, violation: Violation, trace: list[str]
    ) -> None:
        super().__init__(plan, step, violation)
        self.plan = plan
        self.step = step
        self.violation = violation
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        violation = self.violation
        return _failure, (
            self.plan,
            self.step,
            violation.invariant,
            violation.told,
            self.trace,
        )

    def __str__(self) -> str:
        return (
            f"seed {self.plan.seed}, step {self.step}: {self.violation}\n"
            f"  again: {self.plan.command} --trace 30"
        )


def _failure(
    plan: Plan, step: int, invariant: Invariant, told: str, trace: list[str]
) -> Failure:
    return Failure(plan, step, Violation(invariant, told), trace)


def simulate(plan: Plan) -> Outcome:
    """Run a simulation.

    Raises:
        Failure: Something did not hold.
    """
    with _built(plan) as world:
        return world.run()


class World:
    """A gateway and all that it has to do with.

    Args:
        plan: What to simulate.

    Attributes:
        step: How many steps were done.
        violation: The first thing that did not hold, or None.
    """

    def __init__(self, plan: Plan) -> None:
        chance = Random(plan.seed)
        self.plan = plan
        self.step = 0
        self.violation: Violation | None = None
        self._chance = chance
        self._stamps = count(1)
        self._clock = VirtualClock()
        self._transport = MemoryTransport()
        self._network = Network(self._transport, self._clock)
        self._gateway = self._gateway_with_all()
        engine = self._gateway.delivery
        assert isinstance(engine, TappedEngine)
        engine.violated = self.violated
        # Mostly fewer than a room has members, so that its tails become late.
        engine.writes_per_turn = (1, 2, 5, 64)[plan.seed % 4]
        self._lanes = engine.lanes
        self._tallies = tuple(Tally() for _ in self._lanes)
        self._said: defaultdict[tuple[str, str, str], dict[int, int]] = defaultdict(
            dict
        )
        self._trace: deque[tuple[int, float, tuple[Any, ...]]] = deque(maxlen=TRACED)
        self._sessions: list[weakref.ref[Session]] = []
        self._links: dict[SimulatedLink, Client] = {}
        # How often time passes between two steps, and how much of it: much happens in
        # one turn of a busy gateway.
        self._turns = chance.choice((0.2, 0.6, 1.0))
        self._pause = chance.choice((0.001, 0.004, 0.02))
        self._since_tick = 0.0
        rooms = max(2, plan.sessions // 16)
        self._clients = [self._client(number) for number in range(plan.sessions)]
        self._traffic = Traffic(
            chance,
            self._clients,
            [f"r{number}" for number in range(rooms)],
            lambda: next(self._stamps),
            self._connect,
        )

    # -------------------------------------------------------------------- running

    def run(self) -> Outcome:
        """Run to the end.

        Raises:
            Failure: Something did not hold.
        """
        asyncio.run(self._gateway.start())
        self._clock.settle()
        timers = self._clock.timers
        for client in self._clients:
            self._connect(client, *self._traffic.line(), False)
            self._traffic.join(client)
        self._turn()
        for step in range(1, self.plan.steps + 1):
            self.step = step
            did = self._traffic.act()
            self._trace.append((self.step, self._clock.now(), did))
            if self._chance.random() < self._turns:
                self._turn()
            elif self.step % 2:
                # What takes several turns is seen between them.
                self._clock.run_turn()
            if self._chance.random() < self._turns / 2:
                self._pass(self._chance.expovariate(1 / self._pause))
            self._check()
        self._everybody_reads()
        self._everybody_goes(timers)
        asyncio.run(self._gateway.stop())
        return self._outcome()

    def _turn(self) -> None:
        """End the turn, and let fast clients read until nothing moves."""
        self._clock.settle()
        self._check_turn()
        while self._deliver(self._network.take_touched(), 0.0):
            self._clock.settle()
            self._check_turn()

    def _pass(self, seconds: float, tick: float = TICK) -> None:
        """Let time pass: timers run, and slow clients read at every tick."""
        self._turn()
        left = seconds
        while left > 0:
            before = left
            left = self._clock.step(min(left, tick)) + max(0.0, left - tick)
            self._since_tick += before - left
            self._turn()
            if self._since_tick >= tick:
                self._check_deadlines()
                passed, self._since_tick = self._since_tick, 0.0
                waiting = [one for one in self._links if one.rate and one.pipe.waiting]
                self._deliver(waiting, passed)
                self._turn()

    def _deliver(self, links: list[SimulatedLink], seconds: float) -> bool:
        """Let clients read; return whether there was anything."""
        moved = False
        for link in links:
            client = self._links.get(link)
            if client is None:
                continue
            for message in link.read(seconds):
                moved = True
                if client.link is link:
                    client.receive(message)
            if link.over_and_read:
                del self._links[link]
        return moved

    def _everybody_reads(self) -> None:
        """Let all that waits be read, and check that nothing is missing."""
        self._trace.append((self.step, self._clock.now(), ("everybody reads",)))
        for link, client in list(self._links.items()):
            if link.over is None and link.alive:
                client.prompt = False
                self._traffic.speed_up(client)
        self._pass(0.5)
        # Those that hang are found out by then.
        self._pass(20.0, tick=1.0)
        self._check()
        silenced = self._gateway.metrics.errors_silenced
        for client in self._clients:
            if client.is_open and client.asked:
                silenced -= len(client.asked)
                if silenced < 0:
                    self.violated(
                        Invariant.ANSWERS,
                        f"{client.name}: no answer to {client.asked}",
                    )
        for client in self._clients:
            if client.is_open:
                client.check_whole()
        self._check_counters()
        self._check()

    def _everybody_goes(self, timers: int) -> None:
        self._trace.append((self.step, self._clock.now(), ("everybody goes",)))
        for client in self._clients:
            if client.is_open:
                if self._chance.random() < 0.5:
                    self._traffic.say_goodbye(client)
                else:
                    self._traffic.drop(client)
            client.link = None
        self._turn()
        self._links.clear()
        self._clock.advance(AFTERMATH)
        self._network.take_touched()
        self._check_remains(timers)
        self._check()

    # ------------------------------------------------------------------- checking

    def violated(self, invariant: Invariant, told: str) -> None:
        """Note what does not hold; the first one counts.

        It is raised at the end of the step, since the gateway guards itself against
        whatever is raised within.
        """
        if self.violation is None:
            self.violation = Violation(invariant, told)

    def _check(self) -> None:
        failures = self._gateway.metrics.plugin_failures
        if failures:
            self.violated(Invariant.PLUGINS, str(dict(failures)))
        if self.violation is not None:
            trace = [
                f"{step:>6} {now:10.4f}s  {' '.join(map(str, did))}"
                for step, now, did in self._trace
            ]
            raise Failure(self.plan, self.step, self.violation, trace)

    def _check_turn(self) -> None:
        for link in self._network.touched:
            ledger = link.ledger
            session = ledger.session
            if session is None:
                continue
            if session.outbox.state is OutboxState.CLOSED:
                self.violated(
                    Invariant.CLOSES, f"{ledger.name} gets nothing and is not closed"
                )
                continue
            ledger.check_turn(socket_full=link.pipe.full)

    def _check_deadlines(self) -> None:
        for link in self._links:
            if link.over is None and link.is_late:
                self.violated(
                    Invariant.CLOSES,
                    f"{link.ledger.name} takes nothing and is not closed",
                )

    def _check_counters(self) -> None:
        engine = self._gateway.delivery
        for lane, tally, counted in zip(
            self._lanes, self._tallies, engine.counters, strict=True
        ):
            if tally.out != counted.messages_out:
                self.violated(
                    Invariant.COUNTERS,
                    f"{lane.name}: {tally.out} went out, "
                    f"it says {counted.messages_out}",
                )
            sure = tally.conflated - tally.unsure
            if not sure <= counted.conflated <= tally.conflated:
                self.violated(
                    Invariant.COUNTERS,
                    f"{lane.name}: {sure} to {tally.conflated} were conflated, "
                    f"it says {counted.conflated}",
                )
            gone = tally.dropped + tally.lost
            says_gone = counted.dropped + counted.lost
            # What nobody was told of any more: his session ended, or he left the room.
            if not gone <= says_gone <= gone + tally.discarded:
                self.violated(
                    Invariant.COUNTERS,
                    f"{lane.name}: {gone} were told as lost, it says {says_gone}",
                )

    def _check_remains(self, timers: int) -> None:
        gateway = self._gateway
        remains = {
            "sessions": len(gateway.sessions),
            "sessions by tenant": sum(gateway.sessions.per_tenant().values()),
            "sessions by user": sum(
                len(gateway.sessions.of_user(client.tenant, f"user:{client.user}"))
                for client in self._clients
            ),
            "rooms": len(gateway.rooms),
            "links": len(self._transport.links),
            "timers": self._clock.timers - timers,
            "session objects": sum(one() is not None for one in self._sessions),
        }
        left = {what: many for what, many in remains.items() if many}
        if left:
            self.violated(Invariant.REMAINS, str(left))

    # ------------------------------------------------------------------- building

    def _gateway_with_all(self) -> Gateway:
        chance = self._chance
        # In most worlds the lanes are full early.
        part = chance.choice((1, 8, 32))
        lanes = {
            lane.name: {
                "max_bytes": lane.max_bytes // part,
                "max_messages": lane.max_messages // part,
            }
            for lane in DEFAULT_LANES
        }
        silence_ms = chance.choice((0, 1_500, 4_000))
        self._window = chance.choice((0, 2, 5, 5))
        self._network.silence = silence_ms / 1000
        self._keeping = Keeping(
            history=chance.choice((20, 100, 1_000)), recover=chance.choice((50, 1_000))
        )
        config = config_with(
            gateway={
                "lanes": lanes,
                "writer_send_timeout_ms": silence_ms,
                "ping_interval_ms": 2_000,
                "pong_timeout_ms": 3_000,
                "idle_timeout_ms": 10_000,
                "history": {"messages": self._keeping.history},
                "resume_window_ms": self._window * 1_000,
                "max_recover_messages": self._keeping.recover,
            },
            plugins={
                "market": {
                    "source": {
                        "kind": "random_walk",
                        "per_second": chance.choice((5.0, 100.0)),
                        "seed": self.plan.seed,
                    }
                },
                "party": {"away_grace_ms": 2_000, "invite_ttl_ms": 3_000},
            },
            tenants=TENANTS,
        )
        plugins = PluginSet.load(
            [],
            extra=[
                ChatPlugin(Random(chance.random())),
                GamePlugin(),
                PartyPlugin(Random(chance.random())),
                MarketPlugin(),
                LabPlugin(lambda: next(self._stamps)),
            ],
        )
        return Gateway(
            config,
            plugins,
            self._clock,
            transports=[self._transport],
            development=True,
            chance=Random(chance.random()),
        )

    def _client(self, number: int) -> Client:
        tenant = TENANTS[number % len(TENANTS)]
        # A user has one connection or two, and the tenants have the same users.
        user = f"u{number // 3}"
        codec = "json" if self._chance.random() < 0.7 else "msgpack"
        return Client(
            f"c{number}",
            user,
            tenant,
            codec,
            self._keeping,
            self._said.__getitem__,
            self.violated,
        )

    def _connect(
        self, client: Client, buffer: int | None, rate: float | None, resume: bool
    ) -> None:
        ledger = Ledger(
            client.name,
            client.tenant,
            self._lanes,
            self._tallies,
            self._gateway.delivery.counters,
            self.violated,
        )
        link = SimulatedLink(self._network, ledger, buffer=buffer, rate=rate)
        self._links[link] = client
        ticket = f"dev:{client.user}"
        token = client.token if resume else None
        goes_on = False if token is None else self._goes_on(client)
        client.connected(link, goes_on=goes_on)
        if client.codec == "json":
            self._network.connect(link, client.tenant, ticket, token)
        else:
            self._network.connect(link, client.tenant, None, None)
            auth = {"ticket": ticket, "codec": client.codec}
            if token is not None:
                auth["resume"] = token
            client.send("sys", "auth", auth, ask=True)
        if ledger.session is not None:
            self._sessions.append(weakref.ref(ledger.session))

    def _goes_on(self, client: Client) -> bool | None:
        """Whether a client's session must go on now; None where that may be either."""
        link = client.link
        assert link is not None
        if link.over is None:
            return True
        if link.end_code not in DROPPED:
            return False
        gone = self._clock.now() - link.ended_at
        if abs(gone - self._window) < SLACK:
            return None
        return gone < self._window

    def _outcome(self) -> Outcome:
        counts: Counter[str] = Counter()
        for lane, tally in zip(self._lanes, self._tallies, strict=True):
            counts["posted"] += tally.posted
            counts["written"] += tally.out
            for name in ("conflated", "dropped", "lost", "discarded", "pulled"):
                counts[name] += getattr(tally, name)
                counts[f"{lane.name} {name}"] += getattr(tally, name)
        counts["recovered"] = sum(client.recovered for client in self._clients)
        counts["resumed"] = sum(client.resumed for client in self._clients)
        counts["not resumed"] = sum(client.refused for client in self._clients)
        counts["bytes"] = self._network.bytes_out
        counts["virtual ms"] = round(self._clock.now() * 1000)
        for code, many in self._gateway.metrics.closes.items():
            counts[f"closed {code}"] += many
        return Outcome(self.plan, self._network.digest.hexdigest(), counts)


@contextmanager
def _built(plan: Plan) -> Iterator[World]:
    """Build a world whose codecs count, without the collector."""
    collects = gc.isenabled()
    codecs = {wire: wire.codec for wire in TCP_WIRES.values()}
    gc.disable()
    try:
        for wire, codec in codecs.items():
            wire.codec = count_encodings(codec)
        with patch("wsprism_core.gateway.gateway.DeliveryEngine", TappedEngine):
            world = World(plan)
        yield world
    finally:
        for wire, codec in codecs.items():
            wire.codec = codec
        if collects:
            gc.enable()
