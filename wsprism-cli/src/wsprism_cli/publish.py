"""`wsprism publish`: send a message through a gateway that runs."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from wsprism_cli.admin_options import admin_options
from wsprism_cli.terminal import fail

__all__ = ("publish",)

_EPILOG: Final = """\
\b
Examples:
  wsprism publish chat.msg --room lobby '{"id":"n-1","from":"desk","msg":"Doors open"}'
  wsprism publish news.flash --user user:ann --user user:bob '"Your order is there"'
  wsprism publish news.flash --everyone '"Down for a minute at noon"'
"""


@click.command(short_help="Send a message through a gateway.", epilog=_EPILOG)
@click.argument("name", metavar="SVC.TYPE")
@click.argument("data", required=False)
@click.option("--room", help="Send it to the members of a room.")
@click.option("--user", "users", multiple=True, help="Send it to a user; repeatable.")
@click.option("--everyone", is_flag=True, help="Send it to every session.")
@click.option("--tenant", help="Of which tenant, where the gateway has several.")
@click.option("--id", help="Your own id: a room sends the same one once.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@admin_options
def publish(
    name: str,
    data: str | None,
    room: str | None,
    users: tuple[str, ...],
    everyone: bool,
    tenant: str | None,
    id: str | None,
    as_json: bool,
    url: str,
    key: str | None,
) -> None:
    """Send a message of a service, such as chat.msg, with DATA as JSON.

    It goes to the members of --room, to each --user, or to --everyone.
    """
    from wsprism_cli.admin_client import AdminClient, AdminError

    svc, _, type = name.partition(".")
    if not (svc and type):
        raise click.BadParameter(f"{name!r} is no SVC.TYPE, such as chat.msg.")
    if [room is not None, bool(users), everyone].count(True) != 1:
        raise click.UsageError("Give one of --room, --user and --everyone.")
    wanted: dict[str, Any] = {"svc": svc, "type": type, "tenant": tenant}
    wanted["data"] = _parsed(data)
    if not everyone:
        wanted |= {"room": room, "users": list(users) or None, "id": id}
    elif id is not None:
        raise click.UsageError("--id is for a --room.")
    try:
        client = AdminClient(url, key)
        done = client.post("broadcast" if everyone else "publish", **wanted)
    except AdminError as error:
        fail(str(error), error.exit_code)
    if as_json:
        click.echo(json.dumps(done))
        return
    count, seq = done["delivered"], done.get("seq")
    number = "" if seq is None else f", number {seq} of the room"
    click.echo(f"sent to {count} session{'' if count == 1 else 's'}{number}")


def _parsed(data: str | None) -> Any:
    """Return what DATA holds.

    Raises:
        BadParameter: It is no JSON.
    """
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise click.BadParameter(
            f"DATA is no JSON: {error}. Text has quotes of its own: '\"hello\"'"
        ) from None
