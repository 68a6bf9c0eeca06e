"""The delivery engine with an ear at its door: what is posted, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from simulation.invariants import Invariant
from simulation.ledger import Marker, Posted
from simulation.links import SimulatedLink
from wsprism_core.realtime.audience import Audience
from wsprism_core.realtime.backlog import Pull
from wsprism_core.realtime.delivery import DeliveryEngine
from wsprism_core.realtime.outbox import OutboxState
from wsprism_core.realtime.session import Session
from wsprism_core.realtime.wire import Form, Outgoing, Wire

__all__ = ("TappedEngine", "count_encodings")


class _Count:
    """How often one envelope was encoded."""

    envelope: Mapping[str, Any] | None = None
    encoded = 0


class _CountingCodec:
    """A codec that counts."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self.name: str = codec.name
        self.is_text: bool = codec.is_text

    def encode(self, envelope: Mapping[str, Any]) -> bytes:
        _Count.encoded += envelope is _Count.envelope
        encoded: bytes = self._codec.encode(envelope)
        return encoded


def count_encodings(codec: Any) -> Any:
    """Return a codec that counts what it encodes."""
    return codec if isinstance(codec, _CountingCodec) else _CountingCodec(codec)


class _TappedSource:
    """A source that tells the ledger of its reader what it gave."""

    def __init__(self, pull: Pull) -> None:
        self.inner = pull.source
        self._lane = pull.lane
        self._key = pull.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TappedSource) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash(self.inner)

    def pull(self, reader: Session, budget: int) -> tuple[Sequence[Outgoing], bool]:
        messages, more = self.inner.pull(reader, budget)
        got = []
        for message in messages:
            form = message.form(reader.wire)
            got.append(Posted(form.data, form))
        link = reader.link
        assert isinstance(link, SimulatedLink)
        link.ledger.pulled(self._lane, (self, self._key), got, more)
        return messages, more


class TappedEngine(DeliveryEngine):
    """Tells the ledger of each session what is posted to it."""

    #: Called with what does not hold; set by the world.
    violated: Callable[[Invariant, str], None]
    #: What the engine posts to itself was posted already.
    _inside = False

    def post(self, session: Session, message: Outgoing) -> None:
        if self._inside:
            super().post(session, message)
            return
        form = message.form(session.wire)
        if self._fits(form):
            self._note((session,), form)
        with self._within():
            super().post(session, message)
        self._check_size(form)

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
        forms = [(message.form(wire), one) for wire, one in audiences.items()]
        if all(self._fits(form) for form, _ in forms):
            for form, audience in forms:
                self._note([one for one in audience if one is not exclude], form)
        with self._within(), self._encoded_for(message, len(audiences)):
            super().broadcast(audiences, message, exclude)
        for form, _ in forms:
            self._check_size(form)

    def post_each(self, sessions: Iterable[Session], message: Outgoing) -> None:
        sessions = tuple(sessions)
        forms = [(message.form(session.wire), session) for session in sessions]
        if all(self._fits(form) for form, _ in forms):
            for form, session in forms:
                self._note((session,), form)
        wires = {session.wire for session in sessions}
        with self._within(), self._encoded_for(message, len(wires)):
            super().post_each(sessions, message)
        for form, _ in forms:
            self._check_size(form)

    def pull(self, session: Session, pull: Pull) -> None:
        if session.outbox.state is not OutboxState.CLOSED:
            link = session.link
            assert isinstance(link, SimulatedLink)
            source = _TappedSource(pull)
            pull = Pull(
                pull.lane, source, key=pull.key, room=pull.room, replay=pull.replay
            )
            link.ledger.marked(Marker(pull, type(source.inner).__name__))
            link.touch()
        super().pull(session, pull)

    def fetch_again(
        self, session: Session, room: object, pulls: Iterable[Pull]
    ) -> None:
        pulls = tuple(pulls)
        self.send_now(session)
        link = session.link
        assert isinstance(link, SimulatedLink)
        link.ledger.fetched_again(room)
        super().fetch_again(session, room, pulls)

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

    def _fits(self, form: Form) -> bool:
        return form.size <= self.lanes[form.message.lane].max_message_bytes

    def _check_size(self, form: Form) -> None:
        if not self._fits(form):
            told = f"a message of {form.size} bytes is taken"
            self.violated(Invariant.BOUNDS, told)

    @contextmanager
    def _encoded_for(self, message: Outgoing, wires: int) -> Iterator[None]:
        _Count.envelope, _Count.encoded = message.envelope, 0
        yield
        _Count.envelope = None
        if _Count.encoded > wires:
            told = f"encoded {_Count.encoded} times for {wires} wires"
            self.violated(Invariant.ENCODE_ONCE, told)

    @contextmanager
    def _within(self) -> Iterator[None]:
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
