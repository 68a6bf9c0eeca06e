"""Who may connect: addresses, origins, tickets, and how many of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from wsprism_core.api import Identity
from wsprism_core.dispatch import Function
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.gateway.tasks import being_cancelled
from wsprism_core.gateway.tickets import GOOD, UNKNOWN, TicketRefused, Tickets
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics, close_label
from wsprism_core.policy.limits import EventWindow, HandshakeLimiter
from wsprism_core.policy.origins import OriginPolicy
from wsprism_core.policy.tenant import Tenant
from wsprism_core.policy.tickets import development_user
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import CloseCode, ErrorCode
from wsprism_core.realtime.clock import Clock
from wsprism_core.realtime.session import SessionRegistry
from wsprism_core.transports.port import ConnectRequest, Refusal

__all__ = ("PRE_AUTH_BYTES", "Admission", "Verdict")

#: The largest message before a client is authenticated, in bytes.
PRE_AUTH_BYTES = 8 * 1024
#: Seconds that a client is told to wait for a full or draining gateway.
RETRY_SECONDS = 2

#: Handshakes over a bound that are logged in a second; further ones are counted.
LOGGED_PER_SECOND = 10
#: The statuses of those.
_OVER_A_BOUND = (429, 503)

#: How a connection counts that is let in.
_ACCEPTED: Final = "accepted"
#: The transport that has requests, with an origin and mostly a ticket.
_WEBSOCKET: Final = "websocket"
#: What most handshakes come to, by status: those of every transport,
_BEFORE_TICKET: Final = (400, 408, 429, 503)
#: and those that are turned away for what stands in their request.
_BY_REQUEST: Final = (401, 403)
#: Likewise by close code: what comes of a ticket that is the first message.
_BY_FIRST_MESSAGE: Final = (
    CloseCode.NOT_AUTHENTICATED,
    CloseCode.TOO_MANY_SESSIONS,
    CloseCode.TRY_AGAIN_LATER,
)

#: What a ticket and the limits come to.
Verdict: TypeAlias = tuple[Tenant, Identity] | Refusal


class Admission:
    """Judges connections.

    Args:
        tenants: The tenants, by id.
        sessions: Who is there.
        tickets: The tickets that the configuration makes good.
        authenticators: Each plugin's `authenticate`, in order.
        limiter: The handshake limiter, or None.
        clock: Time.
        origins: Which web pages may connect.
        development: Whether development tickets are good.
        patience: Seconds that an async authenticator has.
        metrics: Where verdicts are counted.
        failures: Where failures of authenticators are noted.
        spawn: What runs an async authenticator.

    Attributes:
        draining: Whether nobody new is admitted.
        goes_on: Whether a resume token is for a session that is there already, and
            counted.
        limiter: The handshake limiter, or None.
        origins: Which web pages may connect.
    """

    def __init__(
        self,
        *,
        tenants: Mapping[str, Tenant],
        sessions: SessionRegistry,
        tickets: Tickets,
        authenticators: Mapping[str, Function],
        limiter: HandshakeLimiter | None,
        clock: Clock,
        origins: OriginPolicy,
        development: bool,
        patience: float,
        metrics: Metrics,
        failures: Failures,
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._tenants = tenants
        self._sessions = sessions
        self._tickets = tickets
        self._authenticators = tuple(authenticators.items())
        self.limiter = limiter
        self._clock = clock
        self._storm = EventWindow(LOGGED_PER_SECOND, 1.0)
        self.origins = origins
        self._development = development
        self._patience = patience
        self._metrics = metrics
        self._failures = failures
        self._spawn = spawn
        self._log = EventLog("admission")
        self.draining = False
        self.goes_on: Callable[[str, Tenant, Identity], bool] = _never

    @property
    def pre_auth_bytes(self) -> int:
        """The largest message of a client that is not authenticated."""
        largest = max(t.limits.max_frame_bytes for t in self._tenants.values())
        return min(PRE_AUTH_BYTES, largest)

    def greet(self, transport: str, address: str) -> Refusal | None:
        """Count a handshake; say whether it is one too many."""
        if self.limiter is None:
            return None
        wait = self.limiter.take(address)
        if wait is None:
            return None
        refusal = Refusal(
            429,
            CloseCode.TRY_AGAIN_LATER,
            "too many handshakes",
            retry_after=wait,
            code=ErrorCode.RATE_LIMITED,
        )
        request = ConnectRequest(transport=transport, address=address)
        self.note_refusal(request, refusal.status, refusal.reason)
        return refusal

    def check_origin(self, origins: Sequence[str]) -> Refusal | None:
        """Judge the Origin headers of a handshake."""
        if self.origins.allows(origins):
            return None
        self._metrics.handshakes[_WEBSOCKET, "403"] += 1
        self._log.info(
            "refused",
            code=403,
            reason="origin not allowed, see gateway.allowed_origins",
            origins=",".join(origins)[:200],
        )
        return Refusal(
            403,
            CloseCode.POLICY_VIOLATION,
            "this origin may not connect",
            code=ErrorCode.NOT_ALLOWED,
        )

    def before_ticket(self, request: ConnectRequest) -> Refusal | None:
        """Judge a connection whose ticket comes as its first message."""
        if request.tenant is not None and request.tenant not in self._tenants:
            return _UNKNOWN_TENANT
        return _DRAINING if self.draining else None

    def judge(
        self,
        request: ConnectRequest,
        ticket: str,
        decided: Callable[[Verdict], None],
    ) -> None:
        """Judge a connection with its ticket; `decided` is called once."""
        tenant = self._tenant(request.tenant)
        if tenant is None:
            decided(_UNKNOWN_TENANT)
            return

        def identified(identity: Identity | Refusal) -> None:
            if isinstance(identity, Refusal):
                decided(identity)
                return
            if request.resume is not None and not self.draining:
                if self.goes_on(request.resume, tenant, identity):
                    decided((tenant, identity))
                    return
            refusal = self._no_room(tenant, identity)
            decided((tenant, identity) if refusal is None else refusal)

        self.authenticate(tenant, ticket, request, identified)

    def authenticate(
        self,
        tenant: Tenant,
        ticket: str,
        request: ConnectRequest,
        decided: Callable[[Identity | Refusal], None],
    ) -> None:
        """Find out who the bearer of a ticket is; `decided` is called once."""
        known = partial(self._decide, tenant, decided)
        if self._development:
            user = development_user(ticket)
            if user is not None:
                known(Identity(user, tenant.id))
                return
        if self._tickets.wants_keys(tenant.id, ticket):
            self._spawn(self._fetch_keys(tenant, ticket, request, known))
        else:
            self._identify(tenant, ticket, request, known)

    def foresee(self, transports: Iterable[str]) -> None:
        """Let what most handshakes come to be counted from 0.

        Args:
            transports: Their names.
        """
        for name in transports:
            by_request = _BY_REQUEST if name == _WEBSOCKET else ()
            codes = (*_BEFORE_TICKET, *by_request, *_BY_FIRST_MESSAGE)
            outcomes = (_ACCEPTED, *map(str, codes))
            self._metrics.handshakes.foresee((name, outcome) for outcome in outcomes)

    def note_refusal(self, request: ConnectRequest, code: int, reason: str) -> None:
        """Count and log a connection that becomes no session."""
        self._metrics.handshakes[request.transport, str(code)] += 1
        # In a storm the counter tells how many; the log need not drown in them.
        if code in _OVER_A_BOUND and self._storm.exceeded(self._clock.now()):
            return
        self._note("refused", request.transport, request.address, code, reason)

    def note_early_end(self, request: ConnectRequest, code: int, reason: str) -> None:
        """Count and log a connection that ended before it was let in or refused."""
        self._metrics.handshakes[request.transport, str(close_label(code))] += 1
        self._note("ended_early", request.transport, request.address, code, reason)

    def note_accept(self, request: ConnectRequest) -> None:
        """Count a connection that was let in."""
        self._metrics.handshakes[request.transport, _ACCEPTED] += 1

    def _note(
        self, event: str, transport: str, address: str, code: int, reason: str
    ) -> None:
        self._log.info(
            event, transport=transport, address=address, code=code, reason=reason
        )

    def _tenant(self, name: str | None) -> Tenant | None:
        if name is None and len(self._tenants) == 1:
            return next(iter(self._tenants.values()))
        return None if name is None else self._tenants.get(name)

    def _no_room(self, tenant: Tenant, identity: Identity) -> Refusal | None:
        if self._tenants.get(tenant.id) is not tenant:
            # It was removed while the ticket was judged.
            return _UNKNOWN_TENANT
        if self.draining:
            return _DRAINING
        limit = tenant.max_sessions_per_user
        mine = len(self._sessions.of_user(tenant.id, identity.user))
        if limit and mine >= limit and not tenant.kicks_oldest:
            return Refusal(
                429,
                CloseCode.TOO_MANY_SESSIONS,
                "you have as many sessions as you may",
                retry_after=RETRY_SECONDS,
                code=ErrorCode.TOO_MANY_SESSIONS,
            )
        total = tenant.limits.max_sessions_total
        if total and self._sessions.in_tenant(tenant.id) >= total:
            # A kicked session makes room for the one that takes its place.
            if not (limit and mine >= limit and tenant.kicks_oldest):
                return Refusal(
                    503,
                    CloseCode.TRY_AGAIN_LATER,
                    "the tenant is full",
                    retry_after=RETRY_SECONDS,
                    code=ErrorCode.RESOURCE_EXHAUSTED,
                )
        shadow = tenant.shadow
        if shadow is not None:
            limit, total = (
                shadow.limits.max_sessions_per_user,
                shadow.limits.max_sessions_total,
            )
            if limit and mine >= limit:
                shadow.count("max_sessions_per_user")
            elif total and self._sessions.in_tenant(tenant.id) >= total:
                shadow.count("max_sessions_total")
        return None

    def _decide(
        self,
        tenant: Tenant,
        decided: Callable[[Identity | Refusal], None],
        known: Identity | str,
    ) -> None:
        """Decide about a ticket.

        Args:
            tenant: Where the client wants in.
            decided: Called with what comes of it.
            known: Who the bearer is, or why the ticket is not good, in a word.
        """
        if isinstance(known, Identity):
            outcome = self._tickets.problem(known) or GOOD
        else:
            outcome = known
        self._tickets.note(tenant.id, outcome)
        if isinstance(known, Identity) and outcome == GOOD:
            decided(known)
        else:
            decided(_BAD_TICKET)

    def _identify(
        self,
        tenant: Tenant,
        ticket: str,
        request: ConnectRequest,
        known: Callable[[Identity | str], None],
    ) -> None:
        """Look at the tenant's own tickets, then ask the plugins."""
        try:
            identity = self._tickets.identify(tenant.id, ticket)
        except TicketRefused as refused:
            known(refused.reason)
            return
        if identity is not None:
            known(identity)
        elif self._authenticators:
            self._spawn(self._ask(tenant, ticket, request, known))
        else:
            known(UNKNOWN)

    async def _fetch_keys(
        self,
        tenant: Tenant,
        ticket: str,
        request: ConnectRequest,
        known: Callable[[Identity | str], None],
    ) -> None:
        """Fetch the keys that the ticket may be signed with, then look at it."""
        await self._tickets.fetch_keys(tenant.id, ticket)
        self._identify(tenant, ticket, request, known)

    async def _ask(
        self,
        tenant: Tenant,
        ticket: str,
        request: ConnectRequest,
        known: Callable[[Identity | str], None],
    ) -> None:
        """Ask the plugins in order until one knows the ticket."""
        verdict: Identity | str = UNKNOWN
        for plugin, authenticate in self._authenticators:
            try:
                answer = authenticate(ticket, tenant.id, request)
                if isinstance(answer, Awaitable):
                    # A directory that is down must not hold on to those who left.
                    async with asyncio.timeout(self._patience):
                        answer = await answer
                identity = _checked(answer)
            except ProtocolError:
                break
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                if being_cancelled():
                    raise
                # A check that failed has not passed.
                self._failures.note(plugin, "authenticate", error, secret=True)
                break
            if identity is not None:
                if identity.tenant == tenant.id:
                    verdict = identity
                break
        known(verdict)


def _checked(answer: object) -> Identity | None:
    """Return what a plugin said of a ticket, as it should be.

    Raises:
        TypeError: It is something else; not what it is, for that may hold the ticket.
    """
    if not isinstance(answer, Identity | None):
        raise TypeError("it must return an Identity or None")
    if answer is not None:
        for moment in (answer.expires, answer.issued):
            if not isinstance(moment, float | int | None):
                raise TypeError("expires and issued are unix seconds, or None")
        if not isinstance(answer.rooms, tuple | None):
            raise TypeError("rooms is a tuple of names and patterns, or None")
        if not isinstance(answer.ticket_id, str | None):
            raise TypeError("ticket_id is a string, or None")
    return answer


def _never(token: str, tenant: Tenant, identity: Identity) -> bool:
    return False


_UNKNOWN_TENANT = Refusal(
    400, CloseCode.NOT_AUTHENTICATED, "unknown tenant", code=ErrorCode.AUTH_FAILED
)
_BAD_TICKET = Refusal(
    401,
    CloseCode.NOT_AUTHENTICATED,
    "the ticket is not good",
    code=ErrorCode.AUTH_FAILED,
)
_DRAINING = Refusal(
    503,
    CloseCode.TRY_AGAIN_LATER,
    "draining",
    retry_after=RETRY_SECONDS,
    code=ErrorCode.RESOURCE_EXHAUSTED,
)
