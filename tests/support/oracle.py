"""What must hold for every piece of bad input and every fault.

The gateway stays up; the others' echoes are as fast as ever; memory is back within 5 s;
no task, descriptor or registry entry is left; each end is counted once and logged once,
with its reason; and the log holds no trace, ticket or payload.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from support.gateway_process import TICKET, Echoes, GatewayProcess, Look
from support.peers import StreamPeer, WebSocketPeer
from support.waiting import until

__all__ = ("FAST_ENOUGH", "FULL", "MANY", "MIB", "SECRET", "SLACK", "Row")

PeerT = TypeVar("PeerT", bound=StreamPeer)

MIB: Final = 1024 * 1024
#: Whether full sizes are wanted (`poe faults`), on a machine that does nothing else.
FULL: Final = os.environ.get("WSPRISM_FAULTS") == "1"
#: The same beside thousands of rooms or sessions that come and go.
MANY: Final = 100.0 if FULL else 500.0
#: Seconds that a busy machine may add to a stated time.
SLACK: Final = 0.5 if FULL else 3.0
#: What tests put into payloads, so that it is found where it should not be.
SECRET: Final = "hush-hush"
#: Round trips that are no harm, in milliseconds: busy cores have pauses of their own.
FAST_ENOUGH: Final = 25.0 if FULL else 250.0
#: The outcomes of handshakes over a bound.
TOO_MANY: Final = frozenset({"429", "503"})
#: What the watchdog says where the machine holds up the gateway.
PAUSES: Final = () if FULL else ("event_loop_late", "slow_handler")
#: Round trips that tell a 99th percentile.
ENOUGH: Final = 200
#: Seconds until everything is as it was.
RECOVERY: Final = 5.0


class Row:
    """One row: what is done within it must leave the gateway as it was.

    Args:
        gateway: The gateway.
        closes: The sessions that end of it, by close code.
        refusals: The connections that become no session, by outcome.
        warnings: Events that may be logged as warnings or errors.
        slowdown: How much slower the others' echoes may be; None where the row holds
            up the event loop on purpose.
        fast_enough: Round trips that are no harm, in milliseconds.

    Attributes:
        before: How the gateway was.
        entries: What it logged meanwhile; after the end.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        *,
        closes: Mapping[int, int] | None = None,
        refusals: Mapping[int, int] | None = None,
        warnings: tuple[str, ...] = (),
        slowdown: float | None = 2.0,
        fast_enough: float = FAST_ENOUGH,
    ) -> None:
        self.gateway = gateway
        self.expect(closes, refusals)
        self._warnings = (*warnings, *PAUSES)
        self._slowdown = slowdown
        self._fast_enough = fast_enough
        self._peers: list[StreamPeer] = []
        self.entries: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        gateway = self.gateway
        # What came before may still be ending.
        assert await until(self._is_calm)
        self._log_start = gateway.log_size
        gateway.echoes(at_least=1)
        gateway.forget_peak()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for peer in self._peers:
            peer.drop()
        if error is None:
            await self._check()

    def expect(
        self,
        closes: Mapping[int, int] | None = None,
        refusals: Mapping[int, int] | None = None,
    ) -> None:
        """Say what the row brings about, where that is known only now."""
        self._closes = _by_name(closes)
        self._refusals = _by_name(refusals)

    async def connect(
        self,
        user: str = "mallory",
        *extra: str,
        tenant: str = "main",
        port: int | None = None,
    ) -> WebSocketPeer:
        """Connect; it is dropped at the end of the row."""
        peer = await self.gateway.connect(user, *extra, tenant=tenant, port=port)
        self._peers.append(peer)
        return peer

    def keep(self, peer: PeerT) -> PeerT:
        """Have a connection dropped at the end of the row."""
        self._peers.append(peer)
        return peer

    @property
    def peak_growth(self) -> int:
        """By how much memory has grown at most since the row began, in bytes."""
        return self.gateway.memory("VmHWM") - self.before.rss

    async def _check(self) -> None:
        gateway, before = self.gateway, self.before
        after = before

        def is_as_it_was() -> bool:
            nonlocal after
            after = gateway.look()
            return not self._changes(after)

        await until(is_as_it_was, RECOVERY)
        changes = self._changes(after)
        assert not changes, changes
        assert gateway.is_up
        echoes = gateway.echoes()
        assert echoes.died is None
        if self._slowdown is not None:
            limit = max(self._slowdown * gateway.quiet.p99, self._fast_enough)
            if echoes.p99 > limit:
                # Of few the 99th percentile is the one that the machine held up.
                more = gateway.echoes(at_least=ENOUGH)
                echoes = Echoes([*echoes.times, *more.times], more.died)
            assert echoes.p99 <= limit, (echoes.p99, gateway.quiet.p99)
        self.entries = gateway.logged(self._log_start)
        self._check_log()

    def _is_calm(self) -> bool:
        """Look; say whether there is nobody but the canary and who looks."""
        self.before = self.gateway.look()
        return self.before.alive == {"WebSocketLink": 1, "Session": 1, "Door": 1}

    def _changes(self, after: Look) -> dict[str, tuple[object, object]]:
        """Return what is not as it was, but for what the row is to bring about."""
        before = self.before
        changes: dict[str, tuple[object, object]] = {
            "closes": (after.closes - before.closes, self._closes),
            "refusals": (after.refusals - before.refusals, self._refusals),
            "fds": (after.fds, before.fds),
            "tasks": (after.tasks, before.tasks),
            "alive": (after.alive, before.alive),
            "registered": (after.registered, before.registered),
            "ended twice": (after.ended_twice, 0),
        }
        different = {name: two for name, two in changes.items() if two[0] != two[1]}
        if after.rss > 1.1 * before.rss:
            different["rss"] = (after.rss, before.rss)
        return different

    def _check_log(self) -> None:
        ends: Counter[str] = Counter()
        refusals: Counter[str] = Counter()
        for entry in self.entries:
            match entry["event"]:
                case "session_closed":
                    ends[str(entry["code"])] += 1
                    # A peer that leaves need not say why.
                    assert entry["reason"] or entry["code"] == 1000, entry
                # Of a session it is a message that is refused, said at level DEBUG.
                case "refused" | "ended_early" if "sid" not in entry:
                    refusals[str(entry["code"])] += 1
                    assert entry["reason"], entry
            if entry["level"] in ("warning", "error"):
                # A machine that had other things to do is late without anybody's doing.
                assert entry["event"] in (*self._warnings, "event_loop_late"), entry
        # In a storm some are logged, and all are counted.
        for outcome in TOO_MANY & self._refusals.keys():
            refusals[outcome] = self._refusals[outcome]
        assert (ends, refusals) == (self._closes, self._refusals)
        text = json.dumps(self.entries)
        for never in (TICKET, SECRET, "Traceback", "traceback"):
            assert never not in text


def _by_name(counts: Mapping[int, int] | None) -> Counter[str]:
    return Counter({str(code): count for code, count in (counts or {}).items()})
