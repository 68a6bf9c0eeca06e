"""Allowlists: which messages a tenant's clients may send, compiled to look-ups."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ("HotAllowlist", "TextAllowlist")


class TextAllowlist:
    """Patterns `svc:type`, `svc:*` or `*:*`; `sys` always passes.

    Args:
        patterns: As the configuration has them.
    """

    __slots__ = ("_all", "_exact", "_services", "_types")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._all = False
        self._services = {"sys"}
        self._types: set[str] = set()
        self._exact: set[tuple[str, str]] = set()
        for pattern in patterns:
            svc, _, type = pattern.partition(":")
            if svc == type == "*":
                self._all = True
            elif type == "*":
                self._services.add(svc)
            elif svc == "*":
                self._types.add(type)
            else:
                self._exact.add((svc, type))

    def passes(self, svc: str, type: str) -> bool:
        """Whether a message of this service and type may pass."""
        return (
            self._all
            or svc in self._services
            or (svc, type) in self._exact
            or type in self._types
        )


class HotAllowlist:
    """Patterns `id:opcode`, `id:*` or `*:*`, as one bit per pair.

    Args:
        patterns: As the configuration has them; numbers are 0 to 255.
    """

    __slots__ = ("_passes",)

    def __init__(self, patterns: Iterable[str]) -> None:
        passes = bytearray(256 * 256)
        for pattern in patterns:
            id, _, opcode = pattern.partition(":")
            first = 0 if id == "*" else int(id) << 8
            past = len(passes) if id == "*" else first + 256
            if opcode == "*":
                passes[first:past] = b"\1" * (past - first)
            else:
                every = range(first + int(opcode), past, 256)
                passes[every.start : past : 256] = b"\1" * len(every)
        self._passes = bytes(passes)

    def passes(self, svc_id: int, opcode: int) -> bool:
        """Whether a hot frame of this service and opcode may pass."""
        return self._passes[svc_id << 8 | opcode] == 1
