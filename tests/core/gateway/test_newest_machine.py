"""Random senders against a plain list of what they sent, on the real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.aiming import AFAR, MOVE, RANGE, TURN, Range
from wsprism_core import HotFrame
from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

#: Numbers are steps from here, so that the 32 bits wrap in the middle of a run.
START = 2**32 - 12
STEPS = st.integers(0, 30)
ROOMS = st.sampled_from(["r1", "r2"])
QUEUE = 4


class OnAGateway(RuleBasedStateMachine):
    """One client of a gateway with the service `range`."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run(self.begin())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    async def begin(self) -> None:
        self.service = Range()
        config = config_with(gateway={"max_async_queue": QUEUE})
        self.harness = GatewayHarness(self.service, config=config)
        await self.harness.__aenter__()
        self.client: ScriptedClient = await self.harness.dial(ticket="dev")

    def teardown(self) -> None:
        self.run(self.harness.__aexit__(None, None, None))
        self.runner.close()

    def count(self, reason: str) -> int:
        return self.harness.metrics.outdated["default", "range", reason]


class Frames(OnAGateway):
    """A frame gets through if no number from its own on was taken in its membership."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str | None, int], list[int]] = {}
        self.aliases: dict[str, int] = {}
        self.dropped = {"stale": 0, "duplicate": 0}
        super().__init__()

    @rule(room=ROOMS)
    def come_or_go(self, room: str) -> None:
        self.run(self._come_or_go(room))

    async def _come_or_go(self, room: str) -> None:
        if room in self.aliases:
            await self.client.leave(room)
            del self.aliases[room]
            self.taken = {key: of for key, of in self.taken.items() if key[0] != room}
        else:
            self.aliases[room] = (await self.client.join(room))["data"]["alias"]

    @precondition(lambda self: self.aliases)
    @rule(
        choice=st.integers(0, 9), opcode=st.sampled_from([MOVE, TURN]), step=STEPS,
        ack=st.booleans(),
    )  # fmt: skip
    def send(self, choice: int, opcode: int, step: int, ack: bool) -> None:
        rooms = sorted(self.aliases)
        room = rooms[choice % len(rooms)]
        self.run(self._send(room, opcode, step, ack))

    @rule(step=STEPS, ack=st.booleans())
    def send_for_no_room(self, step: int, ack: bool) -> None:
        self.run(self._send(None, AFAR, step, ack))

    async def _send(self, room: str | None, opcode: int, step: int, ack: bool) -> None:
        taken = self.taken.setdefault((room, opcode), [])
        self.service.seen.clear()
        self.client._unread.clear()
        seq = (START + step) % 2**32
        await self.client.send_frame(
            RANGE,
            opcode,
            seq=seq,
            alias=None if room is None else self.aliases[room],
            ack=ack,
        )
        passes = all(step > other for other in taken)
        assert self.service.seen == [b""] * passes
        if passes:
            taken.append(step)
        else:
            self.dropped["duplicate" if step == taken[-1] else "stale"] += 1
        acks = [one.seq for one in self.client.unread if isinstance(one, HotFrame)]
        assert acks == [seq] * ack

    @invariant()
    def everything_is_counted(self) -> None:
        for reason, count in self.dropped.items():
            assert self.count(reason) == count


@dataclass
class Waiting:
    """A message of which the model knows that it waits."""

    key: tuple[Any, ...] | None
    seq: int
    data: Any = field(default=None)


class Bursts(OnAGateway):
    """Messages that wait for a slow service, against a list that is searched."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.seen: list[Any] = []
        self.under_way: int | None = None
        self.newest = -1
        self.number = 0
        super().__init__()

    @rule(type=st.sampled_from(["say", "look"]))
    def send(self, type: str) -> None:
        self.number += 1
        self.run(self._send(type, self.number, (type,) if type == "look" else None))

    @rule(weapon=st.sampled_from(["bow", "gun"]))
    def aim(self, weapon: str) -> None:
        self.number += 1
        data = {"weapon": weapon, "at": self.number}
        self.run(self._send("aim", data, ("aim", weapon)))

    @rule(step=st.integers(0, 30))
    def run_to(self, step: int) -> None:
        self.run(self._send("run", step, ("run",), numbered=step))

    async def _send(
        self,
        type: str,
        data: Any,
        key: tuple[Any, ...] | None,
        *,
        numbered: int | None = None,
    ) -> None:
        # Only `run` is judged by its number; that of the others just tells them apart.
        seq = numbered if numbered is not None else 1000 + self.number
        if len(self.waiting) == QUEUE:
            # So that the errors of a second are never too many to be told.
            await self.harness.advance(1)
        before = len(self.client.unread)
        await self.client.send("range", type, data, seq=seq, ack=True)
        told = [
            (one["type"], one["ref"], (one.get("data") or {}).get("dropped"))
            for one in self.client.unread[before:]
            if isinstance(one, dict)
        ]
        if numbered is not None and numbered <= self.newest:
            why = "duplicate" if numbered == self.newest else "stale"
            assert told == [("ack", seq, why)]
            return
        elder = next((one for one in self.waiting if key and one.key == key), None)
        if elder is not None:
            place = self.waiting.index(elder)
            self.waiting[place] = Waiting(key, seq, data)
            assert told == [("ack", elder.seq, "superseded")]
        elif self.under_way is None:
            self.under_way = seq
            self.seen.append(data)
            assert told == []
        elif len(self.waiting) == QUEUE:
            assert [one[:2] for one in told] == [("error", seq)]
            if numbered is not None:
                # It may come again; what is older is still old.
                self.newest = numbered - 1
            return
        else:
            self.waiting.append(Waiting(key, seq, data))
            assert told == []
        if numbered is not None:
            self.newest = numbered

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def finish_one(self) -> None:
        self.run(self._finish_one())

    async def _finish_one(self) -> None:
        before = len(self.client.unread)
        self.service.let(1)
        await self.harness.settle()
        told = self.client.unread[before:]
        assert [one["ref"] for one in told if isinstance(one, dict)] == [self.under_way]
        self.under_way = None
        if self.waiting:
            one = self.waiting.pop(0)
            self.under_way = one.seq
            self.seen.append(one.data)

    @invariant()
    def the_service_saw_what_it_should(self) -> None:
        assert self.service.seen == self.seen
        assert len(self.waiting) <= QUEUE


# Each step is a gateway's turn: to shrink a failure would take longer than a test may.
QUICK = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),
)
TestFrames = Frames.TestCase
TestFrames.settings = QUICK
TestBursts = Bursts.TestCase
TestBursts.settings = QUICK
