"""What crosses between the deterministic core and the world outside of it.

The core is a state machine: the same inputs at the same times give the same bytes.
Everything that is not decided by that passes a `Boundary`. The plain one lets it
through and is not there once the gateway is put together; a recorder writes down what
comes in, and a replayer plays it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import TypeAlias

from wsprism_core.actions import Actions, Broadcast
from wsprism_core.api import Identity
from wsprism_core.gateway.connection import Connection, ConnectionParts
from wsprism_core.policy.tenant import Tenant
from wsprism_core.realtime.channel import Receipt
from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.port import ConnectRequest, Link, Refusal

__all__ = ("After", "Authenticate", "Boundary", "Connect", "Cut", "Perform", "Publish")

#: Makes the core's end of a link.
Connect: TypeAlias = Callable[[Link, ConnectRequest], Connection]
#: Finds out who the bearer of a ticket is; see `Admission.authenticate`.
Authenticate: TypeAlias = Callable[
    [Tenant, str, ConnectRequest, Callable[[Identity | Refusal], None]], None
]
#: Runs work once, so many seconds from now or a little later.
After: TypeAlias = Callable[[float, Callable[[], None]], Timer]
#: Does what a plugin wants done: actions, service, tenant.
Perform: TypeAlias = Callable[[Actions, str, str], None]
#: Ends the sessions whose tickets are revoked: tenant, user, ticket; see `SessionDesk`.
Cut: TypeAlias = Callable[[str, str | None, str | None], None]
#: Publishes to a room what an operator wants: broadcast, service, tenant, and who is
#: told of its number.
Publish: TypeAlias = Callable[[Broadcast, str, str, Callable[[Receipt], None]], None]


class Boundary:
    """Lets everything through.

    Each method is called once, while the gateway is put together: it is handed a
    function and returns the one that takes its place.
    """

    #: Whether coroutines of plugins run beside the gateway.
    spawns = True
    #: Whether sessions may come back on a new connection.
    resumes = True

    def connect(self, parts: ConnectionParts, tenants: Mapping[str, Tenant]) -> Connect:
        """Make connections.

        Args:
            parts: What all of them share.
            tenants: The tenants, by id.
        """
        return partial(Connection, parts)

    def deadlines(self, inner: After) -> After:
        """Put off what comes of the deadlines that transports keep."""
        return inner

    def authenticate(self, inner: Authenticate) -> Authenticate:
        """Judge the ticket with which an open session is refreshed."""
        return inner

    def perform(self, inner: Perform) -> Perform:
        """Do what a plugin wants done outside of any message."""
        return inner

    def cut(self, inner: Cut) -> Cut:
        """End the sessions whose tickets an operator revokes."""
        return inner

    def publish(self, inner: Publish) -> Publish:
        """Publish to a room what an operator wants."""
        return inner

    def drain(self, inner: Callable[[], None]) -> Callable[[], None]:
        """Begin to empty the gateway."""
        return inner

    def trace_ids(self, inner: Callable[[], str]) -> Callable[[], str]:
        """Give ids for support and logs."""
        return inner

    def random(self, inner: Callable[[str], Random]) -> Callable[[str], Random]:
        """Give a plugin, by its name, what its chance comes from."""
        return inner

    def started(self) -> None:
        """Note that every plugin has begun, and that the gateway listens next."""
