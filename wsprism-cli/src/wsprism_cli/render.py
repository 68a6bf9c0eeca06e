"""What arrives, as text for people: lines made of pieces, each with a style."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from wsprism_cli.terminal import printable
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.layout import CloseCode
from wsprism_core.protocol.packets import Packet
from wsprism_core.transports.port import NO_CLOSE_FRAME

__all__ = ("Line", "Piece", "render_close", "render_envelope", "render_frame")

#: Of a payload that is no text, how many bytes are shown.
_SHOWN_BYTES: Final = 64


class Piece(NamedTuple):
    """Printable text in one style, one of rich's."""

    text: str
    style: str = ""


Line: TypeAlias = list[Piece]


def render_envelope(envelope: Mapping[str, Any]) -> Line:
    """Return a text message as a line: its name, its fields, its data."""
    svc, type = str(envelope.get("svc")), str(envelope.get("type"))
    data = envelope.get("data")
    is_error = (svc, type) == ("sys", "error")
    line = [
        _ARROW,
        Piece(printable(f"{svc}.{type}"), "bold red" if is_error else "cyan"),
    ]
    shown = {"v", "svc", "type", "data"}
    if is_error and isinstance(data, Mapping):
        line.append(Piece(printable(f" {data.get('code')}: {data.get('msg')}"), "red"))
        data = {key: data[key] for key in data if key not in ("code", "msg")} or None
        shown.add("trace_id")
    fields = {key: envelope[key] for key in envelope if key not in shown}
    line += _fields(fields)
    if data is not None:
        line.append(Piece(" " + _compact(data)))
    return line


def render_frame(
    frame: HotFrame,
    *,
    svc: str | None = None,
    opcode: str | None = None,
    room: str | None = None,
    packet: Packet | None = None,
) -> Line:
    """Return a hot frame as a line: its header, its payload.

    Args:
        frame: The frame.
        svc: The service's name where it is known.
        opcode: The opcode's name where it is known.
        room: The room's name where its alias is known.
        packet: The payload where its layout is known.
    """
    name = f"{svc or frame.svc_id}.{opcode or frame.opcode}"
    alias = None if frame.alias is None else room or f"alias {frame.alias}"
    fields = {"room": alias, "seq": frame.seq, "from": frame.sender}
    line = [_ARROW, Piece(printable(name), "magenta"), Piece(" hot", "dim")]
    line += _fields({key: fields[key] for key in fields if fields[key] is not None})
    if packet is not None:
        line.append(Piece(" " + printable(repr(packet))))
    elif frame.payload:
        size = len(frame.payload)
        line.append(Piece(f" {size} byte{'s' if size > 1 else ''}", "dim"))
        line.append(Piece(" " + _payload(frame.payload)))
    return line


def render_close(code: int, reason: str) -> Line:
    """Return the end of a connection as a line."""
    try:
        name = CloseCode(code).name.lower().replace("_", " ")
    except ValueError:
        name = "no close frame" if code == NO_CLOSE_FRAME else "unknown code"
    text = f"closed: {code} {name}{': ' if reason else ''}{reason}"
    return [Piece(printable(text), "yellow")]


_ARROW: Final = Piece("< ", "dim")


def _fields(fields: Mapping[str, Any]) -> Iterable[Piece]:
    for key, value in fields.items():
        text = value if isinstance(value, str) else _compact(value)
        yield Piece(printable(f" {key}={text}"), "dim")


def _compact(value: Any) -> str:
    """Return a value as JSON on one line; bytes and the like as Python has them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
    return printable(text)


def _payload(payload: bytes) -> str:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return json.dumps(text, ensure_ascii=False)
    cut = "…" if len(payload) > _SHOWN_BYTES else ""
    return f"0x{payload[:_SHOWN_BYTES].hex()}{cut}"
