"""A client: what it knows of its rooms, and what it checks of all that it reads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any, Final, NamedTuple

from simulation.facts import Facts
from simulation.invariants import Invariant
from simulation.ledger import Posted
from simulation.links import SimulatedLink
from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.envelope import inbound
from wsprism_core.protocol.hotframe import encode_hot_frame
from wsprism_core.protocol.layout import CloseCode, FrameKind

__all__ = ("Client", "Keeping", "Seat")

#: Pushes and broadcasts that concern a room, and so come to its members alone.
_OF_ROOMS: Final = ("chat.msg", "room.presence")
#: Of these the newest counts, and may stand in an elder's place.
_NEWEST_COUNTS: Final = ("lab.gauge", "lab.pose", "game.1", "market.ticker")
#: How a client that reads and answers may be closed.
_DESERVED: Final = (1000, CloseCode.POLICY_VIOLATION)


class Keeping(NamedTuple):
    """How much the gateway keeps for those who come back.

    Args:
        history: Messages of a room.
        recover: Messages that one client may fetch at once.
    """

    history: int
    recover: int


class Seat:
    """What a client knows of a room that it is in.

    Attributes:
        alias: What stands for it in hot frames.
        epoch: Whose numbers these are.
        seq: The last number that it has, in a message or in a range.
        said: What stands under each number, the same for all members.
    """

    __slots__ = ("alias", "epoch", "said", "seq")

    def __init__(self, data: dict[str, Any], said: MutableMapping[int, int]) -> None:
        self.alias: int = data["alias"]
        self.epoch: str = data["epoch"]
        self.seq: int = data["seq"]
        self.said = said


class Client:
    """A user's program: one connection at a time.

    Args:
        name: Unique in the simulation.
        user: Unique in its tenant.
        tenant: Its tenant.
        codec: `json` or `msgpack`.
        keeping: How much the gateway keeps.
        said: What stands under each number of a room, by tenant, room and epoch.
        violated: Called with what does not hold.

    Attributes:
        link: Its connection, or None.
        seats: The rooms that it is in, as far as it has heard.
        asked: What it waits for an answer to, by `seq`.
        prompt: Whether it has read and answered without a pause since it connected.
        closed: The close code that it read, or None.
        parties: Those that it was invited to.
        seen: The last number that it saw in each room that it has been in, with the
            epoch.
        fetching: Rooms that it has asked to go on in, with an epoch and a number, by
            the `seq` of the question.
    """

    def __init__(
        self,
        name: str,
        user: str,
        tenant: str,
        codec: str,
        keeping: Keeping,
        said: Callable[[tuple[str, str, str]], MutableMapping[int, int]],
        violated: Callable[[Invariant, str], None],
    ) -> None:
        self.name = name
        self.user = user
        self.tenant = tenant
        self.codec = codec
        self.link: SimulatedLink | None = None
        self.seats: dict[str, Seat] = {}
        self.asked: dict[int, str] = {}
        self.prompt = True
        self.closed: int | None = None
        self.parties: dict[str, None] = {}
        self.seen: dict[str, tuple[str, int]] = {}
        self.fetching: dict[int, tuple[str, str, int]] = {}
        self.recovered = 0
        self._keeping = keeping
        self._encode = CODECS[codec].encode
        self._kind = FrameKind.TEXT if codec == "json" else FrameKind.BINARY
        self._said = said
        self._violated = violated
        self._number = 0
        self._marks: dict[Hashable, int] = {}
        self._aliases: dict[int, str] = {}

    # -------------------------------------------------------------------- sending

    def connected(self, link: SimulatedLink) -> None:
        """Begin with a new link."""
        self.link = link
        self.closed = None
        self.prompt = link.rate is None
        for room, seat in self.seats.items():
            self.seen[room] = (seat.epoch, seat.seq)
        self.fetching = {}
        self.seats = {}
        self.asked = {}
        self._marks = {}
        self._aliases = {}

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as the gateway knows."""
        return self.link is not None and self.link.over is None

    def send(
        self,
        svc: str,
        type: str,
        data: Any = None,
        *,
        room: str | None = None,
        ask: bool = False,
    ) -> None:
        """Send a text message."""
        self._number += 1
        if ask:
            self.asked[self._number] = f"{svc}.{type}"
        fields = inbound(
            svc, type, room=room, seq=self._number, ack_requested=ask, data=data
        )
        assert self.link is not None
        self.link.send(self._kind, self._encode(fields))

    def join(self, room: str, *, after: tuple[str, int] | None = None) -> None:
        """Join a room, or fetch what came after a number in an epoch."""
        data = None
        under_way = any(room == asked for asked, *_ in self.fetching.values())
        if after is not None and not under_way:
            epoch, seq = after
            self.fetching[self._number + 1] = (room, epoch, seq)
            data = {"epoch": epoch, "seq": seq}
        self.send("room", "join", data, room=room, ask=True)

    def send_frame(
        self,
        svc_id: int,
        opcode: int,
        payload: bytes,
        *,
        room: str | None = None,
        ask: bool = False,
    ) -> None:
        """Send a hot frame."""
        self._number += 1
        if ask:
            self.asked[self._number] = f"{svc_id}:{opcode}"
        frame = encode_hot_frame(
            svc_id,
            opcode,
            payload,
            seq=self._number,
            ack_requested=ask,
            alias=None if room is None else self.seats[room].alias,
        )
        assert self.link is not None
        self.link.send(FrameKind.BINARY, frame)

    # -------------------------------------------------------------------- reading

    def receive(self, message: Posted) -> None:
        """Read a message and check it against all that came before."""
        facts = message.facts
        name = facts.name
        if facts.tenant is not None and facts.tenant != self.tenant:
            self._wrong(Invariant.TENANTS, f"{message} is of tenant {facts.tenant}")
        if facts.order is not None:
            if facts.stamp <= self._marks.get(facts.order, -1):
                newest = name in _NEWEST_COUNTS
                invariant = Invariant.LATEST if newest else Invariant.ORDER
                self._wrong(
                    invariant, f"{message} comes after {self._marks[facts.order]}"
                )
            self._marks[facts.order] = facts.stamp
        if facts.room is not None and (name in _OF_ROOMS or facts.order is not None):
            seat = self.seats.get(facts.room)
            if seat is None:
                if not facts.room.startswith("market:"):
                    self._wrong(Invariant.LEFT, f"{message} came to no member")
            elif facts.seq is not None:
                self._number_read(seat, facts)
        elif (
            facts.alias is not None
            and facts.ref is None
            and facts.alias not in self._aliases
        ):
            self._wrong(Invariant.LEFT, f"{message} came to no member")
        handle = _HANDLERS.get(name)
        if handle is not None:
            handle(self, message)
        if facts.ref is not None:
            self._answered(facts)

    def _number_read(self, seat: Seat, facts: Facts) -> None:
        assert facts.seq is not None
        if facts.seq != seat.seq + 1:
            self._wrong(
                Invariant.NUMBERS, f"{facts.room}: {facts.seq} comes after {seat.seq}"
            )
        seat.seq = facts.seq
        if seat.said.setdefault(facts.seq, facts.stamp) != facts.stamp:
            self._wrong(
                Invariant.ORDER, f"{facts.room}: {facts.seq} is another one to others"
            )

    def _answered(self, facts: Facts) -> None:
        assert facts.ref is not None
        self.fetching.pop(facts.ref, None)
        if self.asked.pop(facts.ref, None) is None and facts.name != "sys.error":
            self._wrong(Invariant.ANSWERS, f"{facts.name} answers {facts.ref} again")

    def _joined(self, message: Posted) -> None:
        facts = message.facts
        room, data = facts.room, facts.data
        assert room is not None
        if room not in self.seats:
            said = self._said((self.tenant, room, data["epoch"]))
            self.seats[room] = Seat(data, said)
            self._aliases[data["alias"]] = room
        if "recovered" in data:
            assert facts.ref is not None
            _, epoch, seq = self.fetching[facts.ref]
            self._check_recovered(data, epoch, seq)
            if data["recovered"]:
                self.seats[room].seq = seq
                self.recovered += data["seq"] > seq
                # Old messages come again, and so do their stamps.
                self._marks.pop(("chat", room), None)
                self._marks.pop(("record", room, None), None)

    def _check_recovered(self, data: dict[str, Any], epoch: str, seq: int) -> None:
        missed = data["seq"] - seq
        same = epoch == data["epoch"] and missed >= 0
        kept, most = self._keeping
        match data.get("reason"):
            case None:
                right = same and missed <= min(kept, most)
            case "epoch_changed":
                right = not same
            case "too_old":
                right = same and missed > kept
            case "too_many":
                right = same and missed > most
            case _:
                right = False
        if not right:
            self._wrong(Invariant.RECOVERY, f"{missed} missed, {epoch}: {data}")

    def _left(self, message: Posted) -> None:
        room = message.facts.room
        assert room is not None
        seat = self.seats.pop(room, None)
        if seat is None:
            self._wrong(Invariant.LEFT, f"{room} is left again")
        else:
            self.seen[room] = (seat.epoch, seat.seq)
            del self._aliases[seat.alias]

    def _lost(self, message: Posted) -> None:
        data = message.facts.data
        if "from_seq" not in data:
            return
        seat = self.seats.get(data["room"])
        if seat is None:
            self._wrong(Invariant.LEFT, f"{data} came to no member")
            return
        if data["from_seq"] != seat.seq + 1:
            self._wrong(Invariant.NUMBERS, f"{data} comes after {seat.seq}")
        seat.seq = data["to_seq"]

    def _acknowledged(self, message: Posted) -> None:
        data = message.facts.data
        if data and "seq" in data and "room" in data:
            seat = self.seats.get(data["room"])
            if seat is not None and seat.seq < data["seq"]:
                self._wrong(Invariant.ANSWERS, f"{data} comes before its message")

    def _invited(self, message: Posted) -> None:
        self.parties[message.facts.data["party"]] = None

    def _pinged(self, message: Posted) -> None:
        assert self.link is not None
        self.link.send(FrameKind.PONG, b"")

    def _ended(self, message: Posted) -> None:
        self.closed = int.from_bytes(message.data[5:7], "big")
        if self.prompt and self.closed not in _DESERVED:
            self._wrong(Invariant.CLOSES, f"closed {self.closed} for nothing")

    def _wrong(self, invariant: Invariant, told: str) -> None:
        self._violated(invariant, f"{self.name}: {told}")


_HANDLERS: Final[dict[str, Callable[[Client, Posted], None]]] = {
    "sys.joined": Client._joined,
    "sys.left": Client._left,
    "sys.lost": Client._lost,
    "sys.ack": Client._acknowledged,
    "party.invited": Client._invited,
    "ping": Client._pinged,
    "close": Client._ended,
}
