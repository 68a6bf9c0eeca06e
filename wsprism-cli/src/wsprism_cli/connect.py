"""`wsprism connect`: talk to a gateway from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsprism_cli.terminal import console, fail, is_interactive, printable
from wsprism_cli.trust import ca_option, trusting

if TYPE_CHECKING:
    from wsprism_cli.render import Line
    from wsprism_core.client import Client

__all__ = ("connect", "full_url")

DEFAULT_URL: Final = "ws://127.0.0.1:8080/v1/ws"
_EPILOG: Final = """\
\b
Examples:
  wsprism connect --ticket dev:ann
  wsprism connect 127.0.0.1:9001 --tcp --ticket dev:bob
  printf '/join lobby\\nchat.send hello\\n' | wsprism connect

\b
What to type first:
  /join lobby
  chat.send hello
"""


def full_url(url: str, *, tcp: bool) -> str:
    """Return a URL as the client wants it; `HOST:PORT` is one.

    Raises:
        ValueError: It is none, or not of the transport that was asked for.
    """
    from urllib.parse import urlsplit

    if "://" not in url:
        url = f"{'tcp' if tcp else 'ws'}://{url}"
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    if scheme not in ("ws", "wss", "tcp"):
        raise ValueError("must begin with ws://, wss:// or tcp://")
    if tcp and scheme != "tcp":
        raise ValueError("is no tcp:// address; with --tcp give HOST:PORT")
    if not host:
        raise ValueError("has no host")
    return url


@click.command(short_help="Talk to a gateway from this terminal.", epilog=_EPILOG)
@click.argument("url", default=DEFAULT_URL)
@click.option(
    "--ticket",
    default="dev",
    envvar="WSPRISM_TICKET",
    show_envvar=True,
    help="Who to be, as the gateway knows it.  [default: dev]",
)
@click.option("--tenant", help="The tenant; needed where the gateway has several.")
@ca_option(
    "The authority that signed the gateway's certificate, for wss://; over tcp:// it "
    "says to speak TLS."
)
@click.option("--tcp", is_flag=True, help="Take a URL without a scheme for tcp://.")
@click.option(
    "--codec",
    type=click.Choice(["json", "msgpack"]),
    default="json",
    show_default=True,
    help="What messages are encoded with.",
)
@click.option(
    "--reconnect",
    is_flag=True,
    help="Come back when the connection is lost, to what was missed.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to listen after the last line of a pipe or file.",
)
def connect(
    url: str,
    ticket: str,
    tenant: str | None,
    ca: Path | None,
    tcp: bool,
    codec: str,
    reconnect: bool,
    wait: float,
) -> None:
    """Talk to a gateway from this terminal.

    Type a message, see what arrives; /help lists what can be typed. URL begins with
    ws://, wss:// or tcp://; where it is left out, it is ws://127.0.0.1:8080/v1/ws.
    Lines may come from a pipe or a file too.
    """
    import asyncio

    try:
        url = full_url(url, tcp=tcp)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'URL'") from None
    if ca is not None and url.startswith("ws:"):
        raise click.UsageError("--ca goes with wss:// or tcp://")
    # Whoever pastes a whole URL has the ticket in it.
    arguments = {
        "ticket": None if "ticket=" in url else ticket,
        "tenant": tenant,
        "codec": codec,
        "tls": None if ca is None else trusting(ca),
    }
    try:
        code = asyncio.run(_connect(url, arguments, wait, reconnect))
    except KeyboardInterrupt:
        code = 0
    raise click.exceptions.Exit(code)


async def _connect(
    url: str, arguments: dict[str, Any], wait: float, reconnect: bool
) -> int:
    import asyncio
    from contextlib import AsyncExitStack
    from ssl import SSLCertVerificationError

    from wsprism_cli.lines import prompted_lines, stream_lines
    from wsprism_cli.repl import converse
    from wsprism_cli.returning import come_back
    from wsprism_core import WsPrismError
    from wsprism_core.client import connect as open_client

    screen = console()
    shown_url = url.partition("?")[0]  # the rest may hold a ticket

    def show(line: Line) -> None:
        from rich.text import Text

        screen.print(Text.assemble(*line), soft_wrap=True)

    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(open_client(url, **arguments))
        except ConnectionRefusedError:
            fail(
                f"nothing listens on {shown_url}; start a gateway with: wsprism run", 1
            )
        except SSLCertVerificationError as error:
            fail(_untrusted(shown_url, error.verify_message), 1)
        except ValueError as error:
            fail(f"{shown_url}: {error}", 2)
        except (OSError, WsPrismError) as error:
            fail(f"cannot connect to {shown_url}: {error}", 1)
        show(_greeting(shown_url, client))

        async def again(resume: str | None) -> Client:
            opened = open_client(url, **arguments, resume=resume)
            return await stack.enter_async_context(opened)

        async def back(lost: Client) -> Client | None:
            # It would hold on to its socket, and to what came, until the end of all.
            await stack.aclose()
            return await come_back(lost, again, asyncio.sleep)

        try:
            return await converse(
                client,
                prompted_lines() if is_interactive() else stream_lines(),
                show,
                wait=0.0 if is_interactive() else wait,
                back=back if reconnect else None,
            )
        except SSLCertVerificationError as error:
            fail(_untrusted(shown_url, error.verify_message), 1)


def _untrusted(url: str, why: str) -> str:
    return (
        f"the certificate of {url} cannot be trusted: {why}; "
        "name who signed it with --ca FILE"
    )


def _greeting(url: str, client: Client) -> Line:
    from wsprism_cli.render import Piece

    authed = client.authed
    services = ", ".join(authed["services"]) or "none"
    text = (
        f"connected to {url} as {authed['user']}, tenant {authed['tenant']};"
        f" services: {services}; /help says what to type"
    )
    return [Piece(printable(text), "green")]
