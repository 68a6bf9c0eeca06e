"""What an operator may set for parties."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ("LARGEST_PARTY", "PartyConfig")

#: No configuration makes a party larger: each change sends each member the whole state.
LARGEST_PARTY: Final = 256


class PartyConfig(BaseModel):
    """The section `plugins.party` of the configuration.

    Attributes:
        default_size: The size of a party whose creator names none, or `max_size` where
            that is less.
        max_size: The largest size that a creator may ask for.
        max_invites: Open invites of one party, and invites that wait for one user.
        invite_ttl_ms: How long an invite is good, in milliseconds.
        away_grace_ms: How long a member without a connection keeps its place, in
            milliseconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    default_size: Annotated[int, Field(ge=2, le=LARGEST_PARTY)] = 8
    max_size: Annotated[int, Field(ge=2, le=LARGEST_PARTY)] = LARGEST_PARTY
    max_invites: Annotated[int, Field(ge=1, le=1024)] = 64
    invite_ttl_ms: Annotated[int, Field(ge=1_000)] = 60_000
    away_grace_ms: Annotated[int, Field(ge=0)] = 30_000
