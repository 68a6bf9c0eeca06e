"""`wsprism top`: what waits for whom in a gateway that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from wsprism_cli.admin_options import admin_options
from wsprism_cli.terminal import console, fail, is_interactive

if TYPE_CHECKING:
    from wsprism_cli.admin_client import AdminClient
    from wsprism_cli.dashboard import Reading

__all__ = ("read", "top")

#: Sessions and rooms that are asked for: more than a screen has lines.
_ROWS: Final = 100
_EPILOG: Final = """\
\b
Examples:
  wsprism top
  wsprism top --url http://10.0.0.5:8081 --key "$KEY"
  wsprism top --once
  wsprism top --json | jq '.sessions.items[0]'

\b
Keys:
  q  quit        s  sort sessions by what waits, by how long they stalled, by age
"""


@click.command(short_help="Show what waits for whom in a gateway.", epilog=_EPILOG)
@admin_options
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often it is read.",
)
@click.option("--once", is_flag=True, help="Show one reading and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print one reading as JSON.")
def top(url: str, key: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Show what waits for whom in a gateway that runs.

    Sessions, rooms, rates, the lanes with what waits in them, how late the event loop
    is and what the garbage collector takes. Where nobody looks at a terminal, one
    reading is shown. A room's rate is measured from one reading to the next, so that
    one reading is in truth two.
    """
    from wsprism_cli.admin_client import AdminClient, AdminError

    try:
        client = AdminClient(url, key)
        if as_json or once or not is_interactive():
            _show_once(client, interval, as_json=as_json)
        else:
            import asyncio

            from wsprism_cli.live import watch

            asyncio.run(watch(lambda: read(client), client.url, interval))
    except AdminError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None


def read(client: AdminClient) -> Reading:
    """Return one reading of a gateway.

    Raises:
        AdminError: It could not be asked.
    """
    return {
        "overview": client.get("overview"),
        "sessions": client.get("sessions", limit=_ROWS),
        "rooms": client.get("rooms", limit=_ROWS),
    }


def _show_once(client: AdminClient, interval: float, *, as_json: bool) -> None:
    import json
    import time

    from wsprism_cli.dashboard import render

    read(client)
    time.sleep(interval)
    reading = read(client)
    if as_json:
        click.echo(json.dumps(reading, indent=2))
    else:
        screen = console()
        screen.print(render(reading, url=client.url, width=screen.width))
