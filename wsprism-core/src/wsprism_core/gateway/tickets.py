"""The tickets that a tenant's configuration makes good, and those that are revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from wsprism_core.api import Identity
from wsprism_core.auth_config import AuthConfig
from wsprism_core.config import Config, ConfigError
from wsprism_core.logs import EventLog
from wsprism_core.metrics import Metrics
from wsprism_core.policy.connect_tickets import ConnectTickets
from wsprism_core.policy.names import is_room_pattern, is_user
from wsprism_core.policy.revocations import Revocations
from wsprism_core.realtime.clock import Clock

if TYPE_CHECKING:
    from wsprism_core.gateway.jwks import Fetch, KeySet
    from wsprism_core.policy.jwt import Issuer

__all__ = ("GOOD", "UNKNOWN", "TicketRefused", "Tickets")

#: What a ticket that is good counts as, and one that nobody knows.
GOOD: Final = "good"
UNKNOWN: Final = "unknown"


class TicketRefused(Exception):
    """A ticket that is known here and not good: nobody else is asked.

    Args:
        reason: A word of a closed set, for the metrics and the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Tickets:
    """Knows JWTs and one-time tickets, and what is revoked.

    Args:
        config: The gateway's.
        clock: Time.
        metrics: Where verdicts and fetches are counted.
        fetch: What fetches key sets; None does it over the network.

    Attributes:
        revocations: What is good no more.

    Raises:
        ConfigError: A key cannot be used.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        metrics: Metrics,
        *,
        fetch: Fetch | None = None,
    ) -> None:
        self.revocations = Revocations(config.gateway.max_revocations)
        self._ttl = config.gateway.revocation_ttl_ms / 1000
        self._clock = clock
        self._metrics = metrics
        self._fetch = fetch
        self._spawn: Callable[[Awaitable[None]], None] | None = None
        self._log = EventLog("tickets")
        self._connect: dict[str, ConnectTickets] = {
            tenant.id: ConnectTickets(tenant.auth.connect_tickets)
            for tenant in config.tenants
            if tenant.auth.connect_tickets.enabled
        }
        self._issuers: dict[str, list[tuple[Issuer, KeySet | None]]] = {}
        self._issuers |= self._built(config, [tenant.id for tenant in config.tenants])

    def start(self, spawn: Callable[[Awaitable[None]], None]) -> None:
        """Begin to fetch the keys that are published, so that nobody waits for them."""
        self._spawn = spawn
        for key_set in self._key_sets():
            spawn(key_set.refresh())

    async def stop(self) -> None:
        """End the fetches that are under way."""
        for key_set in self._key_sets():
            await key_set.stop()

    def prepare(self, old: Config, new: Config) -> Callable[[], None]:
        """Build what another configuration makes good; return what puts it in place.

        Tickets that wait for their one use, and what is revoked, stay as they are. Keys
        in files are read again, whether or not the configuration names others. Those
        that were fetched stay good until they are fetched again.

        Raises:
            ConfigError: A key cannot be used; nothing has changed.
        """
        before = {tenant.id: tenant.auth for tenant in old.tenants}
        after = {tenant.id: tenant.auth for tenant in new.tenants}
        changed = [
            id
            for id, auth in after.items()
            if before.get(id) != auth or _reads_files(auth)
        ]
        issuers = self._built(new, changed)

        def apply() -> None:
            for id in [*changed, *(before.keys() - after.keys())]:
                gone = self._issuers.pop(id, [])
                _go_on(gone, issuers.get(id, []))
                for _, key_set in gone:
                    if key_set is not None and self._spawn is not None:
                        self._spawn(key_set.stop())
            self._issuers.update(issuers)
            for id in before.keys() - after.keys():
                self._connect.pop(id, None)
            for id in changed:
                was = before[id].connect_tickets if id in before else None
                connect = after[id].connect_tickets
                if connect != was:
                    self._connect.pop(id, None)
                    if connect.enabled:
                        self._connect[id] = ConnectTickets(connect)
            for id in changed:
                for _, key_set in self._issuers.get(id, ()):
                    if key_set is not None and self._spawn is not None:
                        self._spawn(key_set.refresh())

        return apply

    # ----------------------------------------------------------------- judging

    def wants_keys(self, tenant: str, ticket: str) -> bool:
        """Whether keys should be fetched before a ticket is judged."""
        return bool(self._due(tenant, ticket))

    async def fetch_keys(self, tenant: str, ticket: str) -> None:
        """Fetch them; raises nothing."""
        for key_set in self._due(tenant, ticket):
            await key_set.refresh()

    def identify(self, tenant: str, ticket: str) -> Identity | None:
        """Return who the bearer of a ticket is; None where it is none of these.

        A one-time ticket is used up by it.

        Raises:
            TicketRefused: It is one of these, and not good.
        """
        connect = self._connect.get(tenant)
        if connect is not None:
            identity = connect.redeem(ticket, self._clock.now())
            if identity is not None:
                return identity
        return self._from_jwt(tenant, ticket)

    def problem(self, identity: Identity) -> str | None:
        """Return why a ticket is good no more, in a word; None where it is."""
        now = self._clock.wall_ms() / 1000
        if identity.expires is not None and not now < identity.expires:
            return "expired"
        return "revoked" if self.revocations.cover(identity, now) else None

    def note(self, tenant: str, outcome: str) -> None:
        """Count what became of a ticket; why it was refused is logged."""
        self._metrics.tickets[tenant, outcome] += 1
        if outcome != GOOD:
            self._log.debug("ticket_refused", tenant=tenant, reason=outcome)

    # ------------------------------------------------------------ for operators

    def issue(
        self,
        tenant: str,
        user: str,
        *,
        rooms: Iterable[str] | None,
        expires: float | None,
    ) -> str:
        """Return a one-time ticket; see `Gateway.issue_ticket`."""
        connect = self._connect.get(tenant)
        if connect is None:
            raise KeyError(tenant)
        allowed = None if rooms is None else tuple(rooms)
        if not is_user(user):
            raise ValueError("the user is 1 to 128 characters on one line")
        if not all(map(is_room_pattern, allowed or ())):
            raise ValueError("a room is its name, or its beginning and a *")
        now = self._clock.wall_ms() / 1000
        if expires is not None and not now < expires:
            raise ValueError("expires is past")
        identity = Identity(
            user=user,
            tenant=tenant,
            expires=expires,
            rooms=allowed,
            issued=now,
        )
        return connect.issue(identity, self._clock.now())

    def revoke(
        self, tenant: str, user: str | None, ticket_id: str | None, expires: float
    ) -> None:
        """Refuse tickets from now on; see `Gateway.revoke`."""
        now = self._clock.wall_ms() / 1000
        until = max(now + self._ttl, expires)
        self.revocations.forget_past(now)
        if ticket_id is not None:
            self.revocations.add_ticket(tenant, ticket_id, until=until)
        if user is not None:
            self.revocations.add_user(tenant, user, now=now, until=until)

    def pending(self) -> Mapping[str, int]:
        """Return how many one-time tickets wait, by tenant."""
        return {tenant: len(tickets) for tenant, tickets in self._connect.items()}

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return what became of one-time tickets, by tenant and outcome."""
        return {
            (tenant, outcome): count
            for tenant, tickets in self._connect.items()
            for outcome, count in tickets.counts.items()
        }

    # ------------------------------------------------------------------ JWTs

    def _from_jwt(self, tenant: str, ticket: str) -> Identity | None:
        issuers = self._issuers.get(tenant)
        if not issuers:
            return None
        from wsprism_core.policy.jwt import JwtRefused, read_head

        head = read_head(ticket)
        if head is None:
            return None
        now = self._clock.wall_ms() / 1000
        refused: JwtRefused | None = None
        for issuer, _ in issuers:
            try:
                identity = issuer.identify(ticket, head, now)
            except JwtRefused as error:
                # Another one with the same key may be meant.
                refused = error
                continue
            if identity is not None:
                return identity
        if refused is not None:
            raise TicketRefused(refused.reason)
        return None

    def _due(self, tenant: str, ticket: str) -> list[KeySet]:
        """Return the key sets to fetch before a ticket is judged."""
        issuers = self._issuers.get(tenant, ())
        key_sets = [(issuer, key_set) for issuer, key_set in issuers if key_set]
        if not key_sets:
            return []
        from wsprism_core.policy.jwt import read_head

        head = read_head(ticket)
        if head is None:
            return []
        return [key_set for _, key_set in key_sets if key_set.is_due(head)]

    def _built(
        self, config: Config, tenants: Iterable[str]
    ) -> dict[str, list[tuple[Issuer, KeySet | None]]]:
        """Return the issuers of some tenants.

        Raises:
            ConfigError: A key cannot be used.
        """
        built: dict[str, list[tuple[Issuer, KeySet | None]]] = {}
        problems: list[str] = []
        wanted = set(tenants)
        for number, tenant in enumerate(config.tenants):
            if tenant.id in wanted and tenant.auth.jwt:
                built[tenant.id] = _issuers(
                    tenant.id,
                    tenant.auth,
                    f"tenants[{number}].auth",
                    clock=self._clock,
                    metrics=self._metrics,
                    fetch=self._fetch,
                    problems=problems,
                )
        if problems:
            raise ConfigError("the configuration", problems)
        return built

    def _key_sets(self) -> Iterable[KeySet]:
        for issuers in self._issuers.values():
            for _, key_set in issuers:
                if key_set is not None:
                    yield key_set


def _reads_files(auth: AuthConfig) -> bool:
    return any(key.file is not None for issuer in auth.jwt for key in issuer.keys)


def _go_on(
    gone: list[tuple[Issuer, KeySet | None]], new: list[tuple[Issuer, KeySet | None]]
) -> None:
    """Have key sets begin with what those of the same address have fetched before."""
    known = {key_set.url: key_set for _, key_set in gone if key_set is not None}
    for _, key_set in new:
        if key_set is not None and key_set.url in known:
            key_set.go_on_from(known[key_set.url])


def _issuers(
    tenant: str,
    auth: AuthConfig,
    where: str,
    *,
    clock: Clock,
    metrics: Metrics,
    fetch: Fetch | None,
    problems: list[str],
) -> list[tuple[Issuer, KeySet | None]]:
    """Return a tenant's issuers, each with the key set that it publishes.

    Args:
        tenant: The tenant's id.
        auth: Its section.
        where: The section's path.
        clock: Time.
        metrics: Where fetches are counted.
        fetch: What fetches key sets; None does it over the network.
        problems: Where a line is added for each key that cannot be used.
    """
    # Imported here: most gateways start the sooner without, by a third of a second.
    from wsprism_core.gateway.jwks import KeySet, fetch_url
    from wsprism_core.policy.jwt import Issuer
    from wsprism_core.policy.keys import KeyFault, configured_key

    issuers: list[tuple[Issuer, KeySet | None]] = []
    for number, config in enumerate(auth.jwt):
        keys = []
        for place, key_config in enumerate(config.keys):
            path = f"{where}.jwt[{number}].keys[{place}]"
            try:
                key = configured_key(key_config)
            except KeyFault as fault:
                problems.append(f"{path}: {fault}")
                continue
            if key.algorithms.isdisjoint(config.algorithms):
                some = ", ".join(sorted(key.algorithms))
                problems.append(f"{path}: is for {some}, which algorithms has not")
            keys.append(key)
        issuer = Issuer(tenant, config, keys)
        key_set = None
        if config.jwks_url is not None:
            key_set = KeySet(
                issuer,
                tenant=tenant,
                url=config.jwks_url,
                cache=config.jwks_cache_s,
                retry=config.jwks_retry_s,
                fetch=fetch or fetch_url,
                clock=clock,
                metrics=metrics,
            )
        issuers.append((issuer, key_set))
    return issuers
