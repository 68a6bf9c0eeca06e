"""What an operator may set about chat."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ("ChatConfig",)


class ChatConfig(BaseModel):
    """The section `plugins.chat` of the configuration; an unknown key is refused.

    The upper bounds keep every message well under the largest that a lane takes.

    Attributes:
        max_length: The longest `msg`, in characters.
        history_page_chars: How much text a page of history holds, in characters; a
            single longer message is a page of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    max_length: int = Field(default=4_000, ge=1, le=16_384)
    history_page_chars: int = Field(default=16_384, ge=1, le=16_384)
