"""Every hook that a plugin may implement, grouped by life cycle.

A plugin is a class; the gateway makes one instance of it. Its hooks are methods marked
with `hookimpl`, and each takes as many of the arguments named here as it wants. The
class names the hook API version that it was written for::

    class EchoPlugin:
        wsprism_api = 1

        @hookimpl
        def register_services(self):
            return Service(name="echo", inbound=(Inbound(name="say"),))

        @hookimpl
        def on_message(self, session, message):
            return Reply("said", message.data)

What an event hook returns are actions; the gateway performs them. What it raises is
counted under the plugin's name and goes no further.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import click

    from wsprism_core.actions import Actions
    from wsprism_core.api import Gateway, Identity, Session
    from wsprism_core.manifest import Service
    from wsprism_core.options import RunOptions
    from wsprism_core.protocol.envelope import Envelope
    from wsprism_core.protocol.hotframe import HotFrame
    from wsprism_core.routes import Route
    from wsprism_core.transports.port import ConnectRequest, Transport

__all__ = ("HOOK_API_VERSION", "PROJECT", "HookSpecs", "hookimpl", "hookspec")

#: pluggy's project name, and the entry point group that plugins stand in.
PROJECT: Final = "wsprism"
#: A plugin states it as `wsprism_api`; it grows when a hook changes its meaning.
HOOK_API_VERSION: Final = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks; see the reference page for an example of each."""

    # ------------------------------------------------------------- registration
    # Called once while the gateway is put together, before it listens.

    @hookspec
    def register_services(self) -> Service | Iterable[Service] | None:
        """Declare the services that this plugin owns.

        Returns:
            One manifest or several. A name or id that is taken refuses to start.
        """

    @hookspec
    def register_routes(self) -> Iterable[Route] | None:
        """Add plain HTTP routes (GET) to the gateway's port.

        Returns:
            Routes; a path that is taken, is `/v1/ws` or begins with no `/` refuses to
            start, and so does an exception.
        """

    @hookspec
    def register_transports(self, options: RunOptions) -> Iterable[Transport] | None:
        """Add transports beside WebSocket and TCP.

        Args:
            options: What `wsprism run` was told, read only.

        Returns:
            Transports; the gateway starts and stops them.
        """

    @hookspec
    def register_commands(self, cli: click.Group) -> None:
        """Add commands to `wsprism`; called where wsprism-cli is installed.

        Args:
            cli: The click group of the program.
        """

    # --------------------------------------------------------------- life cycle

    @hookspec
    def on_start(self, gateway: Gateway) -> Awaitable[None] | None:
        """Begin: the gateway is put together and will listen next. May be async.

        Args:
            gateway: What the plugin may ask of the gateway; keep it.

        An exception refuses to start.
        """

    @hookspec
    def on_stop(self, gateway: Gateway) -> Awaitable[None] | None:
        """End: every session is closed. May be async; called in reverse order.

        Not called where the plugin's `on_start` raised or was never reached.
        """

    # ------------------------------------------------------- asked, may say no
    # The first answer that is not None decides.

    @hookspec(firstresult=True)
    def authenticate(
        self, ticket: str, tenant: str, request: ConnectRequest
    ) -> Awaitable[Identity | None] | Identity | None:
        """Say who the bearer of a ticket is. May be async.

        Args:
            ticket: The ticket; it must reach no log and no error.
            tenant: The tenant that the client asked for; it exists.
            request: How the client came.

        Returns:
            Who it is, or None to leave it to the next plugin. When nobody knows the
            ticket, the client is refused.

        Raises:
            ProtocolError: Refuse the ticket at once.
        """

    @hookspec(firstresult=True)
    def check_join(self, session: Session, room: str) -> bool | None:
        """Decide whether a session may join a room.

        Returns:
            True to let it, False to refuse it with `NOT_ALLOWED`, None to leave it to
            the next plugin. When nobody decides, it may. Anything else is a failure,
            and a check that fails has not let it.

        Raises:
            ProtocolError: Refuse it with this error.
        """

    @hookspec(firstresult=True)
    def check_message(
        self, session: Session, message: Envelope
    ) -> Awaitable[Envelope | None] | Envelope | None:
        """Refuse or rewrite a text message before its owner sees it. May be async.

        An async one has `filter_budget_ms`. Without an answer by then, or where it
        fails, the message is refused, or passes where the plugin says
        `wsprism_fail_open = True`. It sees no hot frames.

        Returns:
            The message that the owner gets instead (of the same `svc` and `type`), or
            None to leave it as it is.

        Raises:
            ProtocolError: Refuse it with this error.
        """

    # ------------------------------------------------------------------- events

    @hookspec
    def on_open(self, session: Session) -> Actions:
        """A session is open: authenticated, and `sys.authed` is on its way.

        Where a plugin before has ended it at once, `on_close` follows.
        """

    @hookspec
    def on_join(self, session: Session, room: str) -> Actions:
        """A session has joined a room.

        These actions are done first. `sys.joined` rides the control lane, though, and
        so reaches the client before what these actions send on any other.
        """

    @hookspec
    def on_message(
        self, session: Session, message: Envelope
    ) -> Awaitable[Actions] | Actions:
        """A text message for a service. May be async.

        Called for the services that the plugin owns. A plugin that owns none is an
        observer: it sees every message after its owner, and what it returns is ignored.

        Args:
            session: The sender.
            message: The envelope, checked against the manifest.

        Raises:
            ProtocolError: Refuse the message; anything else is answered `INTERNAL`.
        """

    @hookspec
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        """A hot frame for a service; as `on_message`, but never async, no wrappers.

        Args:
            session: The sender.
            frame: The frame; `room` is the room's name.
        """

    @hookspec
    def on_leave(self, session: Session, room: str) -> Actions:
        """A session has left a room, by its own wish or by its end."""

    @hookspec
    def on_detach(self, session: Session) -> Actions:
        """A session's connection dropped; it may resume within its window.

        It keeps its rooms and its numbers in them, and is sent nothing. Where it does
        not come back, `on_leave` and `on_close` follow.
        """

    @hookspec
    def on_resume(self, session: Session) -> Actions:
        """A session is back on a new connection, with the rooms that it was in."""

    @hookspec
    def on_close(self, session: Session, code: int, reason: str) -> Actions:
        """A session is over; it has left its rooms already.

        Args:
            session: Who it was.
            code: The close code.
            reason: A few words for people.
        """
