"""What can be typed at `wsprism connect`, parsed; nothing here knows a connection."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wsprism_core.protocol.layout import ROOM_NAME

__all__ = (
    "HELP",
    "Command",
    "LineError",
    "Quit",
    "SendFrame",
    "SendRaw",
    "SendText",
    "ShowHelp",
    "parse_line",
)

HELP: Final = """\
/join [ROOM]            join a room; it becomes the active one
/leave [ROOM]           leave it, or the active one
/members [ROOM]         ask who is in it
/ping                   ask for the server's time

SVC.TYPE                a message without data      party.create
SVC.TYPE KEY=VALUE ...  with names and values       chat.send msg="hi all" id=m1
SVC.TYPE JSON           with any data               chat.history {"limit":2}
SVC.TYPE@ROOM ...       for another room than the active one
                        what was missed of a room:
                        room.join@lobby {"epoch":"9a3c","seq":39}
chat.send TEXT          short for msg=TEXT; so are party.invite USER,
                        party.accept PARTY and market.subscribe SYMBOL ...
{...}                   a whole envelope, as it goes over the wire

/hot SVC_ID OPCODE [PAYLOAD] [ROOM] [seq=N] [ack]
                        a hot frame; the payload is text, "in quotes" where it
                        has spaces, or 0xHEX        /hot 1 2 0x0aff
/raw TEXT               a text message as it is typed, right or wrong

/help                   this page
/quit                   the end; so are Ctrl-D and Ctrl-C"""


class LineError(ValueError):
    """A line that is not understood; the text says what is."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text message; `data` and `room` of None are left out."""

    svc: str
    type: str
    data: Any = None
    room: str | None = None


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send a hot frame to a room by its name, or to the active one."""

    svc_id: int
    opcode: int
    payload: bytes = b""
    room: str | None = None
    seq: int | None = None
    ack: bool = False


@dataclass(frozen=True, slots=True)
class SendRaw:
    """Send a text message as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class ShowHelp:
    """Show `HELP`."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Close the connection and end."""


Command: TypeAlias = SendText | SendFrame | SendRaw | ShowHelp | Quit

_NAMES: Final = (
    "/help", "/hot", "/join", "/leave", "/members", "/ping", "/quit", "/raw",
)  # fmt: skip
_TYPE: Final = re.compile(
    r"(?P<svc>[a-z][a-z0-9_-]*)\.(?P<type>[A-Za-z0-9_.-]+)(?:@(?P<room>\S*))?\Z"
)
_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_PAIR: Final = re.compile(rf"([A-Za-z_][A-Za-z0-9_]*)=({_STRING}|[^\s\"]\S*|)")
_PAIRS: Final = re.compile(rf"(?:{_PAIR.pattern}(?:\s+|\Z))+\Z")
_WORD: Final = re.compile(rf"{_STRING}|\S+")
#: The one key that bare text is the value of, and whether it is a list of words.
_BARE: Final = {
    ("chat", "send"): ("msg", False),
    ("party", "invite"): ("user", False),
    ("party", "kick"): ("user", False),
    ("party", "promote"): ("user", False),
    ("party", "accept"): ("party", False),
    ("party", "decline"): ("party", False),
    ("market", "subscribe"): ("symbols", True),
    ("market", "unsubscribe"): ("symbols", True),
}


def parse_line(line: str) -> Command | None:
    """Return what a line says; None where it says nothing.

    Raises:
        LineError: It is not understood.
    """
    line = line.strip()
    if not line:
        return None
    if line.startswith("{"):
        return _envelope(line)
    head, *words = line.split(maxsplit=1)
    rest = words[0] if words else ""
    if head.startswith("/"):
        return _slash(head, rest)
    match = _TYPE.match(head)
    if match is None:
        raise LineError("not understood; try chat.send hello, or /help")
    room = None if match["room"] is None else _room(match["room"])
    svc, type = match["svc"], match["type"]
    return SendText(svc, type, _data(svc, type, rest), room)


def _envelope(line: str) -> SendRaw:
    try:
        envelope = _json(line)
    except ValueError as error:
        raise LineError(
            f"this is no JSON: {error} (/raw sends it all the same)"
        ) from None
    if not isinstance(envelope.get("svc"), str) or not isinstance(
        envelope.get("type"), str
    ):
        raise LineError("an envelope has svc and type (/raw sends it all the same)")
    return SendRaw(line)


def _slash(head: str, rest: str) -> Command:
    match head:
        case "/help":
            return ShowHelp()
        case "/quit" | "/exit":
            return Quit()
        case "/join" | "/leave" | "/members":
            return SendText("room", head[1:], None, _room(rest) if rest else None)
        case "/ping":
            return SendText("sys", "ping", {})
        case "/raw":
            return SendRaw(rest)
        case "/hot":
            return _hot(rest)
    near = difflib.get_close_matches(head, _NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else "try /help"
    raise LineError(f"there is no {head}; {hint}")


def _room(name: str) -> str:
    if not ROOM_NAME.match(name):
        raise LineError("a room's name is 1 to 128 of A-Z a-z 0-9 _ . : @ -")
    return name


# --------------------------------------------------------------------------- data


def _data(svc: str, type: str, text: str) -> Any:
    if not text:
        return None
    bare = _BARE.get((svc, type))
    if text[0] in "{[":
        try:
            return _json(text)
        except ValueError as error:
            if bare is None:
                raise LineError(f"the data is no JSON: {error}") from None
    if _PAIRS.match(text):
        pairs = {key: _value(value) for key, value in _PAIR.findall(text)}
        # Bare text may look like pairs too: `chat.send a=b`.
        if bare is None or bare[0] in pairs:
            return pairs
    if bare is None:
        raise LineError(f"the data of {svc}.{type} is KEY=VALUE ... or JSON")
    key, is_list = bare
    return {key: text.split() if is_list else text}


def _value(text: str) -> Any:
    """Return a value: JSON where it is some, else text."""
    try:
        return _json(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    """Return a JSON value that can be sent.

    Raises:
        ValueError: It is none, or holds what no UTF-8 or no gateway takes.
    """
    try:
        value = json.loads(text, parse_constant=_not_json)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# --------------------------------------------------------------------- hot frames


def _hot(text: str) -> SendFrame:
    words = _WORD.findall(text)
    if len(words) < 2:
        raise LineError("it is /hot SVC_ID OPCODE [PAYLOAD] [ROOM] [seq=N] [ack]")
    svc_id, opcode = (_number(word, 255) for word in words[:2])
    words = words[2:]
    ack = "ack" in words[-1:]
    if ack:
        words.pop()
    seq = None
    if words and words[-1].startswith("seq="):
        seq = _number(words.pop().removeprefix("seq="), 2**32 - 1)
    if ack and seq is None:
        raise LineError("ack needs seq=N, by which the answer is known")
    if len(words) > 2:
        raise LineError('too many words; a payload with spaces is "in quotes"')
    payload = _payload(words[0]) if words else b""
    room = _room(words[1]) if len(words) == 2 else None
    return SendFrame(svc_id, opcode, payload, room, seq, ack)


def _number(word: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word) or int(word) > most:
        raise LineError(f"{word!r} must be a number from 0 to {most}")
    return int(word)


def _payload(word: str) -> bytes:
    if word.startswith("0x"):
        try:
            return bytes.fromhex(word[2:])
        except ValueError:
            raise LineError(f"{word!r} is no hex: two digits a byte") from None
    text = _value(word) if word.startswith('"') else word
    return str(text).encode()
