"""The delivery engine with an ear at its door: what is posted, and to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simulation.invariants import Invariant
from simulation.ledger import Posted
from simulation.links import SimulatedLink
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

    #: What is at work inside of the engine is not posted again.
    _inside = False

    def post(self, session: Session, message: Outgoing) -> None:
        if not self._inside:
            self._note((session,), message.form(session.wire))
        super().post(session, message)

    def post_form(self, session: Session, form: Form) -> None:
        if not self._inside:
            self._note((session,), form)
        super().post_form(session, form)

    def broadcast(
        self,
        audience: Mapping[Wire, Iterable[Session]],
        message: Outgoing,
        exclude: str | None = None,
    ) -> None:
        before = _Count.encoded
        forms = [(message.form(wire), group) for wire, group in audience.items()]
        for form, group in forms:
            if exclude is not None:
                group = [session for session in group if session.id != exclude]
            self._note(group, form)
        self._inside = True
        try:
            super().broadcast(audience, message, exclude)
        finally:
            self._inside = False
        if _Count.encoded - before > len(forms):
            for group in audience.values():
                for session in group:
                    self._tell(
                        session,
                        Invariant.ENCODE_ONCE,
                        f"encoded {_Count.encoded - before} times "
                        f"for {len(forms)} wires",
                    )
                    return

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

    def _tell(self, session: Session, invariant: Invariant, told: str) -> None:
        link = session.link
        assert isinstance(link, SimulatedLink)
        link.ledger.wrong(invariant, told)
