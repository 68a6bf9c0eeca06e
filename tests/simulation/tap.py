"""The delivery engine with an ear at its door: what is posted, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from simulation.invariants import Invariant
from simulation.ledger import Posted
from simulation.links import SimulatedLink
from wsprism_core.realtime.audience import Audience
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = ("TappedEngine", "count_encodings")


class _Count:
    """How many envelopes were encoded."""

    encoded = 0


class _CountingCodec:
    """A codec that counts."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self.name: str = codec.name
        self.is_text: bool = codec.is_text

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        _Count.encoded += 1
        encoded: bytes = self._codec.encode(envelope)
        return encoded


def count_encodings(codec: Any) -> Any:
    """Return a codec that counts what it encodes."""
    return codec if isinstance(codec, _CountingCodec) else _CountingCodec(codec)


class TappedEngine(DeliveryEngine):
    """Tells the ledger of each session what is posted to it."""

    #: Called with what does not hold; set by the world.
    violated: Callable[[Invariant, str], None]
    #: What the engine posts to itself was posted already.
    _inside = False

    def post(self, session: Session, message: Outgoing) -> None:
        if not self._inside:
            self._note((session,), message.form(session.wire))
        with self._within():
            super().post(session, message)

    def post_form(self, session: Session, form: Form) -> None:
        if not self._inside:
            self._note((session,), form)
        super().post_form(session, form)

    def broadcast(
        self,
        audiences: Mapping[Wire, Audience],
        message: Outgoing,
        exclude: Session | None = None,
    ) -> None:
        for wire, audience in audiences.items():
            members = [one for one in audience if one is not exclude]
            self._note(members, message.form(wire))
        before = _Count.encoded
        with self._within():
            super().broadcast(audiences, message, exclude)
        self._check_encoded(before, len(audiences))

    def post_each(self, sessions: Iterable[Session], message: Outgoing) -> None:
        sessions = tuple(sessions)
        for session in sessions:
            self._note((session,), message.form(session.wire))
        before = _Count.encoded
        with self._within():
            super().post_each(sessions, message)
        self._check_encoded(before, len({session.wire for session in sessions}))

    def let_go(self, session: Session, room: object) -> None:
        super().let_go(session, room)
        link = session.link
        assert isinstance(link, SimulatedLink)
        link.ledger.left(room)

    def _note(self, sessions: Iterable[Session], form: Form) -> None:
        message = Posted(form.data, form)
        for session in sessions:
            if session.outbox.state is not OutboxState.CLOSED:
                link = session.link
                assert isinstance(link, SimulatedLink)
                ledger = link.ledger
                ledger.session = session
                ledger.posted(message)
                link.touch()

    def _check_encoded(self, before: int, wires: int) -> None:
        encoded = _Count.encoded - before
        if encoded > wires:
            told = f"encoded {encoded} times for {wires} wires"
            self.violated(Invariant.ENCODE_ONCE, told)

    @contextmanager
    def _within(self) -> Iterator[None]:
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
