"""What arrives without having been asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from wsprism_core.protocol.hotframe import HotFrame

__all__ = ("Event", "FrameEvent", "TextEvent")


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A text message.

    Attributes:
        envelope: Its fields.
    """

    envelope: dict[str, Any]

    @property
    def name(self) -> str:
        """Service and type, such as `chat.msg`."""
        return f"{self.envelope['svc']}.{self.envelope['type']}"


@dataclass(frozen=True, slots=True)
class FrameEvent:
    """A hot frame."""

    frame: HotFrame


Event: TypeAlias = TextEvent | FrameEvent
