"""Sessions whose connection dropped, and that may come back for a while.

A token says which session it is for and how often that one has come back already, and
nobody else can make one: so it is good once, and nothing is kept for those who never
need theirs.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple, TypeVar

from wsprism_core.protocol.layout import CloseCode
from wsprism_core.realtime.clock import Timer
from wsprism_core.realtime.session import Session, SessionRegistry
from wsprism_core.realtime.wheel import Wheel
from wsprism_core.transports.port import NO_CLOSE_FRAME

__all__ = ("Detached", "NotResumed", "Resumes")

#: Ends that are nobody's will: behind any other there is nothing to come back to.
_DROPPED: Final = frozenset(
    {
        NO_CLOSE_FRAME,
        CloseCode.GOING_AWAY,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SLOW_CONSUMER,
        CloseCode.IDLE_TIMEOUT,
        CloseCode.NO_PONG,
    }
)
_DIGEST_BYTES: Final = 16
_Key = TypeVar("_Key")


class NotResumed(StrEnum):
    """Why a session is a new one although it wanted to go on."""

    #: Nothing that this gateway gave, or not to this user.
    UNKNOWN = "unknown"
    #: It was used already.
    USED = "used"
    #: Its session is over.
    EXPIRED = "expired"
    #: What it would have to be told of its rooms is too much for one message.
    TOO_MANY_ROOMS = "too_many_rooms"
    #: This gateway keeps no session whose connection dropped.
    NOT_OFFERED = "not_offered"


class Detached(NamedTuple):
    """A session without a connection.

    Args:
        session: The session.
        code: What its connection ended with.
        reason: Why.
        timer: When it is over.
    """

    session: Session
    code: int
    reason: str
    timer: Timer


class Resumes:
    """Who may come back.

    Args:
        sessions: Who is there.
        wheel: Where ends are put off.
        window: Seconds for which a session is kept; 0 keeps none.
        most: How many are kept at the most; beyond it the one that has been gone
            longest is over, of the tenant that has most of them.
        per_user: Returns how many are kept of one user of a tenant, by its id; beyond
            it the one that has been gone longest is over. 0 is no bound.
        secret: What tokens are made with.
        over: Called with each that did not come back in time.
    """

    def __init__(
        self,
        sessions: SessionRegistry,
        wheel: Wheel,
        *,
        window: float,
        most: int,
        per_user: Callable[[str], int],
        secret: bytes,
        over: Callable[[Detached], None],
    ) -> None:
        self._sessions = sessions
        self._wheel = wheel
        self._window = window
        self._most = most
        self._per_user = per_user
        self._secret = secret
        self._over = over
        self._detached: dict[str, Detached] = {}
        # Their ids by tenant, and by tenant and user, the one gone longest first.
        self._of_tenant: dict[str, dict[str, None]] = {}
        self._of_user: dict[tuple[str, str], dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._detached)

    @property
    def are_offered(self) -> bool:
        """Whether a session may come back at all."""
        return self._window > 0 and self._most > 0

    def token(self, session: Session, later: int = 0) -> str | None:
        """Return what a session may come back with, None where it may not.

        Args:
            session: The session.
            later: How often it has come back by then, from now on.
        """
        if not self.are_offered:
            return None
        about = f"{session.id}.{session.resumed + later}"
        return f"{about}.{self._digest(session.tenant, session.user, about)}"

    def may_return(self, code: int) -> bool:
        """Whether a session may come back whose connection ended with this code."""
        return self.are_offered and code in _DROPPED

    def keep(self, session: Session, code: int, reason: str) -> None:
        """Keep a session for the window."""
        timer = self._wheel.after(self._window, lambda: self._end(session.id))
        self._detached[session.id] = Detached(session, code, reason, timer)
        tenant, whose = session.tenant, (session.tenant, session.user)
        of_tenant = self._of_tenant.setdefault(tenant, {})
        of_user = self._of_user.setdefault(whose, {})
        of_tenant[session.id] = of_user[session.id] = None
        limit = self._per_user(tenant)
        if limit and len(of_user) > limit:
            self._end(next(iter(of_user)))
        elif len(self._detached) > self._most:
            # Nobody's session is over for what another tenant's users do.
            most = max(self._of_tenant, key=lambda id: len(self._of_tenant[id]))
            self._end(next(iter(self._of_tenant[most])))

    def find(self, token: str, tenant: str, user: str) -> Session | NotResumed:
        """Return the session that a token is for, connected or not."""
        if not self.are_offered:
            return NotResumed.NOT_OFFERED
        about, _, digest = token.rpartition(".")
        expected = self._digest(tenant, user, about)
        if not hmac.compare_digest(digest.encode(), expected.encode()):
            return NotResumed.UNKNOWN
        id, _, resumed = about.rpartition(".")
        found = self._detached.get(id)
        session = self._sessions.get(id) if found is None else found.session
        if session is None:
            return NotResumed.EXPIRED
        return session if str(session.resumed) == resumed else NotResumed.USED

    def session(self, id: str) -> Session | None:
        """Return a session that may come back by its id."""
        found = self._detached.get(id)
        return None if found is None else found.session

    def take(self, session: Session) -> None:
        """Let a session come back: its token is good no more."""
        session.resumed += 1
        if session.id in self._detached:
            self._remove(session.id)

    def end(
        self, tenant: str, *, id: str | None = None, user: str | None = None
    ) -> None:
        """End those of a session's id, or of a user."""
        ended: dict[str, None] = {}
        if user is not None:
            ended |= self._of_user.get((tenant, user), {})
        found = None if id is None else self._detached.get(id)
        if found is not None and found.session.tenant == tenant:
            ended[found.session.id] = None
        for one in ended:
            # A plugin that hears of one's end may have ended the next.
            if one in self._detached:
                self._end(one)

    def of_tenant(self, tenant: str) -> list[str]:
        """Return the ids of a tenant's sessions that may come back."""
        return list(self._of_tenant.get(tenant, ()))

    def end_one(self, id: str) -> None:
        """End one, if it has not come back or ended meanwhile."""
        if id in self._detached:
            self._end(id)

    def end_all(self) -> None:
        """End everything: the gateway stops."""
        for id in tuple(self._detached):
            self._end(id)

    def _end(self, id: str) -> None:
        self._over(self._remove(id))

    def _remove(self, id: str) -> Detached:
        detached = self._detached.pop(id)
        detached.timer.cancel()
        tenant, user = detached.session.tenant, detached.session.user
        _discard(self._of_tenant, tenant, id)
        _discard(self._of_user, (tenant, user), id)
        return detached

    def _digest(self, tenant: str, user: str, about: str) -> str:
        said = "\0".join((tenant, user, about)).encode("utf-8", "surrogatepass")
        return blake2b(said, key=self._secret, digest_size=_DIGEST_BYTES).hexdigest()


def _discard(ids: dict[_Key, dict[str, None]], key: _Key, id: str) -> None:
    """Take an id away, and with the last one what held them."""
    del ids[key][id]
    if not ids[key]:
        del ids[key]
