"""A client that does what a test says, and says what it heard."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from wsprism_core.client.messages import Message, decode_message
from wsprism_core.protocol.codecs import CODECS
from wsprism_core.protocol.envelope import inbound
from wsprism_core.protocol.hotframe import HotFrame, encode_hot_frame
from wsprism_core.protocol.layout import FrameKind
from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.memory import MemoryClient

if TYPE_CHECKING:
    from wsprism_core.testing.harness import GatewayHarness

__all__ = ("ScriptedClient",)

#: Seconds between two reads of a slow client.
_SIP_SECONDS: Final = 0.01
#: How much of a message a failed expectation shows, in characters.
_SHOWN: Final = 200


class ScriptedClient:
    """One connection to a gateway under test.

    Whatever it is told to do is done, and everything that follows from it in the same
    moment has happened, when the call returns. What arrives is kept until a test asks
    for it. It answers pings by itself.

    Args:
        harness: Where the gateway runs.
        link: Its end of the connection.
        name: What a failed expectation calls it.
        codec: How it encodes envelopes.

    Attributes:
        authed: The data of its `sys.authed`; empty before that came.
        answers_pings: Whether it sends pongs.
        link: Its end of the connection, for what has no method here.
    """

    def __init__(
        self, harness: GatewayHarness, link: MemoryClient, name: str, codec: str
    ) -> None:
        self.authed: dict[str, Any] = {}
        self.answers_pings = True
        self.link = link
        self._harness = harness
        self._name = name
        self._codec = CODECS[codec]
        self._numbers = count(1)
        self._unread: list[Message] = []
        self._read = 0
        self._rate: float | None = None
        self._credit = 0.0
        self._next_sip: Timer | None = None

    # -------------------------------------------------------------------- sending

    async def send(
        self,
        svc: str,
        type: str,
        data: Any = None,
        *,
        room: str | None = None,
        seq: int | None = None,
        ack: bool = False,
    ) -> int:
        """Send a text message; return its `seq`, which is the next one unless given."""
        seq = next(self._numbers) if seq is None else seq
        fields = inbound(svc, type, room=room, seq=seq, ack_requested=ack, data=data)
        await self.send_fields(fields)
        return seq

    async def send_fields(self, fields: dict[str, Any]) -> None:
        """Send a text message with just these fields, right or wrong."""
        payload = self._codec.encode(fields)
        if self._codec.is_text:
            await self.send_text(payload)
        else:
            await self.send_binary(payload)

    async def send_frame(
        self,
        svc_id: int,
        opcode: int,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        alias: int | None = None,
        ack: bool = False,
    ) -> int:
        """Send a hot frame; return its SEQ, which is the next one unless given."""
        seq = next(self._numbers) if seq is None else seq
        await self.send_binary(
            encode_hot_frame(
                svc_id, opcode, payload, seq=seq, ack_requested=ack, alias=alias
            )
        )
        return seq

    async def send_text(self, payload: str | bytes) -> None:
        """Send a text message as it is."""
        data = payload.encode() if isinstance(payload, str) else payload
        self.link.send_text(data)
        await self._harness.settle()

    async def send_binary(self, payload: bytes) -> None:
        """Send a binary message as it is."""
        self.link.send_binary(payload)
        await self._harness.settle()

    async def request(
        self, svc: str, type: str, data: Any = None, *, room: str | None = None
    ) -> dict[str, Any]:
        """Send a text message that asks for an answer; return the answer.

        Raises:
            AssertionError: None comes, or it is an error.
        """
        __tracebackhide__ = True
        ref = await self.send(svc, type, data, room=room, ack=True)
        return await self.expect_reply(ref)

    async def join(self, room: str) -> dict[str, Any]:
        """Join a room; return `sys.joined`."""
        __tracebackhide__ = True
        return await self.request("room", "join", room=room)

    async def leave(self, room: str) -> None:
        """Leave a room."""
        __tracebackhide__ = True
        await self.request("room", "leave", room=room)

    # ------------------------------------------------------------------ its link

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the close that it read; None while open."""
        return self.link.ended

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close."""
        self.link.close(code, reason)
        await self._harness.settle()

    def drop_link(self) -> None:
        """Lose the connection: no close, and what is under way is gone."""
        self.link.drop()
        self._harness.pump()

    def slow(self, bytes_per_s: float | None, *, buffer: int = 16 * 1024) -> None:
        """Read at most so much as time passes; 0 is nothing, None all at once again.

        Args:
            bytes_per_s: How fast it reads.
            buffer: What fits between the gateway and its reading, in bytes: beyond it
                the gateway finds the socket full.
        """
        if self._next_sip is not None:
            self._next_sip.cancel()
            self._next_sip = None
        self._rate = bytes_per_s
        self._credit = 0.0
        self.link.capacity = None if bytes_per_s is None else buffer
        if bytes_per_s:
            self._plan_sip()
        self._harness.pump()

    def read(self) -> bool:
        """Read what is there, as the harness asks; return whether there was anything.

        A slow client reads by the clock alone.
        """
        return self._rate is None and self._take_frames(self.link.received())

    def _sip(self) -> None:
        """Read what a slow client reads in one sip."""
        if not self._rate or self.closed is not None:
            return
        self._credit += self._rate * _SIP_SECONDS
        whole = int(self._credit)
        self._credit -= whole
        self._take_frames(self.link.received(whole))
        self._plan_sip()

    def _plan_sip(self) -> None:
        self._next_sip = self._harness.clock.after(_SIP_SECONDS, self._sip)

    def _take_frames(self, frames: list[tuple[FrameKind, bytes]]) -> bool:
        for kind, payload in frames:
            if kind is FrameKind.TEXT or kind is FrameKind.BINARY:
                is_text = kind is FrameKind.TEXT
                self._unread.append(decode_message(payload, is_text))
            elif kind is FrameKind.PING and self.answers_pings:
                self.link.send_pong(payload)
        return bool(frames)

    # --------------------------------------------------------------- expectations

    @property
    def unread(self) -> tuple[Message, ...]:
        """What has arrived and no expectation has taken, oldest first."""
        return tuple(self._unread)

    async def read_all(self) -> list[Message]:
        """Return all that is unread, and forget it."""
        await self._harness.settle()
        taken, self._unread = self._unread, []
        self._read += len(taken)
        return taken

    async def expect_reply(self, ref: int) -> dict[str, Any]:
        """Return the answer to the message that was sent with this `seq`.

        Raises:
            AssertionError: None came, or it is an error.
        """
        __tracebackhide__ = True
        answer = await self._expect(f"an answer to {ref}", lambda got: _ref(got) == ref)
        assert isinstance(answer, dict)
        if _name(answer) == "sys.error":
            raise AssertionError(
                self._report(f"{self._name} was refused: {_show(answer)}")
            )
        return answer

    async def expect_error(
        self, code: str | None = None, *, ref: int | None = None
    ) -> dict[str, Any]:
        """Return the data of the next `sys.error`, of one message where `ref` is given.

        Raises:
            AssertionError: None came, or its code is another.
        """
        __tracebackhide__ = True
        what = "an error" if ref is None else f"an error about {ref}"
        error = await self._expect(
            what,
            lambda got: _name(got) == "sys.error" and ref in (None, _ref(got)),
        )
        assert isinstance(error, dict)
        data: dict[str, Any] = error["data"]
        if code is not None and data["code"] != code:
            raise AssertionError(
                self._report(f"{self._name} expected {code} and got {_show(error)}")
            )
        return data

    async def expect_push(self, name: str) -> dict[str, Any]:
        """Return the next `svc.type` of this name that answers nothing.

        Raises:
            AssertionError: None came.
        """
        __tracebackhide__ = True
        push = await self._expect(
            f"a push {name}",
            lambda got: _name(got) == name and _ref(got) is None,
        )
        assert isinstance(push, dict)
        return push

    async def expect_frame(
        self, svc_id: int | None = None, opcode: int | None = None
    ) -> HotFrame:
        """Return the next hot frame, of this service and opcode where given.

        Raises:
            AssertionError: None came.
        """
        __tracebackhide__ = True
        shown = ["*" if number is None else number for number in (svc_id, opcode)]
        frame = await self._expect(
            "a hot frame {}:{}".format(*shown),
            lambda got: (
                isinstance(got, HotFrame)
                and svc_id in (None, got.svc_id)
                and opcode in (None, got.opcode)
            ),
        )
        assert isinstance(frame, HotFrame)
        return frame

    async def expect_closed(self, code: int | None = None) -> str:
        """Return the reason of the close that came.

        Raises:
            AssertionError: The connection is open, or its close has another code.
        """
        __tracebackhide__ = True
        await self._harness.until(lambda: self.closed is not None)
        closed = self.closed
        if closed is None or code not in (None, closed[0]):
            raise AssertionError(
                self._report(f"{self._name} expected a close {code or ''}".rstrip())
            )
        return closed[1]

    def expect_nothing(self) -> None:
        """Check that nothing is unread.

        Raises:
            AssertionError: Something is.
        """
        __tracebackhide__ = True
        self._harness.pump()
        if self._unread:
            raise AssertionError(self._report(f"{self._name} expected nothing"))

    async def _expect(self, what: str, wanted: Callable[[Message], bool]) -> Message:
        __tracebackhide__ = True
        await self._harness.until(lambda: any(map(wanted, self._unread)))
        for place, got in enumerate(self._unread):
            if wanted(got):
                self._read += 1
                return self._unread.pop(place)
        raise AssertionError(self._report(f"{self._name} expected {what}"))

    def _report(self, what: str) -> str:
        """Return what went wrong, and all that may explain it."""
        lines = [what, f"unread ({len(self._unread)}):"]
        lines += [f"  {_show(got)}" for got in self._unread]
        lines.append(f"read before: {self._read}")
        if self.closed is not None:
            lines.append("closed: {} {}".format(*self.closed))
        lines += self._harness.complaints()
        return "\n".join(lines)


def _name(got: Message) -> str | None:
    return f"{got['svc']}.{got['type']}" if isinstance(got, dict) else None


def _ref(got: Message) -> int | None:
    return got.get("ref") if isinstance(got, dict) else None


def _show(got: Message) -> str:
    """Return a message as one line, cut where it is long."""
    if isinstance(got, HotFrame):
        text = f"{got}"
    else:
        rest = {name: got[name] for name in got if name not in ("v", "svc", "type")}
        text = " ".join([str(_name(got)), *(f"{key}={rest[key]}" for key in rest)])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
