"""A host for tests of transports: it lets everybody in and says everything back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from wsprism_core.realtime.clock import Timer
from wsprism_core.transports.port import (
    ConnectRequest,
    Grant,
    HttpRequest,
    HttpResponse,
    Link,
    Receiver,
    Refusal,
    TransportTimeouts,
)

TIMEOUT = 10.0


class Log:
    """What happened, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.entries: list[tuple[object, ...]] = []
        self._news: asyncio.Event | None = None

    def add(self, *entry: object) -> None:
        self.entries.append(entry)
        if self._news is not None:
            self._news.set()

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [entry for entry in self.entries if entry[0] == name]

    async def until(self, name: str, count: int = 1) -> tuple[object, ...]:
        """Wait until `name` has happened `count` times; return the last of them."""
        await self.wait_for(lambda: len(self.of(name)) >= count)
        return self.of(name)[count - 1]

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something happens that makes a condition true."""
        self._news = asyncio.Event()
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self._news.clear()
                await self._news.wait()


class EchoReceiver:
    """Says back what it is told, and notes everything.

    What the socket does not take waits here until it does, as in an outbox.
    """

    def __init__(self, link: Link, log: Log) -> None:
        self.link = link
        self.log = log
        self.waiting: list[bytes] = []
        self.full = False
        self.on_text: Callable[[bytes], None] | None = None
        self.on_closed: Callable[[], None] = lambda: None

    def send(self, data: bytes) -> None:
        self.waiting.append(data)
        self.flush()

    def flush(self) -> None:
        while self.waiting and not self.full:
            self.full = not self.link.write(self.waiting.pop(0))

    def text(self, payload: bytes) -> None:
        self.log.add("text", payload)
        if self.on_text is not None:
            self.on_text(payload)
        else:
            self.send(self.link.wire.frame_text(payload))

    def binary(self, payload: bytes) -> None:
        self.log.add("binary", payload)
        self.send(self.link.wire.frame_hot(payload))

    def heard(self) -> None:
        self.log.add("heard")

    def pong(self) -> None:
        self.log.add("pong")

    def control(self, data: bytes) -> None:
        self.log.add("control", data)
        self.link.write(data)

    def pause(self) -> None:
        self.full = True
        self.log.add("pause")

    def resume(self) -> None:
        self.full = False
        self.log.add("resume")
        self.flush()

    def closed(self, code: int, reason: str) -> None:
        self.log.add("closed", code, reason)
        self.on_closed()


class EchoGrant:
    def __init__(self, host: EchoHost) -> None:
        self.host = host
        self.max_message_bytes = host.max_message_bytes

    def open(self, link: Link) -> Receiver:
        receiver = EchoReceiver(link, self.host.log)
        self.host.receivers.append(receiver)
        self.host.log.add("open")
        self.host.on_open(receiver)
        return receiver

    def release(self) -> None:
        self.host.log.add("release")


class EchoHost:
    """Lets everybody in, unless told what to answer."""

    def __init__(self) -> None:
        self.timeouts = TransportTimeouts(handshake=5.0, message=5.0, close=5.0)
        self.max_message_bytes = 64 * 1024
        self.log = Log()
        self.receivers: list[EchoReceiver] = []
        self.greeting: Refusal | None = None
        self.origin: Refusal | None = None
        self.refusal: Refusal | None = None
        self.response = HttpResponse(404, b"not found\n")
        self.on_open: Callable[[EchoReceiver], None] = lambda receiver: None
        self.requests: list[ConnectRequest] = []
        self.http_requests: list[HttpRequest] = []
        self.origins: list[Sequence[str]] = []
        self.refusals: list[Refusal] = []
        #: Set to a list to decide later, by calling what is put there.
        self.undecided: list[Callable[[Grant | Refusal], None]] | None = None

    @property
    def receiver(self) -> EchoReceiver:
        """The one connection there was."""
        (receiver,) = self.receivers
        return receiver

    def after(self, seconds: float, work: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, work)

    def greet(self, transport: str, address: str) -> Refusal | None:
        self.log.add("greet", address)
        return self.greeting

    def check_origin(self, origins: Sequence[str]) -> Refusal | None:
        self.origins.append(origins)
        return self.origin

    def admit(
        self, request: ConnectRequest, decided: Callable[[Grant | Refusal], None]
    ) -> None:
        self.requests.append(request)
        if self.undecided is not None:
            self.undecided.append(decided)
            self.log.add("undecided")
        else:
            decided(self.decision())

    def decision(self) -> Grant | Refusal:
        return self.refusal or EchoGrant(self)

    def http(self, request: HttpRequest) -> HttpResponse:
        self.http_requests.append(request)
        return self.response

    def refused(self, transport: str, address: str, refusal: Refusal) -> None:
        self.refusals.append(refusal)
        self.log.add("refused", refusal.status)
