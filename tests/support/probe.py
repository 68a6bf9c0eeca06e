"""Plugins for gateways in a process of their own: what tests see and do there.

They are installed like any other, so that the gateway does not know it is tested.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from wsprism_core import (
    Actions,
    Broadcast,
    BroadcastFrame,
    Delivery,
    Envelope,
    HotFrame,
    Inbound,
    Opcode,
    Outbound,
    Push,
    Reply,
    RoomRule,
    Service,
    Session,
    hookimpl,
)
from wsprism_core.realtime import session as realtime
from wsprism_core.routes import Route
from wsprism_core.transports.port import HttpRequest, HttpResponse
from wsprism_core.transports.stream import StreamConnection

__all__ = ("FAILURES", "PROBE", "RELAY", "Hang", "Probe", "failure", "install_plugins")

#: The probe's service id, and its opcode.
PROBE: Final = 210
RELAY: Final = 1

_LANES: Final = ("realtime", "market", "interactive", "bulk")
#: Everything that Python itself raises, but for what ends the process.
FAILURES: Final = tuple(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type)
    and issubclass(kind, BaseException)
    and not issubclass(kind, KeyboardInterrupt | SystemExit)
)
#: What must be gone once its client is.
_TRACES: Final = (StreamConnection, realtime.Session)


class Textless(Exception):
    """Raises when somebody asks for its text."""

    def __str__(self) -> str:
        raise RuntimeError


@dataclass(frozen=True)
class Frozen(Exception):
    """Refuses to have its attributes set."""


def failure(name: str) -> BaseException:
    """Return an exception by its name: Python's, asyncio's, or an odd one."""
    match name:
        case "Textless":
            return Textless()
        case "Frozen":
            return Frozen()
        case "CancelledError":
            return asyncio.CancelledError()
    kind: type[BaseException] = getattr(builtins, name)
    if issubclass(kind, BaseExceptionGroup):
        return kind("several", [ValueError()])
    if issubclass(kind, UnicodeTranslateError):
        return kind("a", 0, 1, "bad")
    if issubclass(kind, UnicodeError) and kind is not UnicodeError:
        return kind("utf-8", "a" if kind is UnicodeEncodeError else b"a", 0, 1, "bad")
    return kind()


@dataclass
class Flood:
    """So many messages of so many bytes to a user, by lane."""

    user: str
    counts: dict[str, int]
    size: int


@dataclass
class Ticks:
    """`count` values for each key, numbered from `first`, to a user."""

    user: str
    keys: list[str]
    first: int
    count: int
    size: int


@dataclass
class Block:
    """Hold up the event loop."""

    ms: int


class Probe:
    """Echoes, floods, blocks, hangs, and says what the process holds."""

    wsprism_api = 1
    name = "probe"

    def __init__(self) -> None:
        self._open: dict[str, realtime.Session] = {}
        self._ended: Counter[str] = Counter()
        self._sessions: WeakSet[realtime.Session] = WeakSet()
        self._links: WeakSet[Any] = WeakSet()

    @hookimpl
    def register_services(self) -> Service:
        return Service(
            name="probe",
            svc_id=PROBE,
            inbound=(
                Inbound(name="echo"),
                Inbound(name="say", room=RoomRule.MEMBER),
                Inbound(name="flood", schema=Flood),
                Inbound(name="ticks", schema=Ticks),
                Inbound(name="block", schema=Block),
                Inbound(name="fail"),
            ),
            outbound=(
                Outbound(name="echoed"),
                Outbound(name="said"),
                Outbound(name="tick", lane="market", delivery=Delivery.LATEST),
                *(Outbound(name=f"on_{lane}", lane=lane) for lane in _LANES),
            ),
            opcodes=(Opcode(number=RELAY, name="RELAY", lane="realtime"),),
        )

    @hookimpl
    def register_routes(self) -> list[Route]:
        return [Route("/probe", self._look)]

    @hookimpl
    def on_message(self, session: Session, message: Envelope) -> Actions:
        data = message.data
        match message.type:
            case "say":
                return Broadcast("said", data)
            case "flood":
                text = "x" * data.size
                # In turns, as they would come from many senders.
                return [
                    Push(f"on_{lane}", {"n": n, "text": text}, user=data.user)
                    for n in range(max(data.counts.values()))
                    for lane, count in data.counts.items()
                    if n < count
                ]
            case "ticks":
                text = "x" * data.size
                return [
                    Push(
                        "tick",
                        {"key": key, "n": n, "of": session.tenant, "text": text},
                        user=data.user,
                        key=key,
                    )
                    for n in range(data.first, data.first + data.count)
                    for key in data.keys
                ]
            case "block":
                time.sleep(data.ms / 1000)
                return Reply("echoed")
            case "fail":
                raise failure(data)
        return Reply("echoed", data)

    @hookimpl
    def on_binary(self, session: Session, frame: HotFrame) -> Actions:
        return BroadcastFrame(RELAY, frame.payload, seq=frame.seq)

    @hookimpl
    def on_open(self, session: Session) -> None:
        assert isinstance(session, realtime.Session)
        self._open[session.id] = session
        self._sessions.add(session)
        self._links.add(session.link)

    @hookimpl
    def on_close(self, session: Session) -> None:
        del self._open[session.id]
        self._ended[session.id] += 1

    def _look(self, request: HttpRequest) -> HttpResponse:
        # What is frozen the collector does not show; links before the ticket only it.
        found = {
            id(thing): type(thing).__name__
            for thing in (*gc.get_objects(), *self._sessions, *self._links)
            if issubclass(type(thing), _TRACES)
        }
        alive = Counter(found.values())
        seen: dict[str, Any] = {
            "fds": len(os.listdir("/proc/self/fd")),
            "tasks": len(asyncio.all_tasks()),
            "alive": alive,
            "waiting": self._waiting(),
            "ended": len(self._ended),
            "ended_twice": sum(times > 1 for times in self._ended.values()),
        }
        return HttpResponse(
            body=json.dumps(seen).encode(), content_type="application/json"
        )

    def _waiting(self) -> dict[str, Any]:
        """Return what waits by user and lane: messages and bytes."""
        return {
            session.user: {
                lane.name: session.outbox.depth(index)
                for index, lane in enumerate(session.outbox.lanes)
            }
            for session in self._open.values()
        }


class Hang:
    """A service whose handler never ends, or ends by what its message names."""

    wsprism_api = 1

    @hookimpl
    def register_services(self) -> Service:
        return Service(name="hang", inbound=(Inbound(name="on"),))

    @hookimpl
    async def on_message(self, message: Envelope) -> None:
        if message.data is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        raise failure(message.data)


def install_plugins(folder: Path) -> None:
    """Make the plugins installed for a process that has `folder` on its path."""
    info = folder / "wsprism_probe-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: wsprism-probe\nVersion: 1\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[wsprism]\nprobe = {__name__}:Probe\nhang = {__name__}:Hang\n",
        encoding="utf-8",
    )
