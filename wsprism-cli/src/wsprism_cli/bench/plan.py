"""A plan: who connects, what they send, and for how long. Plain data, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ("Group", "Kind", "Phase", "Plan", "Reads", "Stream")

#: `count` reads nothing but how many there are, `all` reads the time of each, `ledger`
#: follows the numbers of a recoverable room as well, and `pages` tells pages of history
#: from what is live.
Reads: TypeAlias = Literal["count", "all", "ledger", "pages"]
Kind: TypeAlias = Literal["chat", "history", "input", "event", "ping", "ticker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Clients that are alike.

    Args:
        name: How streams name it.
        size: How many.
        rooms: What they join, in order; `{n}` is the client's index.
        reads: What they make of what they receive.
        symbols: What they subscribe to of the market.
        bytes_per_s: How fast they read; 0 is as fast as they can.
        reconnects_per_s: How many of the group hang up and come back in a second.
        apart: Whether a process of its own has them, so that they are not late because
            of what the others read.
        spread: Over how many rooms `{n}` spreads them, evenly; 0 is a room for each.
    """

    name: str
    size: int
    rooms: tuple[str, ...] = ()
    reads: Reads = "all"
    symbols: tuple[str, ...] = ()
    bytes_per_s: int = 0
    reconnects_per_s: float = 0
    apart: bool = False
    spread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Messages of one kind.

    Args:
        name: What it is called in tables.
        lane: The lane that it comes back in.
        kind: What is sent; tickers are sent by nobody, they come by themselves.
        group: Whose members send.
        senders: How many of them, the first ones.
        room: Where to; `{n}` is the sender's index.
        size: The length of a text or payload.
        rate: Messages a second of each sender, whatever becomes of them; 0 is a
            closed loop.
        window: Messages of each sender that may be under way, in a closed loop.
    """

    name: str
    lane: str
    kind: Kind
    group: str
    senders: int = 0
    room: str = ""
    size: int = 32
    rate: float = 0
    window: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of time in which some of the streams flow.

    Args:
        name: What it is called in tables.
        seconds: How long.
        streams: The names of those that flow.
        recorded: Whether it counts; what warms up does not.
        settle: Seconds afterwards in which nothing is sent and late ones still count.
        counted: The stream that clients who only count receive.
        drops: The group whose connections all drop as it begins; each comes back to its
            session.
    """

    name: str
    seconds: float
    streams: tuple[str, ...]
    recorded: bool = True
    settle: float = 0
    counted: str | None = None
    drops: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that the load clients do.

    Args:
        scenario: Its name.
        groups: Who connects, in the order of their indices.
        streams: What flows; its place in here is its number on the wire.
        phases: When.
        at_once: Connections that are opened side by side.
        connects_per_s: How many to open in a second; 0 is as fast as they are let in.
    """

    scenario: str
    groups: tuple[Group, ...]
    streams: tuple[Stream, ...] = ()
    phases: tuple[Phase, ...] = ()
    at_once: int = 64
    connects_per_s: float = 0

    @property
    def clients(self) -> int:
        """How many clients connect."""
        return sum(group.size for group in self.groups)

    @property
    def dropped(self) -> frozenset[str]:
        """The groups whose connections drop."""
        return frozenset(one.drops for one in self.phases if one.drops is not None)

    @property
    def seconds(self) -> float:
        """How long the phases take."""
        return sum(phase.seconds + phase.settle for phase in self.phases)

    @property
    def is_divided(self) -> bool:
        """Whether some clients have a process of their own, the first."""
        return any(group.apart for group in self.groups)

    def processes(self, workers: int) -> int:
        """Return how many processes it takes, with so many for those not apart."""
        return workers + self.is_divided

    def share(self, place: int, processes: int) -> list[tuple[int, Group]]:
        """Return the clients of one of the processes, each with its index.

        Args:
            place: Which of them; those apart are in the first.
            processes: How many there are.
        """
        first = int(self.is_divided)
        clients = enumerate(group for group in self.groups for _ in range(group.size))
        return [
            (number, group)
            for number, group in clients
            if place == (0 if group.apart else first + number % (processes - first))
        ]

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Plan:
        """Return the plan that `dataclasses.asdict` told of, by way of JSON."""

        def parts(kind: type[Any], name: str) -> tuple[Any, ...]:
            return tuple(
                kind(
                    **{
                        key: tuple(value) if isinstance(value, list) else value
                        for key, value in part.items()
                    }
                )
                for part in told[name]
            )

        return cls(
            **{
                **told,
                "groups": parts(Group, "groups"),
                "streams": parts(Stream, "streams"),
                "phases": parts(Phase, "phases"),
            }
        )
