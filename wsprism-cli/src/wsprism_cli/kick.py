"""`wsprism kick`: close sessions of a gateway that runs."""

from __future__ import annotations

import json
from typing import Final

import click

from wsprism_cli.admin_options import admin_options
from wsprism_cli.terminal import fail

__all__ = ("kick",)

_EPILOG: Final = """\
\b
Examples:
  wsprism kick user:mallory --reason "spam in the lobby"
  wsprism kick user:ann --reconnect
  wsprism kick --sid 1f
"""


@click.command(short_help="Close sessions of a gateway.", epilog=_EPILOG)
@click.argument("user", required=False)
@click.option("--sid", metavar="SID", help="One session, as wsprism top shows it.")
@click.option("--tenant", help="The user's tenant, where the gateway has several.")
@click.option("--reason", help="What the client is told.")
@click.option("--reconnect", is_flag=True, help="Let the client come back at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@admin_options
def kick(
    user: str | None,
    sid: str | None,
    tenant: str | None,
    reason: str | None,
    reconnect: bool,
    as_json: bool,
    url: str,
    key: str | None,
) -> None:
    """Close every session of USER, or the one of --sid.

    The client is told why, and that it should not come back by itself. Nobody is
    banned: whoever gets another ticket connects again.
    """
    from wsprism_cli.admin_client import AdminClient, AdminError

    if (user is None) == (sid is None):
        raise click.UsageError("Give either a USER or --sid.")
    try:
        done = AdminClient(url, key).post(
            "kick",
            user=user,
            sid=sid,
            tenant=tenant,
            reason=reason,
            reconnect=reconnect,
        )
    except AdminError as error:
        fail(str(error), error.exit_code)
    if as_json:
        click.echo(json.dumps(done))
    else:
        count = done["kicked"]
        click.echo(f"{count} session{'' if count == 1 else 's'} closed")
