"""A program that asks a gateway of its own, in another thread than the gateway."""

from __future__ import annotations

import asyncio
from typing import Any

from click.testing import CliRunner, Result

from support.watched import Watched
from wsprism_cli.main import cli

__all__ = ("operate",)


async def operate(it: Watched, *arguments: str, **options: Any) -> Result:
    """Run a command against a gateway."""
    where = ("--url", f"http://127.0.0.1:{it.port}")
    return await asyncio.to_thread(
        CliRunner().invoke, cli, [*arguments, *where], **options
    )
