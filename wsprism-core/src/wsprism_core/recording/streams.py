"""What a client could see, message by message and lane by lane.

The bytes that went out are taken apart again. Which lane a message rode is told by the
message itself and by what it answers, so that both sides of a comparison are read by
the same rule, whatever became of the delivery engine between them.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from wsprism_core.gateway.catalog import Catalog
from wsprism_core.protocol.envelope import (
    Envelope,
    decode_json,
    decode_msgpack,
    decode_outbound_json,
    decode_outbound_msgpack,
    is_binary_envelope,
)
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.hotframe import (
    HotFrame,
    decode_hot_frame,
    decode_outbound_hot_frame,
)
from wsprism_core.protocol.layout import OPCODE_ACK

__all__ = ("Comparison", "Difference", "Sent", "split")

#: The lane of what answers nothing that could be found.
ANSWERS: Final = "answers"
CONTROL: Final = "control"
#: How many messages of one client are remembered for the lanes of their answers.
_REMEMBERED: Final = 4_096
#: The framing whose messages may be compressed, and the bit that says so.
_DEFLATE: Final = "websocket+deflate"
_COMPRESSED: Final = 0x40
#: How much of a message is shown, in characters.
_SHOWN: Final = 500


class Sent(NamedTuple):
    """One message as a client could read it.

    Attributes:
        kind: `text`, `binary`, `ping`, `pong` or `close`.
        payload: What it carries.
    """

    kind: str
    payload: bytes

    def __str__(self) -> str:
        """Return it as one line for people, cut where it is long."""
        if self.kind == "text":
            text = self.payload.decode(errors="replace")
        elif self.kind == "binary":
            text = str(_decoded(self))
        else:
            text = f"{self.kind} {self.payload.decode(errors='replace')}".rstrip()
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where one stream of one session is not what was recorded.

    Args:
        at: Seconds since the recording began.
        session: The session's id.
        user: Whose it was.
        lane: The lane; `answers` for errors that name no message.
        index: Which message of that session and lane, from 0.
        expected: What was recorded; None where the lane had no more.
        got: What came; None where nothing did.
    """

    at: float
    session: str
    user: str
    lane: str
    index: int
    expected: str | None
    got: str | None

    def __str__(self) -> str:
        nothing = "nothing"
        return (
            f"at {self.at:.3f} s, session {self.session} ({self.user}), lane "
            f"{self.lane}, message {self.index}:\n"
            f"  expected {self.expected or nothing}\n"
            f"  got      {self.got or nothing}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def split(framing: str, data: bytes) -> Iterator[Sent]:
    """Yield the messages in bytes that a server wrote: whole frames.

    Args:
        framing: `websocket`, `websocket+deflate` or `tcp`.
        data: What was written.

    Raises:
        ValueError: They are no frames.
    """
    read = _read_tcp if framing == "tcp" else _read_websocket
    at = 0
    while at < len(data):
        try:
            kind, start, end = read(data, at)
        except (IndexError, KeyError):
            raise ValueError(f"no frame at {at}") from None
        payload = data[start:end]
        if framing == _DEFLATE and data[at] & _COMPRESSED:
            payload = _inflate(payload)
        yield Sent(kind, payload)
        at = end


_WEBSOCKET_KINDS: Final = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_TCP_KINDS: Final = {1: "text", 2: "binary", 3: "ping", 4: "pong", 5: "close"}


def _inflate(payload: bytes) -> bytes:
    """Return a payload that was compressed by itself (RFC 7692, section 7.2.2).

    Raises:
        ValueError: It was not.
    """
    try:
        return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _read_websocket(data: bytes, at: int) -> tuple[str, int, int]:
    """Return kind, beginning and end of a frame (RFC 6455, section 5.2)."""
    kind, size, start = _WEBSOCKET_KINDS[data[at] & 0x0F], data[at + 1] & 0x7F, at + 2
    if size >= 126:
        more = 2 if size == 126 else 8
        size = int.from_bytes(data[start : start + more], "big")
        start += more
    return kind, start, start + size


def _read_tcp(data: bytes, at: int) -> tuple[str, int, int]:
    size = int.from_bytes(data[at : at + 4], "big")
    return _TCP_KINDS[data[at + 4]], at + 5, at + 4 + size


def _close(code: int, reason: str) -> Sent:
    return Sent("close", f"{code} {reason}".encode())


@lru_cache(maxsize=256)
def _messages(framing: str, data: bytes) -> tuple[Sent, ...]:
    """Return the messages in bytes that many may have been sent."""
    return tuple(split(framing, data))


def _decoded(sent: Sent) -> dict[str, Any] | HotFrame | None:
    """Return what a message says; None of a control frame, or where it says nothing."""
    try:
        if sent.kind == "text":
            return decode_outbound_json(sent.payload)
        if sent.kind != "binary":
            return None
        if is_binary_envelope(sent.payload):
            return decode_outbound_msgpack(sent.payload)
        return decode_outbound_hot_frame(sent.payload)
    except ProtocolError:
        return None


#: A lane; or None, and the number of the message whose answer it is.
_Place: TypeAlias = tuple[str | None, object]


class _Lanes:
    """Which lane a message rides, as far as that does not depend on its reader."""

    def __init__(self, catalog: Catalog, names: tuple[str, ...]) -> None:
        self.catalog = catalog
        self.names = names
        self._known: dict[Sent, _Place] = {}

    def of(self, sent: Sent) -> _Place:
        """Return its place."""
        found = self._known.get(sent)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[sent] = self._find(_decoded(sent))
        return found

    def _find(self, said: dict[str, Any] | HotFrame | None) -> _Place:
        if said is None:
            return CONTROL, None
        if isinstance(said, HotFrame):
            return self._find_frame(said)
        svc, type, ref = said["svc"], said["type"], said.get("ref")
        if svc == "room":
            return "interactive", None
        if svc == "sys" and type == "lost":
            return str(said["data"]["lane"]), None
        if svc == "sys" and type not in ("ack", "error"):
            return CONTROL, None
        if ref is not None or svc == "sys":
            return None, ref
        try:
            return self.names[self.catalog.type(svc, type).lane], None
        except ValueError:
            return ANSWERS, None

    def _find_frame(self, frame: HotFrame) -> _Place:
        if frame.opcode == OPCODE_ACK:
            return None, (frame.svc_id, frame.seq)
        try:
            route = self.catalog.opcode(frame.svc_id, frame.opcode)
        except ValueError:
            return ANSWERS, None
        return self.names[route.lane], None


class _Asked:
    """What a client sent, as far as the lanes of the answers depend on it."""

    def __init__(self, lanes: _Lanes) -> None:
        self._lanes = lanes
        self._by_number: OrderedDict[object, str] = OrderedDict()

    def heard(self, payload: bytes, *, is_text: bool) -> None:
        """Remember the lane in which a message will be answered."""
        try:
            if is_text:
                self._heard_text(decode_json(payload))
            elif is_binary_envelope(payload):
                self._heard_text(decode_msgpack(payload))
            else:
                self._heard_frame(decode_hot_frame(payload))
        except ProtocolError as error:
            self.remember(error.ref, CONTROL)

    def lane_of(self, sent: Sent) -> str:
        """Return the lane that a message rode."""
        lane, number = self._lanes.of(sent)
        return self._by_number.get(number, ANSWERS) if lane is None else lane

    def _heard_text(self, message: Envelope) -> None:
        place = self._lanes.catalog.answer_lane(message.svc, message.type)
        self.remember(message.seq, self._lanes.names[place])

    def _heard_frame(self, frame: HotFrame) -> None:
        place = self._lanes.catalog.opcode_lane(frame.svc_id, frame.opcode)
        lane = self._lanes.names[place]
        # An error about it is a text message and names the number alone.
        self.remember(frame.seq, lane)
        self.remember((frame.svc_id, frame.seq), lane)

    def remember(self, number: object, lane: str) -> None:
        """Note in which lane the answer to a message comes."""
        if number is None:
            return
        self._by_number[number] = lane
        self._by_number.move_to_end(number)
        if len(self._by_number) > _REMEMBERED:
            self._by_number.popitem(last=False)


class _Stream:
    """One lane of one session: what is not matched yet, each with its time."""

    __slots__ = ("difference", "expected", "got", "index")

    def __init__(self) -> None:
        self.index = 0
        self.expected: deque[tuple[float, Sent]] = deque()
        self.got: deque[tuple[float, Sent]] = deque()
        self.difference: tuple[float, Sent | None, Sent | None] | None = None

    def is_even(self) -> bool:
        """Whether everything is matched so far."""
        return not self.expected and not self.got and self.difference is None

    def settle(self) -> None:
        """Match what can be matched, up to the first difference."""
        if self.difference is not None:
            self.expected.clear()
            self.got.clear()
        while self.expected and self.got:
            (at, wanted), (_, came) = self.expected[0], self.got[0]
            if wanted != came:
                self.difference = at, wanted, came
                self.settle()
                return
            self.expected.popleft()
            self.got.popleft()
            self.index += 1

    def finish(self) -> None:
        """Note what is missing or too much."""
        if self.difference is None and self.expected:
            at, wanted = self.expected[0]
            self.difference = at, wanted, None
        elif self.difference is None and self.got:
            at, came = self.got[0]
            self.difference = at, None, came


class _Reader:
    """What one session was sent, in the recording and now."""

    def __init__(self, asked: _Asked, framing: str, session: str, user: str) -> None:
        self.asked = asked
        self.framing = framing
        self.session = session
        self.user = user
        self.expected: list[bytes] = []
        self.got: list[bytes] = []
        # What the core closed the link with, in the recording and now.
        self.closes: tuple[list[Sent], list[Sent]] = [], []
        self.streams: dict[str, _Stream] = {}
        self._is_even = True

    def settle(self, at: float) -> int:
        """Compare what this turn brought; return how many messages came.

        Raises:
            ValueError: Some of it is no frame.
        """
        expected, got = b"".join(self.expected), b"".join(self.got)
        self.expected.clear()
        self.got.clear()
        came = _messages(self.framing, got)
        if expected == got and self._is_even and not any(self.closes):
            # As nearly always; what is written at once is split once for all.
            for sent in came:
                self.stream(sent).index += 1
            return len(came)
        for sent in (*_messages(self.framing, expected), *self.closes[0]):
            self.stream(sent).expected.append((at, sent))
        for sent in (*came, *self.closes[1]):
            self.stream(sent).got.append((at, sent))
        self.closes = [], []
        for stream in self.streams.values():
            stream.settle()
        self._is_even = all(map(_Stream.is_even, self.streams.values()))
        return len(came)

    def stream(self, sent: Sent) -> _Stream:
        """Return the lane that a message belongs to."""
        lane = self.asked.lane_of(sent)
        stream = self.streams.get(lane)
        if stream is None:
            stream = self.streams[lane] = _Stream()
        return stream


class Comparison:
    """Compares what sessions get with what was recorded, each lane by itself.

    Args:
        catalog: How each type travels in the gateway that runs.
        lanes: Its lanes' names, in order.

    Attributes:
        messages: How many messages came.
        differing: In how many lanes of sessions there is a difference.
        first: The earliest difference, once `finish` was called.
    """

    def __init__(self, catalog: Catalog, lanes: tuple[str, ...]) -> None:
        self._lanes = _Lanes(catalog, lanes)
        self._readers: dict[int, _Reader] = {}
        self._touched: dict[int, None] = {}
        self._over: dict[int, None] = {}
        self._first: tuple[tuple[float, int, str], Difference] | None = None
        self.messages = 0
        self.differing = 0

    @property
    def first(self) -> Difference | None:
        """The earliest difference, as far as is known."""
        return None if self._first is None else self._first[1]

    def open(self, connection: int, framing: str, session: str, user: str) -> None:
        """Begin with a session."""
        asked = _Asked(self._lanes)
        self._readers[connection] = _Reader(asked, framing, session, user)

    def heard(self, connection: int, payload: bytes, *, is_text: bool) -> None:
        """Note what a client sent."""
        if (reader := self._readers.get(connection)) is not None:
            reader.asked.heard(payload, is_text=is_text)

    def refused(self, connection: int, ref: int | None) -> None:
        """Note that a client sent what could not be decoded."""
        if (reader := self._readers.get(connection)) is not None:
            reader.asked.remember(ref, CONTROL)

    def expect(self, connection: int, data: bytes) -> None:
        """Note bytes that went out in the recording."""
        if (reader := self._readers.get(connection)) is not None:
            reader.expected.append(data)
            self._touched[connection] = None

    def got(self, connection: int, data: bytes) -> None:
        """Note bytes that went out now."""
        if (reader := self._readers.get(connection)) is not None:
            reader.got.append(data)
            self._touched[connection] = None

    def expect_close(self, connection: int, code: int, reason: str) -> None:
        """Note that the core closed a link in the recording."""
        if (reader := self._readers.get(connection)) is not None:
            reader.closes[0].append(_close(code, reason))
            self._touched[connection] = None

    def got_close(self, connection: int, code: int, reason: str) -> None:
        """Note that the core closes a link now."""
        if (reader := self._readers.get(connection)) is not None:
            reader.closes[1].append(_close(code, reason))
            self._touched[connection] = None

    def close(self, connection: int) -> None:
        """End with a session, which is over in both."""
        self._over[connection] = None

    def settle(self, at: float) -> None:
        """Compare what a turn brought.

        Args:
            at: Seconds since the recording began.

        Raises:
            ValueError: Some of it is no frame.
        """
        for connection in self._touched:
            self.messages += self._readers[connection].settle(at)
        self._touched.clear()
        for connection in self._over:
            self._finish(connection)
        self._over.clear()

    def finish(self) -> None:
        """Compare what is left: what is missing, and what is too much."""
        for connection in list(self._readers):
            self._finish(connection)

    def _finish(self, connection: int) -> None:
        reader = self._readers.pop(connection, None)
        if reader is None:
            return
        for lane, stream in reader.streams.items():
            stream.finish()
            if stream.difference is None:
                continue
            self.differing += 1
            at, wanted, came = stream.difference
            key = at, connection, lane
            if self._first is None or key < self._first[0]:
                self._first = (
                    key,
                    Difference(
                        at=at,
                        session=reader.session,
                        user=reader.user,
                        lane=lane,
                        index=stream.index,
                        expected=None if wanted is None else str(wanted),
                        got=None if came is None else str(came),
                    ),
                )
