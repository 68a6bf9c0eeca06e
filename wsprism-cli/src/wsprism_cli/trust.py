"""Which certificates a gateway may show: the system's authorities, or one of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import ssl

__all__ = ("ca_option", "trusting")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def trusting(ca: Path | str | None) -> ssl.SSLContext:
    """Return what connects to gateways whose certificate can be trusted.

    Args:
        ca: A file in PEM with the authorities to trust in place of the system's; a
            certificate that is its own authority is one.

    Raises:
        ValueError: The file holds no certificate.
        OSError: It cannot be read.
    """
    # Imported here: most commands need it as little as they need a gateway.
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"{ca} holds no certificate in PEM") from None


def ca_option(help: str) -> Callable[[FunctionT], FunctionT]:
    """Return the option `--ca FILE`.

    Args:
        help: What it is good for in that command.
    """
    return click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        metavar="FILE",
        callback=_checked,
        help=help,
    )


def _checked(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    """See that the file can be used, before anything is started."""
    if value is not None:
        try:
            trusting(value)
        except (ValueError, OSError) as error:
            raise click.BadParameter(str(error)) from None
    return value
