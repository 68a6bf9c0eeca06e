"""The scenarios: each makes a plan of what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wsprism_cli.bench.plan import Group, Kind, Phase, Plan, Stream
from wsprism_cli.bench.wire import SMALLEST

__all__ = ("SCENARIOS", "Load", "Scenario", "Wishes")

#: Messages of each publisher that are under way in a closed loop that saturates.
WINDOW: Final = 16
#: Seconds that do not count, before each stretch that does.
WARM_UP: Final = 0.5
SYMBOLS: Final = ("*",)
#: Members of a room whose connections drop.
MEMBERS: Final = 100
#: A throttled reader's speed, and what is offered to it, in bytes a second.
SLOW_READER: Final = 1_000_000

#: Text messages, and hot frames beside them: name, lane, kind.
_BOTH_FORMS: Final[tuple[tuple[str, str, Kind], ...]] = (
    ("chat", "interactive", "chat"),
    ("game", "realtime", "event"),
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for; None is the scenario's own.

    Args:
        duration: Seconds that are measured.
        clients: How many connect.
        rate: Messages a second of each who sends, or connections a second.
        window: Messages of each that may be under way, in a closed loop.
        size: Length of a text or payload.
    """

    duration: float | None = None
    clients: int | None = None
    rate: float | None = None
    window: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a plan is made of: the wishes, and the scenario's own for the others.

    Args:
        duration: Seconds that are measured.
        clients: How many connect.
        rate: Messages a second of each who sends; 0 is the scenario's own, or none.
        window: Messages of each that may be under way; 0 where there is a rate.
        size: Length of a text or payload.
    """

    duration: float
    clients: int
    rate: float
    window: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario.

    Args:
        summary: What it does, in a line.
        plugins: What it needs.
        duration: Seconds, unless wished for.
        clients: How many, unless wished for.
        size: Of a message, unless wished for.
        plan: Makes the plan.
        least_clients: With fewer there is nothing to see.
        quotes_per_s: How many quotes market makes up.
        window: Messages of each that are under way, unless wished for; 0 where it has
            no closed loop.
    """

    summary: str
    plugins: tuple[str, ...]
    duration: float
    clients: int
    size: int
    plan: Callable[[Load], Plan]
    least_clients: int = 1
    quotes_per_s: float = 5
    window: int = 0

    def make(self, wishes: Wishes) -> Plan:
        """Return the plan.

        Raises:
            ValueError: There would be nothing to see; the text says why.
        """
        clients = self.clients if wishes.clients is None else wishes.clients
        size = self.size if wishes.size is None else wishes.size
        if clients < self.least_clients:
            raise ValueError(f"needs at least {self.least_clients} clients")
        if size < SMALLEST:
            raise ValueError(f"needs messages of at least {SMALLEST} bytes")
        if wishes.window is not None and not self.window:
            raise ValueError("has no closed loop, and so no window")
        if wishes.window is not None and wishes.rate is not None:
            raise ValueError("takes a rate or a window, not both")
        rate = wishes.rate or 0
        return self.plan(
            Load(
                duration=wishes.duration or self.duration,
                clients=clients,
                rate=rate,
                window=0 if rate else wishes.window or self.window,
                size=size,
            )
        )


def _both_forms(load: Load, group: str, senders: int, room: str) -> tuple[Stream, ...]:
    """Return text messages of a group, and hot frames beside them."""
    return tuple(
        Stream(
            name=name,
            lane=lane,
            kind=kind,
            group=group,
            senders=senders,
            room=room,
            size=load.size,
            rate=load.rate,
            window=load.window,
        )
        for name, lane, kind in _BOTH_FORMS
    )


def _chat(
    load: Load, senders: int, room: str, *, rate: float, window: int = 0
) -> Stream:
    """Return what the talkers say."""
    return Stream(
        name="chat",
        lane="interactive",
        kind="chat",
        group="talkers",
        senders=senders,
        room=room,
        size=load.size,
        rate=rate,
        window=window,
    )


def _players(load: Load, senders: int, *, pings: float) -> tuple[Stream, ...]:
    """Return what the players send and get; `pings` are those of each in a second."""
    return (
        Stream(
            name="control",
            lane="control",
            kind="ping",
            group="players",
            senders=senders,
            rate=pings,
        ),
        Stream(
            name="game",
            lane="realtime",
            kind="input",
            group="players",
            senders=senders,
            room="match",
            size=load.size,
            rate=30,
        ),
        Stream(name="market", lane="market", kind="ticker", group="players"),
    )


def _echo(load: Load) -> Plan:
    streams = _both_forms(load, "clients", load.clients, "echo-{n}")
    return Plan(
        scenario="echo",
        groups=(Group(name="clients", size=load.clients, rooms=("echo-{n}",)),),
        streams=streams,
        phases=_one_after_the_other(load.duration, ("chat", "game")),
    )


def _fanout(load: Load) -> Plan:
    publishers = min(8, max(1, load.clients // 4))
    # Some who send nothing are timed too; the others are only counted.
    timed = min(load.clients - publishers, publishers)
    streams = _both_forms(load, "publishers", publishers, "hall")
    rest = load.clients - publishers - timed
    return Plan(
        scenario="fanout",
        groups=(
            Group(name="publishers", size=publishers, rooms=("hall",)),
            Group(name="counted", size=rest, rooms=("hall",), reads="count"),
            Group(name="timed", size=timed, rooms=("hall",)),
        ),
        streams=streams,
        phases=_one_after_the_other(load.duration, ("chat", "game")),
    )


def _one_after_the_other(duration: float, names: tuple[str, ...]) -> tuple[Phase, ...]:
    """Return a phase for each stream, each behind one that warms it up."""
    phases = []
    for name in names:
        phases += [
            Phase(
                name=f"{name}, warming up",
                seconds=WARM_UP,
                streams=(name,),
                recorded=False,
                counted=name,
            ),
            Phase(
                name=name,
                seconds=duration / len(names),
                streams=(name,),
                settle=WARM_UP,
                counted=name,
            ),
        ]
    return tuple(phases)


def _flood(load: Load) -> Plan:
    players = min(20, load.clients // 2)
    publishers = min(8, max(1, load.clients - players))
    calm = ("game", "market", "control")
    return Plan(
        scenario="flood",
        groups=(
            Group(
                name="players",
                size=players,
                rooms=("lobby", "match"),
                symbols=SYMBOLS,
                apart=True,
            ),
            Group(name="talkers", size=publishers, rooms=("lobby",)),
            Group(
                name="lobby",
                size=load.clients - players - publishers,
                rooms=("lobby",),
                reads="count",
            ),
        ),
        streams=(
            *_players(load, players, pings=5),
            _chat(load, publishers, "lobby", rate=load.rate, window=load.window),
        ),
        phases=(
            Phase(name="warming up", seconds=WARM_UP, streams=calm, recorded=False),
            Phase(
                name="calm",
                seconds=load.duration / 2,
                streams=calm,
                settle=WARM_UP,
                counted="chat",
            ),
            Phase(
                name="flood begins",
                seconds=WARM_UP,
                streams=(*calm, "chat"),
                recorded=False,
                counted="chat",
            ),
            Phase(
                name="flood",
                seconds=load.duration / 2,
                streams=(*calm, "chat"),
                settle=WARM_UP,
                counted="chat",
            ),
        ),
    )


def _slow(load: Load) -> Plan:
    flow = ("game", "chat")
    return Plan(
        scenario="slow",
        groups=(
            Group(name="players", size=1, rooms=("lobby",), reads="ledger"),
            Group(name="talkers", size=1, rooms=("lobby",), reads="ledger"),
            Group(
                name="slow readers",
                size=load.clients,
                rooms=("lobby",),
                reads="ledger",
                bytes_per_s=SLOW_READER,
            ),
        ),
        streams=(
            Stream(
                name="game",
                lane="realtime",
                kind="input",
                group="players",
                senders=1,
                room="lobby",
                size=200,
                rate=30,
            ),
            _chat(load, 1, "lobby", rate=load.rate or 2 * SLOW_READER / load.size),
        ),
        phases=(
            # Until the lanes of the slow are full.
            Phase(
                name="slow begins",
                seconds=min(1.5, load.duration),
                streams=flow,
                recorded=False,
            ),
            # It ends when the slow have had what waits for them.
            Phase(name="slow", seconds=load.duration, streams=flow, settle=10.0),
        ),
    )


def _storm(load: Load) -> Plan:
    return Plan(
        scenario="storm",
        groups=(
            Group(name="clients", size=load.clients, rooms=("hall",), reads="count"),
        ),
        phases=(Phase(name="idle", seconds=load.duration, streams=()),),
        connects_per_s=load.rate,
    )


def _resume(load: Load) -> Plan:
    rooms = max(1, load.clients // MEMBERS)
    return Plan(
        scenario="resume",
        groups=(
            # They stay, and go on talking while the others are away.
            Group(name="talkers", size=rooms, rooms=("hall-{n}",), reads="ledger"),
            Group(
                name="members",
                size=load.clients,
                rooms=("hall-{n}",),
                reads="ledger",
                spread=rooms,
            ),
        ),
        streams=(_chat(load, rooms, "hall-{n}", rate=load.rate or 2),),
        phases=(
            Phase(name="before", seconds=2.0, streams=("chat",), recorded=False),
            Phase(
                name="resume",
                seconds=load.duration,
                streams=("chat",),
                settle=5.0,
                drops="members",
            ),
        ),
    )


def _history(load: Load) -> Plan:
    talkers = min(8, max(1, load.clients // 4))
    pagers = min(20, max(1, load.clients // 4))
    return Plan(
        scenario="history",
        groups=(
            Group(name="talkers", size=talkers, rooms=("hall",)),
            Group(name="pagers", size=pagers, rooms=("hall",), reads="pages"),
            Group(
                name="members", size=load.clients - talkers - pagers, rooms=("hall",)
            ),
        ),
        streams=(
            _chat(load, talkers, "hall", rate=load.rate or 20),
            Stream(
                name="pages",
                lane="bulk",
                kind="history",
                group="pagers",
                senders=pagers,
                room="hall",
                window=1,
            ),
        ),
        phases=(
            # The room gets a history from this.
            Phase(name="filling", seconds=1.0, streams=("chat",), recorded=False),
            Phase(
                name="live",
                seconds=load.duration / 2,
                streams=("chat",),
                settle=WARM_UP,
            ),
            Phase(
                name="paging begins",
                seconds=WARM_UP,
                streams=("chat", "pages"),
                recorded=False,
            ),
            Phase(
                name="paging",
                seconds=load.duration / 2,
                streams=("chat", "pages"),
                settle=WARM_UP,
            ),
        ),
    )


def _soak(load: Load) -> Plan:
    players = max(1, load.clients // 4)
    passers_by = max(1, load.clients // 4)
    talkers = max(1, load.clients - players - passers_by)
    return Plan(
        scenario="soak",
        groups=(
            Group(
                name="players",
                size=players,
                rooms=("lobby", "match"),
                symbols=SYMBOLS,
            ),
            Group(
                name="talkers",
                size=talkers,
                rooms=("lobby",),
            ),
            Group(
                name="passers-by",
                size=passers_by,
                rooms=("lobby",),
                reads="count",
                reconnects_per_s=2,
            ),
        ),
        streams=(
            *_players(load, players, pings=1),
            _chat(
                load,
                max(1, load.clients - players - passers_by),
                "lobby",
                rate=load.rate or 1,
            ),
        ),
        phases=(
            Phase(
                name="soak",
                seconds=load.duration,
                streams=("control", "game", "market", "chat"),
                settle=WARM_UP,
                counted="chat",
            ),
        ),
    )


#: By name.
SCENARIOS: Final = {
    "echo": Scenario(
        summary="each client waits for its own message: the round trip",
        plugins=("chat", "game"),
        duration=6,
        clients=1,
        size=32,
        plan=_echo,
        window=1,
    ),
    "fanout": Scenario(
        summary="one room, as much as it takes: deliveries a second",
        plugins=("chat", "game"),
        duration=8,
        clients=200,
        size=32,
        plan=_fanout,
        window=WINDOW,
        least_clients=2,
    ),
    "flood": Scenario(
        summary="chat floods; what becomes of game, market and control",
        plugins=("chat", "game", "market"),
        duration=8,
        clients=200,
        size=32,
        plan=_flood,
        window=WINDOW,
        least_clients=2,
        quotes_per_s=50,
    ),
    "slow": Scenario(
        summary="readers of 1 MB/s who are sent 2 MB/s: how old is what they get",
        plugins=("chat", "game"),
        duration=8,
        clients=5,
        size=1_000,
        plan=_slow,
    ),
    "storm": Scenario(
        summary="everybody connects at once: connections a second, memory for each",
        plugins=("chat", "game"),
        duration=1,
        clients=2_000,
        size=32,
        plan=_storm,
    ),
    "resume": Scenario(
        summary="all connections drop at once: how long until all are back and whole",
        plugins=("chat",),
        duration=8,
        clients=2_000,
        size=32,
        plan=_resume,
    ),
    "history": Scenario(
        summary="pages of history are pulled without end; what becomes of live chat",
        plugins=("chat",),
        duration=8,
        clients=100,
        size=200,
        plan=_history,
        least_clients=3,
    ),
    "soak": Scenario(
        summary="a bit of everything for long: does memory grow, does the tail",
        plugins=("chat", "game", "market"),
        duration=60,
        clients=60,
        size=32,
        plan=_soak,
        least_clients=4,
        quotes_per_s=20,
    ),
}
