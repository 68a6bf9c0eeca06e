from __future__ import annotations

import re
from pathlib import Path

from wsprism_core.protocol.hotframe import decode_hot_frame, encode_hot_frame
from wsprism_game.gameplay.service import answer_clock, relay

README = Path(__file__).parents[2] / "wsprism-game" / "README.md"


def frames(block: int) -> tuple[bytes, bytes]:
    """Return what is sent and what comes back in an example."""
    example = re.findall(r"```text\n(.*?)```", README.read_text(), re.DOTALL)[block]
    sent, came = (bytes.fromhex(line[3:]) for line in example.splitlines())
    return sent, came


def test_the_input_example_is_what_is_relayed() -> None:
    sent, came = frames(0)
    relayed = relay(3, decode_hot_frame(sent))
    assert came == encode_hot_frame(
        1,
        relayed.opcode,
        relayed.payload,
        seq=relayed.seq,
        alias=1,
        sender=relayed.sender,
    )


def test_the_clock_example_is_what_is_answered() -> None:
    sent, came = frames(1)
    answer = answer_clock("s1", decode_hot_frame(sent), 1.25)
    assert came == encode_hot_frame(1, answer.opcode, answer.payload, seq=answer.seq)
