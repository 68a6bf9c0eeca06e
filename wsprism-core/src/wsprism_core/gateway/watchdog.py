"""Names the plugin whose function keeps the event loop from everything else."""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

from wsprism_core.gateway.failures import Failures
from wsprism_core.gateway.handlers import HandlerQueues
from wsprism_core.hookspecs import HookSpecs
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet
from wsprism_core.protocol.envelope import Envelope
from wsprism_core.routing import ServiceRoute

__all__ = ("HUNG", "NOBODY", "Blame", "Watchdog", "owners_of")

#: Looks at the event loop in the time from which on a call is too slow.
LOOKS: Final = 4
#: The least time between two looks, in seconds.
MIN_PAUSE: Final = 0.01
#: Seconds after which a call that still runs is told, for it may never end.
HUNG: Final = 10.0
#: Frames of a stack that are searched, from the innermost out.
MAX_FRAMES: Final = 200
#: What stands where no plugin, hook or service is to blame.
NOBODY: Final = "none"

#: The code in which async handlers of a service run.
_ASYNC: Final = HandlerQueues.work.__code__
#: Every function that `Failures.guard` returns runs this code.
_GUARDED: Final = Failures(Metrics()).guard("", "", str).__code__


@dataclass(frozen=True, slots=True)
class Blame:
    """What the event loop was in for too long.

    Args:
        plugin: Whose function.
        hook: The hook that it implements; `timer` and the like for what is no hook.
        svc: The service whose message it handled.
        where: Module, function and line that ran when it was seen.
    """

    plugin: str = NOBODY
    hook: str = NOBODY
    svc: str = NOBODY
    where: str = NOBODY


def owners_of(plugins: PluginSet) -> dict[CodeType, tuple[str, str]]:
    """Return plugin and hook of each function that implements one, by its code."""
    owners = {}
    for hook in (name for name in vars(HookSpecs) if not name.startswith("_")):
        for impl in plugins.hook(hook).get_hookimpls():
            # What is no plain function has no code of its own.
            code = getattr(inspect.unwrap(impl.function), "__code__", None)
            if code is not None:
                owners[code] = impl.plugin_name, hook
    return owners


class Watchdog:
    """Looks at the event loop's stack from another thread while its beat is overdue.

    A plugin is blamed only where the same call of its function is seen twice, so that
    a turn of many quick calls puts the blame on none of them. While a call into C holds
    Python's lock, nothing can look.

    Args:
        owners: Plugin and hook of each function that implements one, by its code.
        slow: From how many seconds on a call is too slow.
        beat: Seconds between two beats.
        hung: Called, on the watchdog's thread, once with who has kept the event loop
            for 10 seconds and still does, and for how many seconds.
    """

    def __init__(
        self,
        owners: Mapping[CodeType, tuple[str, str]],
        *,
        slow: float,
        beat: float,
        hung: Callable[[Blame, float], None],
    ) -> None:
        self._owners = owners
        self._pause = max(slow / LOOKS, MIN_PAUSE)
        self._beat_interval = beat
        self._hung = hung
        self._loop_thread = threading.get_ident()
        self._last_beat = time.monotonic()
        self._told_of: float | None = None
        # The call that was seen at the last look, and who is to blame by now.
        self._seen: FrameType | None = None
        self._blame = Blame()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="wsprism-watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin to look at the calling thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def beat(self) -> Blame:
        """Say that the event loop goes on; return who kept it since the last beat."""
        self._last_beat = time.monotonic()
        blame, self._blame = self._blame, Blame()
        # A frame that is held keeps everything in it alive.
        self._seen = None
        return blame

    def _watch(self) -> None:
        while not self._stopped.wait(self._pause):
            beat = self._last_beat
            late = time.monotonic() - beat - self._beat_interval
            if late < self._pause:
                continue
            blame = self._look()
            # A beat that came meanwhile has closed the case.
            if blame is None or beat != self._last_beat:
                continue
            self._blame = blame
            if late >= HUNG and self._told_of != beat:
                self._told_of = beat
                self._hung(blame, late)

    def _look(self) -> Blame | None:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return None
        before = self._seen
        for call in _outward(frame):
            owner = self._owner(call)
            if owner is not None:
                self._seen = call
                if call is before:
                    return Blame(*owner, svc=_service(call), where=_place(frame))
                break
        return Blame(where=_place(frame))

    def _owner(self, call: FrameType) -> tuple[str, str] | None:
        """Return plugin and hook of a call, where it is a plugin's."""
        if call.f_code is _GUARDED:
            return call.f_locals["plugin"], call.f_locals["hook"]
        return self._owners.get(call.f_code)


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it."""
    for _ in range(MAX_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _service(call: FrameType) -> str:
    """Return the service whose message is handled around a call.

    The gateway's own functions know it, by one name or the other. Those that are
    compiled have no frame, but then the message is among the arguments of the call.
    """
    for frame in _outward(call):
        if frame.f_globals.get("__package__") == __package__:
            route = frame.f_locals.get("route")
            if isinstance(route, ServiceRoute):
                return route.service.name
            if frame.f_code is _ASYNC:
                return str(frame.f_locals["svc"])
    message = call.f_locals.get("message")
    return message.svc if isinstance(message, Envelope) else NOBODY


def _place(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "?")
    return f"{module}:{frame.f_code.co_name}:{frame.f_lineno}"
