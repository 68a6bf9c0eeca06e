"""Why an allowlist lets a message pass or not: which of its patterns decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsprism_core.policy.allowlist import HotAllowlist, TextAllowlist

__all__ = ("Ruling", "rule_on_frame", "rule_on_text")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What an allowlist says of a message.

    Args:
        passes: Whether it may pass.
        place: Where in the list the first pattern stands that lets it; None where there
            is none, because none does or none is needed.
    """

    passes: bool
    place: int | None


def rule_on_text(patterns: Sequence[str], svc: str, type: str) -> Ruling:
    """Say whether a text message may pass, and which pattern of the list lets it."""
    for place, pattern in enumerate(patterns):
        if _matches(pattern, svc, type):
            return Ruling(True, place)
    return Ruling(TextAllowlist(patterns).passes(svc, type), None)


def rule_on_frame(patterns: Sequence[str], svc_id: int, opcode: int) -> Ruling:
    """Say whether a hot frame may pass, and which pattern of the list lets it."""
    for place, pattern in enumerate(patterns):
        if _matches(pattern, str(svc_id), str(opcode)):
            return Ruling(True, place)
    return Ruling(HotAllowlist(patterns).passes(svc_id, opcode), None)


def _matches(pattern: str, owner: str, kind: str) -> bool:
    first, _, second = pattern.partition(":")
    return first in ("*", owner) and second in ("*", kind)
