"""The conversation of `wsprism connect`: lines go out, what arrives is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from wsprism_cli.catalogue import Catalogue
from wsprism_cli.render import Line, Piece, render_close, render_envelope
from wsprism_cli.returning import Whereabouts
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
    back: Callable[[Client], Awaitable[Client | None]] | None = None,
) -> int:
    """Do what each line says and show what arrives, until either side ends it.

    Args:
        client: An open connection.
        lines: What is typed.
        show: Shows a line.
        wait: Seconds to go on listening for when the lines have ended.
        back: Returns a connection to go on with in place of one that was lost, or None
            where there is none; left out, the end of the first one ends it.

    Returns:
        The exit code: 0 where the lines ended it, 1 where the gateway did.
    """
    desk = _Desk(client, show)
    talking = asyncio.ensure_future(desk.talk(lines))
    # What goes on beside it: somebody listens, or comes back.
    beside: asyncio.Future[Any] | None = None
    try:
        while True:
            beside = listening = asyncio.ensure_future(desk.listen())
            await asyncio.wait(
                (listening, talking), return_when=asyncio.FIRST_COMPLETED
            )
            if talking.done() and not talking.result():
                await asyncio.wait((listening,), timeout=wait)
            if not listening.done():
                return 0
            listening.result()
            if desk.client.closed is not None:
                show(render_close(*desk.client.closed))
            if back is None or talking.done():
                return 1
            beside = returning = asyncio.ensure_future(back(desk.client))
            await asyncio.wait(
                (returning, talking), return_when=asyncio.FIRST_COMPLETED
            )
            if not returning.done():
                return 0 if talking.result() else 1
            found = returning.result()
            if found is None:
                return 1
            await desk.go_on(found)
    finally:
        tasks = [task for task in (talking, beside) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Desk:
    """Where lines and messages meet.

    Args:
        client: The connection.
        show: Shows a line.
    """

    def __init__(self, client: Client, show: Callable[[Line], None]) -> None:
        self.client = client
        self._show = show
        self._catalogue = Catalogue(client.authed["services"])
        self._whereabouts = Whereabouts()

    async def listen(self) -> None:
        """Show what arrives, until the connection is over."""
        async for event in self.client.events():
            if isinstance(event, TextEvent):
                self._take(event.envelope)
            else:
                self._show(self._catalogue.render(event.frame))

    async def talk(self, lines: AsyncIterator[str]) -> bool:
        """Do what the lines say; return whether one said to quit."""
        async for line in lines:
            try:
                command = parse_line(line)
                if isinstance(command, Quit):
                    return True
                if command is not None:
                    await self._do(command)
            except (ValueError, TimeoutError, WsPrismError) as error:
                self._complain(str(error))
        return False

    async def go_on(self, client: Client) -> None:
        """Go on with another connection, where the last one was."""
        self.client = client
        authed = client.authed
        self._catalogue = Catalogue(authed["services"])
        if authed.get("resumed"):
            for row in authed["rooms"]:
                self._catalogue.note_alias(row["room"], row["alias"])
            lost = self._whereabouts.resumed(authed["rooms"], authed.get("active_room"))
            self._show([Piece("back, with what was missed", "green")])
            for text in lost:
                self._complain(f"not all that was missed can be had of {text}")
        else:
            self._whereabouts.begin_anew()
            self._show([Piece("back, as a new session", "green")])
        async for room, answer in self._whereabouts.join_again(client):
            if isinstance(answer, Exception):
                self._complain(f"{room}: {answer}")
            else:
                self._take_answer(answer)

    def _take(self, envelope: dict[str, Any]) -> None:
        if self._whereabouts.note(envelope):
            self._catalogue.note(envelope)
            self._show(render_envelope(envelope))

    def _take_answer(self, envelope: dict[str, Any]) -> None:
        # To a number that nobody has seen.
        del envelope["ref"]
        self._take(envelope)

    def _complain(self, text: str) -> None:
        self._show([Piece(printable(f"? {text}"), "yellow")])

    async def _do(self, command: Command) -> None:
        client = self.client
        match command:
            case SendText("room", "join", data, room):
                # Waited for: what is typed next may need the alias that it brings.
                answer = await client.request("room", "join", data, room=room)
                self._take_answer(answer)
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
                    alias=self._alias(command.room),
                    ack=command.ack,
                )
            case _:
                for text in HELP.splitlines():
                    self._show([Piece(text)])

    def _alias(self, room: str | None) -> int | None:
        if room is None:
            return None
        alias = self._catalogue.alias(room)
        if alias is None:
            raise LineError(f"you are not in the room {room}; first: /join {room}")
        return alias
