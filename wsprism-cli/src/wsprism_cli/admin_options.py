"""The options of every command that asks an admin listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

__all__ = ("admin_options",)

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT_URL: Final = "http://127.0.0.1:8081"


def admin_options(command: F) -> F:
    """Add where the listener is, and the key for it: `url` and `key`."""
    key = click.option(
        "--key",
        envvar="WSPRISM_ADMIN_KEY",
        show_envvar=True,
        help="The API key; a gateway with development tickets needs none.",
    )
    url = click.option(
        "--url",
        default=_DEFAULT_URL,
        show_default=True,
        help="The admin listener's address, as wsprism run shows it.",
    )
    return url(key(command))
