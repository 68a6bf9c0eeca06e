"""Clients that want to know what they are told of themselves."""

from __future__ import annotations

from typing import Any

from wsprism_core.testing import GatewayHarness, ScriptedClient

__all__ = ("enter",)


async def enter(
    gw: GatewayHarness,
    user: str = "ann",
    resume: str | None = None,
    *,
    tenant: str | None = None,
) -> tuple[ScriptedClient, dict[str, Any]]:
    """Return a client that is connected, and what it was told of itself."""
    client = await gw.dial(
        ticket=f"dev:{user}", tenant=tenant, resume=resume, name=user
    )
    return client, (await client.expect_push("sys.authed"))["data"]
