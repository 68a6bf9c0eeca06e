from __future__ import annotations

import pytest

from wsprism_core import BroadcastFrame, HotFrame, ProtocolError, PushFrame
from wsprism_game.gameplay.service import GameOpcode, answer_clock, relay


def frame(opcode: int, payload: bytes = b"", seq: int | None = None) -> HotFrame:
    return HotFrame(svc_id=1, opcode=opcode, flags=0, payload=payload, seq=seq)


def test_input_goes_to_everybody_keyed_by_its_sender() -> None:
    relayed = relay(7, frame(GameOpcode.INPUT, b"wasd", 9))
    assert relayed == BroadcastFrame(1, b"wasd", seq=9, sender=7, key=7)


@pytest.mark.parametrize("opcode", [GameOpcode.EVENT, 16, 255])
@pytest.mark.parametrize("seq", [None, 0, 9])
def test_event_and_the_games_own_go_to_everybody_without_key(
    opcode: int, seq: int | None
) -> None:
    relayed = relay(7, frame(opcode, b"boom", seq))
    assert relayed == BroadcastFrame(opcode, b"boom", seq=seq, sender=7)


@pytest.mark.parametrize("opcode", [GameOpcode.INPUT, GameOpcode.EVENT, 16])
def test_the_quiet_audience_sends_nothing(opcode: int) -> None:
    with pytest.raises(ProtocolError, match="NOT_ALLOWED"):
        relay(0, frame(opcode, seq=5))


CLIENT_US = bytes.fromhex("d202964900000000")  # 1,234,567,890


@pytest.mark.parametrize("rest", [b"", b"\xff" * 8])
def test_clock_is_answered_with_both_times(rest: bytes) -> None:
    answer = answer_clock("s1", frame(GameOpcode.CLOCK, CLIENT_US + rest), 1.25)
    server_us = bytes.fromhex("d012130000000000")  # 1,250,000
    assert answer == PushFrame(5, CLIENT_US + server_us, session="s1", key=0)


@pytest.mark.parametrize("payload", [b"", CLIENT_US[:7], CLIENT_US + b"\0"])
def test_clock_of_another_length_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="BAD_REQUEST"):
        answer_clock("s1", frame(GameOpcode.CLOCK, payload), 1.25)
