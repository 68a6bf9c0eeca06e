"""An honest client in a process of its own: it echoes all the time, and times it.

It has a process to itself because what the test sends would hold up its clock. Each
line on standard input is answered with one line of JSON: the round trips since the one
before, in milliseconds, and why there are no more, or null.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Final

from support.peers import client_frame, handshake

#: Seconds between two echoes.
INTERVAL: Final = 0.002
TIMEOUT: Final = 20.0


class Canary:
    """Sends the next echo once the one before is back."""

    def __init__(self, port: int, target: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(handshake(target))
        self._stream = self._socket.makefile("rb")
        while self._stream.readline() != b"\r\n":
            pass
        self._read("authed")
        self._times: list[float] = []
        self._sent_at = 0.0
        self._died: str | None = None

    def run(self) -> None:
        message = b'{"svc":"probe","type":"echo"}'
        try:
            while True:
                self._sent_at = time.perf_counter()
                self._socket.sendall(client_frame(1, message))
                self._read("echoed")
                self._times.append(time.perf_counter() - self._sent_at)
                self._sent_at = 0.0
                time.sleep(INTERVAL)
        except (OSError, AssertionError) as error:
            self._died = repr(error)

    def since(self) -> tuple[list[float], str | None]:
        """Return what happened since the last call; one under way counts as it is."""
        times, self._times = self._times, []
        if (sent_at := self._sent_at) and self._died is None:
            times = [*times, time.perf_counter() - sent_at]
        return [1000 * one for one in times], self._died

    def _read(self, type: str) -> None:
        """Read the next message; answer pings meanwhile."""
        while True:
            first, size = self._stream.read(2) or (0x88, 0)
            if size == 126:
                size = int.from_bytes(self._stream.read(2), "big")
            payload = self._stream.read(size)
            if first == 0x89:
                self._socket.sendall(client_frame(10, payload))
                continue
            assert first == 0x81, f"the gateway sent {first:#x} {payload!r}"
            if f'"type":"{type}"'.encode() in payload:
                return


def main() -> None:
    canary = Canary(int(sys.argv[1]), sys.argv[2])
    threading.Thread(target=canary.run, daemon=True).start()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(canary.since()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
