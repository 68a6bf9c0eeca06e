"""The conversation of `wsprism connect`: lines go out, what arrives is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from wsprism_cli.catalogue import Catalogue
from wsprism_cli.render import Line, Piece, render_close, render_envelope
from wsprism_cli.shortforms import (
    HELP,
    Command,
    LineError,
    Quit,
    SendFrame,
    SendRaw,
    SendText,
    parse_line,
)
from wsprism_cli.terminal import printable
from wsprism_core import WsPrismError
from wsprism_core.client import Client, TextEvent

__all__ = ("converse",)


async def converse(
    client: Client,
    lines: AsyncIterator[str],
    show: Callable[[Line], None],
    *,
    wait: float = 0.0,
) -> int:
    """Do what each line says and show what arrives, until either side ends it.

    Args:
        client: An open connection.
        lines: What is typed.
        show: Shows a line.
        wait: Seconds to go on listening for when the lines have ended.

    Returns:
        The exit code: 0 where the lines ended it, 1 where the gateway did.
    """
    catalogue = Catalogue(client.authed["services"])
    listening = asyncio.ensure_future(_listen(client, catalogue, show))
    talking = asyncio.ensure_future(_talk(client, catalogue, lines, show))
    both = (listening, talking)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if talking.done() and not talking.result():
            await asyncio.wait((listening,), timeout=wait)
        if not listening.done():
            return 0
        listening.result()
        if client.closed is not None:
            show(render_close(*client.closed))
        return 1
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def _listen(
    client: Client, catalogue: Catalogue, show: Callable[[Line], None]
) -> None:
    async for event in client.events():
        if isinstance(event, TextEvent):
            catalogue.note(event.envelope)
            show(render_envelope(event.envelope))
        else:
            show(catalogue.render(event.frame))


async def _talk(
    client: Client,
    catalogue: Catalogue,
    lines: AsyncIterator[str],
    show: Callable[[Line], None],
) -> bool:
    """Do what the lines say; return whether one said to quit."""
    async for line in lines:
        try:
            command = parse_line(line)
            if isinstance(command, Quit):
                return True
            if command is not None:
                await _do(command, client, catalogue, show)
        except (ValueError, TimeoutError, WsPrismError) as error:
            show([Piece(printable(f"? {error}"), "yellow")])
    return False


async def _do(
    command: Command,
    client: Client,
    catalogue: Catalogue,
    show: Callable[[Line], None],
) -> None:
    match command:
        case SendText("room", "join", data, room):
            # Waited for: what is typed next may need the alias that it brings.
            answer = await client.request("room", "join", data, room=room)
            del answer["ref"]
            catalogue.note(answer)
            show(render_envelope(answer))
        case SendText(svc, type, data, room):
            await client.send(svc, type, data, room=room)
        case SendRaw(text):
            await client.send_raw_text(text)
        case SendFrame():
            await client.send_frame(
                command.svc_id,
                command.opcode,
                command.payload,
                seq=command.seq,
                alias=_alias(command.room, catalogue),
                ack=command.ack,
            )
        case _:
            for text in HELP.splitlines():
                show([Piece(text)])


def _alias(room: str | None, catalogue: Catalogue) -> int | None:
    if room is None:
        return None
    alias = catalogue.alias(room)
    if alias is None:
        raise LineError(f"you are not in the room {room}; first: /join {room}")
    return alias
