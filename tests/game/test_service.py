from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core import BroadcastFrame, HotFrame, ProtocolError, PushFrame
from wsprism_game.gameplay.service import GameOpcode, Relay, answer_clock, is_newer

SEQ = st.integers(0, 2**32 - 1)


def frame(opcode: int, payload: bytes = b"", seq: int | None = None) -> HotFrame:
    return HotFrame(svc_id=1, opcode=opcode, flags=0, payload=payload, seq=seq)


def input_reaches(relay: Relay, seq: int | None, *, at: str = "s1/arena") -> bool:
    session, room = at.split("/")
    return relay.relay(session, room, 7, frame(GameOpcode.INPUT, seq=seq)) is not None


def test_input_goes_to_everybody_keyed_by_its_sender() -> None:
    relayed = Relay().relay("s1", "arena", 7, frame(GameOpcode.INPUT, b"wasd", 9))
    assert relayed == BroadcastFrame(1, b"wasd", seq=9, sender=7, key=7)


@pytest.mark.parametrize("opcode", [GameOpcode.EVENT, 16, 255])
@pytest.mark.parametrize("seq", [None, 0, 9])
def test_event_and_the_games_own_go_to_everybody_without_key(
    opcode: int, seq: int | None
) -> None:
    relayed = Relay().relay("s1", "arena", 7, frame(opcode, b"boom", seq))
    assert relayed == BroadcastFrame(opcode, b"boom", seq=seq, sender=7)


def test_input_that_is_old_or_came_before_is_dropped() -> None:
    relay = Relay()
    seqs = [5, 5, 4, 6, 5, 9, 8, 10]
    assert [seq for seq in seqs if input_reaches(relay, seq)] == [5, 6, 9, 10]


def test_input_is_followed_across_the_wrap() -> None:
    relay = Relay()
    seqs = [2**32 - 2, 2**32 - 1, 0, 2**32 - 1, 1]
    taken = [seq for seq in seqs if input_reaches(relay, seq)]
    assert taken == [2**32 - 2, 2**32 - 1, 0, 1]


def test_input_without_seq_is_never_old_and_forgets_nothing() -> None:
    relay = Relay()
    seqs = [5, None, None, 5, None, 6]
    assert [input_reaches(relay, seq) for seq in seqs] == [1, 1, 1, 0, 1, 1]


@pytest.mark.parametrize("opcode", [GameOpcode.EVENT, 16])
def test_event_is_never_dropped_nor_counts_against_input(opcode: int) -> None:
    relay = Relay()
    assert input_reaches(relay, 5)
    for seq in (5, 4, 9, 9):
        assert relay.relay("s1", "arena", 7, frame(opcode, seq=seq)) is not None
    assert input_reaches(relay, 6)


def test_each_session_and_each_room_counts_for_itself() -> None:
    relay = Relay()
    for at in ("s1/arena", "s1/lobby", "s2/arena"):
        assert input_reaches(relay, 5, at=at)
        assert not input_reaches(relay, 5, at=at)


def test_a_room_that_was_left_counts_anew_and_the_others_go_on() -> None:
    relay = Relay()
    for room in ("arena", "lobby"):
        input_reaches(relay, 5, at=f"s1/{room}")
    relay.left("s1", "arena")
    assert input_reaches(relay, 1, at="s1/arena")
    assert not input_reaches(relay, 1, at="s1/lobby")


def test_leaving_leaves_nothing_behind() -> None:
    relay = Relay()
    for room in ("arena", "lobby"):
        input_reaches(relay, 5, at=f"s1/{room}")
    for session, room in (("s1", "arena"), ("s1", "lobby"), ("s9", "never")):
        relay.left(session, room)
    assert relay._newest == {}


@pytest.mark.parametrize("opcode", [GameOpcode.INPUT, GameOpcode.EVENT, 16])
def test_the_quiet_audience_sends_nothing(opcode: int) -> None:
    relay = Relay()
    with pytest.raises(ProtocolError, match="NOT_ALLOWED"):
        relay.relay("s1", "party:p1", 0, frame(opcode, seq=5))
    assert relay._newest == {}


@given(SEQ, st.integers(1, 2**31 - 1))
def test_a_number_less_than_half_the_range_ahead_is_newer(seq: int, ahead: int) -> None:
    later = (seq + ahead) % 2**32
    assert is_newer(later, seq)
    assert not is_newer(seq, later)


@given(SEQ)
def test_neither_of_equal_or_opposite_numbers_is_newer(seq: int) -> None:
    opposite = (seq + 2**31) % 2**32
    assert not is_newer(seq, seq)
    assert not is_newer(seq, opposite)
    assert not is_newer(opposite, seq)


@given(st.lists(SEQ, max_size=30))
def test_whatever_arrives_members_see_ever_newer_input(seqs: list[int]) -> None:
    relay = Relay()
    taken = [seq for seq in seqs if input_reaches(relay, seq)]
    assert taken[:1] == seqs[:1]
    for elder, seq in pairwise(taken):
        assert is_newer(seq, elder)


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
