"""The plugins' hooks as the gateway calls them: typed, isolated, compiled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

from wsprism_core.actions import (
    Ack,
    Action,
    Actions,
    Broadcast,
    BroadcastFrame,
    Pull,
    Push,
    PushFrame,
    Reply,
)
from wsprism_core.dispatch import Function, compile_hook
from wsprism_core.gateway.egress import Egress
from wsprism_core.gateway.failures import STOPS_THE_PROCESS, Failures
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode
from wsprism_core.realtime.session import Session

__all__ = ("EventHooks", "check_failed", "judge_message")

#: What is sent in the name of a service; the other actions are done in nobody's.
_SENT: Final = (Ack, Broadcast, BroadcastFrame, Pull, Push, PushFrame, Reply)


class EventHooks:
    """Hooks that fan out, and those that may say no.

    What an event hook raises is counted under its plugin and reaches nobody. What it
    returns is performed in the name of the plugin's service, once every plugin was
    called; a plugin without one may still join, leave and kick.

    All plugins hear of events in the same order. What happens while they are told of
    one, because a hook performs it itself, they are told of behind it.

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
        #: Events that the plugins are still to be told of: hooks and their arguments.
        self._untold: deque[tuple[Function, Session, tuple[Any, ...]]] = deque()
        self._telling = False
        self._check_join = self._compile_check(plugins, "check_join", _judge_join)
        self._check_message = self._compile_check(
            plugins, "check_message", _judge_message
        )
        self._open = self._compile_event(plugins, "on_open")
        self._join = self._compile_event(plugins, "on_join")
        self._leave = self._compile_event(plugins, "on_leave")
        self._detach = self._compile_event(plugins, "on_detach")
        self._resume = self._compile_event(plugins, "on_resume")
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
        seq, flags = message.seq, message.flags
        rewritten: Envelope | None = self._check_message(session, message)
        if rewritten is None:
            rewritten = message
        # It is still the same message to its sender, who waits for one answer to it.
        rewritten.seq, rewritten.flags = seq, flags
        return rewritten

    def on_open(self, session: Session) -> None:
        """A session is open."""
        self._tell(self._open, session)

    def on_join(self, session: Session, room: str) -> None:
        """A session has joined a room."""
        self._tell(self._join, session, room)

    def on_leave(self, session: Session, room: str) -> None:
        """A session has left a room."""
        self._tell(self._leave, session, room)

    def on_detach(self, session: Session) -> None:
        """A session has lost its connection, and may come back."""
        self._tell(self._detach, session)

    def on_resume(self, session: Session) -> None:
        """A session is back on a new connection."""
        self._tell(self._resume, session)

    def on_close(self, session: Session, code: int, reason: str) -> None:
        """A session is over."""
        self._tell(self._close, session, code, reason)

    def _compile_check(
        self, plugins: PluginSet, name: str, judge: Callable[[Function], Function]
    ) -> Function:
        """Compile a hook that may say no; where it fails, the answer is no.

        Args:
            plugins: Whose hooks.
            name: The hook.
            judge: Makes a function that raises where an answer is none.
        """

        def guard(plugin: str, function: Function) -> Function:
            judged = judge(function)

            def guarded(*args: Any) -> Any:
                try:
                    return judged(*args)
                except (ProtocolError, *STOPS_THE_PROCESS):
                    raise
                except BaseException as error:
                    self._failures.note(plugin, name, error)
                    raise check_failed() from error

            return guarded

        # The outer guard is for hook wrappers, which go around the plugins' own.
        return guard("a wrapper", compile_hook(plugins.hook(name), guard))

    def _compile_event(self, plugins: PluginSet, name: str) -> Function:
        """Compile a hook that fans out; a plugin's failure stays its own."""
        guard = self._failures.guard

        def attribute(plugin: str, function: Function) -> Function:
            call = guard(plugin, name, function)

            def attributed(*args: Any) -> tuple[str, Actions] | None:
                actions = call(*args)
                return None if actions is None else (plugin, actions)

            return attributed

        return guard("a wrapper", name, compile_hook(plugins.hook(name), attribute))

    def _tell(self, hook: Function, session: Session, *about: Any) -> None:
        """Tell every plugin of an event, behind those that are not told yet."""
        self._untold.append((hook, session, about))
        while self._untold and not self._telling:
            hook, session, about = self._untold.popleft()
            self._telling = True
            try:
                results = hook(session, *about)
            finally:
                self._telling = False
            self._perform(results, session.tenant)

    def _perform(self, results: list[tuple[str, Actions]] | None, tenant: str) -> None:
        if results:
            self._egress.when_idle(lambda: self._perform_now(results, tenant))

    def _perform_now(self, results: list[tuple[str, Actions]], tenant: str) -> None:
        for plugin, actions in results:
            self._failures.guard(plugin, "actions", self._act)(plugin, actions, tenant)

    def _act(self, plugin: str, actions: Actions, tenant: str) -> None:
        svc = self._services.get(plugin)
        if svc is None:
            self._egress.perform(_without_service(actions), "", tenant)
        else:
            self._egress.perform(actions, svc, tenant)


def _judge_join(function: Function) -> Function:
    def judged(session: Session, room: str) -> bool | None:
        answer = function(session, room)
        if answer is None or isinstance(answer, bool):
            return answer
        raise TypeError(f"check_join returned {type(answer).__name__}, not a bool")

    return judged


def _judge_message(function: Function) -> Function:
    def judged(session: Session, message: Envelope) -> Envelope | None:
        kind = message.svc, message.type
        return judge_message(kind, message, function(session, message))

    return judged


def judge_message(
    kind: tuple[str, str], message: Envelope, answer: object
) -> Envelope | None:
    """Return what a check of a message returned.

    Args:
        kind: The message's service and type, as they were.
        message: The message, as it is now.
        answer: What was returned.

    Raises:
        TypeError: That is no message.
        ValueError: The check made it a message of another kind.
    """
    if answer is not None and not isinstance(answer, Envelope):
        wrong = type(answer).__name__
        raise TypeError(f"check_message returned {wrong}, not an Envelope")
    # What was changed in place counts as well.
    passed = message if answer is None else answer
    if (passed.svc, passed.type) != kind:
        raise ValueError("a rewritten message keeps its svc and type")
    return answer


def _without_service(actions: Actions) -> Iterator[Action]:
    """Yield actions of a plugin that owns no service.

    Raises:
        ValueError: One would send something.
    """
    several = isinstance(actions, Iterable)
    for action in cast("Iterable[Action]", actions if several else (actions,)):
        if isinstance(action, _SENT):
            raise ValueError(
                f"{type(action).__name__} is sent in the name of a service, "
                "and this plugin owns none"
            )
        yield action


def check_failed() -> ProtocolError:
    """Return what a client is told whose message could not be checked."""
    return ProtocolError(ErrorCode.INTERNAL, "a check of this message failed")
