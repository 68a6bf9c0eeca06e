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

#: The last number of one who has none: all are smaller.
UNKNOWN: Final = 1 << 62
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
        owed: The number up to which it gets what it missed; 0 where it missed nothing.
        again: The last number that came again after it had come back; None where none
            may, and -1 where none has yet.
    """

    __slots__ = ("again", "alias", "epoch", "owed", "said", "seq")

    def __init__(self, data: dict[str, Any], said: MutableMapping[int, int]) -> None:
        self.alias: int = data["alias"]
        self.epoch: str = data["epoch"]
        self.seq: int = data["seq"]
        self.said = said
        self.owed = 0
        self.again: int | None = None

    def goes_on(self, seq: int | None) -> None:
        """Note that what was missed follows.

        Nobody can know what arrived before the connection dropped: it may come again.

        Args:
            seq: The last number that it had; None where it does not know of any.
        """
        self.owed, self.again = self.seq, -1
        self.seq = UNKNOWN if seq is None else seq

    def take(self, first: int, last: int) -> Invariant | None:
        """Take a number, or a range of them; return what does not hold."""
        again, self.again = self.again, None
        if again is None:
            right = first == self.seq + 1
        elif again < 0:
            # With no number of its own it takes whatever is first.
            right = first <= self.seq + 1
        else:
            right = first == again + 1
        if again is not None and last < self.seq:
            self.again = last
        if last > self.seq or self.seq == UNKNOWN:
            self.seq = last
        if right:
            return None
        return Invariant.NUMBERS if again is None else Invariant.RESUME


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
        token: What it may come back with, once it was told.
        goes_on: Whether it is to go on in its session when it comes back; None where
            that may be either.
        resumed: How often it did.
        refused: How often it wanted to and was not to.
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
        self.token: str | None = None
        self.goes_on: bool | None = None
        self.resumed = 0
        self.refused = 0
        self._before: dict[str, Seat] = {}
        # Rooms that it wanted to leave, and then not to go on in from a number.
        self._given_up: set[str] = set()
        self._had_given_up: set[str] = set()
        # Rooms that it was told to have left, and whose `sys.joined` never came to it:
        # both while its connection was gone. None where it has not come back.
        self._unheard: set[str] | None = None
        self._keeping = keeping
        self._encode = CODECS[codec].encode
        self._kind = FrameKind.TEXT if codec == "json" else FrameKind.BINARY
        self._said = said
        self._violated = violated
        self._number = 0
        self._marks: dict[Hashable, int] = {}
        self._aliases: dict[int, str] = {}

    # -------------------------------------------------------------------- sending

    def connected(self, link: SimulatedLink, *, goes_on: bool | None) -> None:
        """Begin with a new link.

        Args:
            link: The link.
            goes_on: Whether its session must go on with the token that it shows; None
                where that may be either.
        """
        self.link = link
        self.goes_on = goes_on
        self.token = None
        self._unheard = None
        self._had_given_up, self._given_up = self._given_up, set()
        self.closed = None
        self.prompt = link.rate is None
        for room, seat in self.seats.items():
            self.seen[room] = (seat.epoch, seat.seq)
        self.fetching = {}
        self._before, self.seats = self.seats, {}
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
            self._given_up.discard(room)
        self.send("room", "join", data, room=room, ask=True)

    def leave(self, room: str) -> None:
        """Leave a room."""
        self._given_up.add(room)
        self.send("room", "leave", room=room, ask=True)

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
        before = seat.seq
        if (broken := seat.take(facts.seq, facts.seq)) is not None:
            self._wrong(broken, f"{facts.room}: {facts.seq} comes after {before}")
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
                self.seats[room].again = None
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
                # What it was given when it came back counts with what it asks for.
                right = same and (missed > most or self.resumed > 0)
            case _:
                right = False
        if not right:
            self._wrong(Invariant.RECOVERY, f"{missed} missed, {epoch}: {data}")

    def _authed(self, message: Posted) -> None:
        data = message.facts.data
        self.token = data.get("resume")
        goes_on, self.goes_on = self.goes_on, None
        resumed = data.get("resumed")
        if goes_on is not None and goes_on is not bool(resumed):
            self._wrong(Invariant.RESUME, f"it goes on: {goes_on}, and is told {data}")
        self.refused += resumed is False
        if not resumed:
            return
        self.resumed += 1
        self._unheard = set()
        for told in data["rooms"]:
            self._go_on(told)
        lost = [
            room
            for room in self._before.keys() - self.seats.keys()
            if room.startswith("r") and room not in self._had_given_up
        ]
        if lost:
            self._wrong(Invariant.RESUME, f"it is in {sorted(lost)} no more")

    def _go_on(self, told: dict[str, Any]) -> None:
        """Go on in a room, from the last number that it had of it."""
        room = told["room"]
        before = None if room in self._had_given_up else self._before.get(room)
        seat = Seat(told, self._said((self.tenant, room, told["epoch"])))
        self.seats[room] = seat
        self._aliases[told["alias"]] = room
        if told["recovered"]:
            seat.goes_on(None if before is None else before.seq)
        elif told["reason"] not in ("too_old", "too_many"):
            self._wrong(Invariant.RESUME, f"{told}")

    def check_whole(self) -> None:
        """Check that it has got all that it was owed, once everything is read."""
        for room, seat in self.seats.items():
            if seat.seq < seat.owed:
                told = f"{room}: it has {seat.seq} and was to get {seat.owed}"
                self._wrong(Invariant.RESUME, told)

    def _left(self, message: Posted) -> None:
        room = message.facts.room
        assert room is not None
        seat = self.seats.pop(room, None)
        self._given_up.discard(room)
        if seat is None:
            if self._unheard is None or room in self._unheard:
                self._wrong(Invariant.LEFT, f"{room} is left again")
            else:
                self._unheard.add(room)
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
        before = seat.seq
        if (broken := seat.take(data["from_seq"], data["to_seq"])) is not None:
            self._wrong(broken, f"{data} comes after {before}")

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
    "sys.authed": Client._authed,
    "sys.joined": Client._joined,
    "sys.left": Client._left,
    "sys.lost": Client._lost,
    "sys.ack": Client._acknowledged,
    "party.invited": Client._invited,
    "ping": Client._pinged,
    "close": Client._ended,
}
