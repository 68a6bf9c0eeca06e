"""The plugins' hooks as the gateway calls them: typed, isolated, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsprism_core.actions import Actions
from wsprism_core.dispatch import Function, compile_hook
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.session import Session

__all__ = ("EventHooks",)


class EventHooks:
    """Hooks that fan out, and those that may say no.

    What an event hook raises is counted under its plugin and reaches nobody. What it
    returns is performed in the name of the plugin's service, once every plugin was
    called.

    Args:
        plugins: Whose hooks.
        services: The service that a plugin acts for, by the plugin's name.
        egress: What performs actions.
        failures: Where failures are noted.
    """

    def __init__(
        self,
        plugins: PluginSet,
        services: Mapping[str, str],
        egress: Egress,
        failures: Failures,
    ) -> None:
        self._services = services
        self._egress = egress
        self._failures = failures
        self._check_join = self._compile_check(plugins, "check_join")
        self._check_message = self._compile_check(plugins, "check_message")
        self._open = self._compile_event(plugins, "on_open")
        self._join = self._compile_event(plugins, "on_join")
        self._leave = self._compile_event(plugins, "on_leave")
        self._close = self._compile_event(plugins, "on_close")
        self.checks_messages = bool(plugins.hook("check_message").get_hookimpls())

    def check_join(self, session: Session, room: str) -> None:
        """Ask whether a session may join a room.

        Raises:
            ProtocolError: It may not.
        """
        if self._check_join(session, room) is False:
            raise ProtocolError(ErrorCode.NOT_ALLOWED, "you may not join this room")

    def check_message(self, session: Session, message: Envelope) -> Envelope:
        """Ask whether a message may pass; return what its owner gets.

        Raises:
            ProtocolError: It may not.
        """
        rewritten: Envelope | None = self._check_message(session, message)
        if rewritten is None:
            return message
        if (rewritten.svc, rewritten.type) != (message.svc, message.type):
            error = ValueError("a rewritten message keeps its svc and type")
            self._failures.note("check_message", "check_message", error)
            raise _check_failed()
        # It is still the same message to its sender, who waits for one answer to it.
        rewritten.seq, rewritten.flags = message.seq, message.flags
        return rewritten

    def on_open(self, session: Session) -> None:
        """A session is open."""
        self._perform(self._open(session), session.tenant)

    def on_join(self, session: Session, room: str) -> None:
        """A session has joined a room."""
        self._perform(self._join(session, room), session.tenant)

    def on_leave(self, session: Session, room: str) -> None:
        """A session has left a room."""
        self._perform(self._leave(session, room), session.tenant)

    def on_close(self, session: Session, code: int, reason: str) -> None:
        """A session is over."""
        self._perform(self._close(session, code, reason), session.tenant)

    def _compile_check(self, plugins: PluginSet, name: str) -> Function:
        """Compile a hook that may say no; where it fails, the answer is no."""

        def guard(plugin: str, function: Function) -> Function:
            def guarded(*args: Any) -> Any:
                try:
                    return function(*args)
                except (ProtocolError, *STOPS_THE_PROCESS):
                    raise
                except BaseException as error:
                    self._failures.note(plugin, name, error)
                    raise _check_failed() from error

            return guarded

        # The outer guard is for hook wrappers, which go around the plugins' own.
        return guard("a wrapper", compile_hook(plugins.hook(name), guard))

    def _compile_event(self, plugins: PluginSet, name: str) -> Function:
        """Compile a hook that fans out; a plugin's failure stays its own."""

        def guard(plugin: str, function: Function) -> Function:
            def guarded(*args: Any) -> Any:
                try:
                    return function(*args)
                except STOPS_THE_PROCESS:
                    raise
                except BaseException as error:
                    self._failures.note(plugin, name, error)
                    return None

            return guarded

        def attribute(plugin: str, function: Function) -> Function:
            call = guard(plugin, function)

            def attributed(*args: Any) -> tuple[str, Actions] | None:
                actions = call(*args)
                return None if actions is None else (plugin, actions)

            return attributed

        return guard("a wrapper", compile_hook(plugins.hook(name), attribute))

    def _perform(self, results: list[tuple[str, Actions]] | None, tenant: str) -> None:
        if results:
            self._egress.when_idle(lambda: self._perform_now(results, tenant))

    def _perform_now(self, results: list[tuple[str, Actions]], tenant: str) -> None:
        for plugin, actions in results:
            try:
                self._egress.perform(actions, self._services[plugin], tenant)
            except STOPS_THE_PROCESS:
                raise
            except BaseException as error:
                self._failures.note(plugin, "actions", error)


def _check_failed() -> ProtocolError:
    return ProtocolError(ErrorCode.INTERNAL, "a check of this message failed")
