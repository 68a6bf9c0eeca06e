from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_cli.render import Line, render_close, render_envelope, render_frame
from wsprism_core.protocol.fields import u8
from wsprism_core.protocol.hotframe import HotFrame
from wsprism_core.protocol.packets import Packet


class Steer(Packet):
    left: int = u8()
    right: int = u8()


def text(line: Line) -> str:
    return "".join(piece.text for piece in line)


@pytest.mark.parametrize(
    ("envelope", "shown"),
    [
        (
            {
                "v": 1,
                "svc": "chat",
                "type": "msg",
                "room": "lobby",
                "seq": 4,
                "data": {"msg": "hé"},
            },
            '< chat.msg room=lobby seq=4 {"msg":"hé"}',
        ),
        ({"v": 1, "svc": "sys", "type": "ack", "ref": 7}, "< sys.ack ref=7"),
        ({"svc": "x", "type": "y", "data": [1, None]}, "< x.y [1,null]"),
        (
            {
                "svc": "sys",
                "type": "error",
                "ref": 3,
                "trace_id": "ab-1",
                "data": {"code": "NOT_ALLOWED", "msg": "no"},
            },
            "< sys.error NOT_ALLOWED: no ref=3",
        ),
        (
            {
                "svc": "sys",
                "type": "error",
                "data": {"code": "RATE_LIMITED", "msg": "slow", "retry_after_ms": 9},
            },
            '< sys.error RATE_LIMITED: slow {"retry_after_ms":9}',
        ),
        (
            {"svc": "x", "type": "y", "data": {"b": b"\x01"}},
            r"""< x.y {"b":"b'\\x01'"}""",
        ),
        ({}, "< None.None"),
    ],
)
def test_envelopes(envelope: dict[str, Any], shown: str) -> None:
    assert text(render_envelope(envelope)) == shown


def test_an_error_is_red() -> None:
    line = render_envelope({"svc": "sys", "type": "error", "data": {}})
    assert "red" in line[1].style
    assert "red" not in render_envelope({"svc": "sys", "type": "ack"})[1].style


@pytest.mark.parametrize(
    ("frame", "names", "shown"),
    [
        (HotFrame(1, 2, 0, b""), {}, "< 1.2 hot"),
        (HotFrame(1, 2, 0, b"abcd"), {}, '< 1.2 hot 4 bytes "abcd"'),
        (HotFrame(1, 2, 0, b"\x00"), {}, "< 1.2 hot 1 byte 0x00"),
        (
            HotFrame(1, 2, 0, b"\xff" * 65),
            {},
            "< 1.2 hot 65 bytes 0x" + "ff" * 64 + "…",
        ),
        (
            HotFrame(1, 2, 0, b"", seq=7, alias=3, sender=5),
            {},
            "< 1.2 hot room=alias 3 seq=7 from=5",
        ),
        (
            HotFrame(1, 2, 0, b"\x01\x02", seq=0, alias=3),
            {
                "svc": "game",
                "opcode": "EVENT",
                "room": "lobby",
                "packet": Steer(left=1, right=2),
            },
            "< game.EVENT hot room=lobby seq=0 Steer(left=1, right=2)",
        ),
    ],
)
def test_frames(frame: HotFrame, names: dict[str, Any], shown: str) -> None:
    assert text(render_frame(frame, **names)) == shown


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        (1001, "draining", "closed: 1001 going away: draining"),
        (1000, "", "closed: 1000 normal"),
        (1006, "", "closed: 1006 no close frame"),
        (4999, "why not", "closed: 4999 unknown code: why not"),
    ],
)
def test_closes(code: int, reason: str, shown: str) -> None:
    assert text(render_close(code, reason)) == shown


EVIL = "\x1b[31m\x9b2J\x07\r\n\u202e\ud800"


def test_nothing_that_arrives_commands_the_terminal() -> None:
    envelope = {
        "svc": EVIL,
        "type": EVIL,
        "room": EVIL,
        EVIL: EVIL,
        "data": {EVIL: EVIL},
    }
    error = {"svc": "sys", "type": "error", "data": {"code": EVIL, "msg": EVIL}}
    for line in (
        render_envelope(envelope),
        render_envelope(error),
        render_frame(HotFrame(1, 1, 0, EVIL.encode(errors="ignore"))),
        render_frame(HotFrame(1, 1, 0, b"", alias=1), svc=EVIL, opcode=EVIL, room=EVIL),
        render_close(4999, EVIL),
    ):
        assert text(line).isprintable()


@given(st.binary())
def test_any_payload_is_one_line(payload: bytes) -> None:
    assert text(render_frame(HotFrame(1, 1, 0, payload))).isprintable()


@given(st.text())
def test_text_that_is_printable_is_shown_as_json(data: str) -> None:
    shown = text(render_envelope({"svc": "x", "type": "y", "data": data}))
    assert shown.isprintable()
    if data.isprintable():
        assert json.loads(shown.removeprefix("< x.y ")) == data
