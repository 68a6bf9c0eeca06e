from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_chat.config import ChatConfig
from wsprism_chat.moderation import Moderation
from wsprism_chat.owned import OwnedRooms
from wsprism_chat.roles import Roles
from wsprism_core import ErrorCode, ProtocolError
from wsprism_core.state.memory import MemoryState
from wsprism_core.state.port import StateBounds


class Owned:
    """The room r1 of ann, where mod moderates."""

    def __init__(self, slow_ms: int = 0, **limits: Any) -> None:
        self.state = MemoryState(StateBounds(99, 99_999))
        self.rooms = OwnedRooms(self.state, "acme")
        config = ChatConfig(**limits)
        self.roles = Roles(config, self.rooms)
        self.roles.create("ann", "r1", {"slow_ms": slow_ms}, alone=True, now=0)
        self.roles.promote("ann", "r1", "mod")
        self.moderation = Moderation(config, self.rooms)

    def may_speak(self, user: str, now_ms: int) -> bool:
        return _passes(self.moderation.check_voice, user, "r1", now_ms)

    def takes_turn(self, user: str, now: float) -> bool:
        return _passes(self.moderation.take_turn, user, "r1", now)


def _passes(do: Any, *args: Any) -> bool:
    try:
        do(*args)
    except ProtocolError:
        return False
    return True


def refused(do: Any, *args: Any) -> ErrorCode:
    with pytest.raises(ProtocolError) as refusal:
        do(*args)
    return refusal.value.code


def test_in_a_room_without_an_owner_everybody_speaks_and_nobody_moderates() -> None:
    moderation = Owned().moderation
    moderation.check_voice("bob", "other", 0)
    moderation.take_turn("bob", "other", 0.0)
    moderation.forget("other", 0.0)
    assert refused(moderation.mute, "ann", "other", "bob", None, 0) is (
        ErrorCode.NOT_ALLOWED
    )
    assert refused(moderation.slow, "ann", "other", 5) is ErrorCode.NOT_ALLOWED


def test_who_is_muted_speaks_again_at_its_end_or_when_it_is_lifted() -> None:
    here = Owned()
    assert here.moderation.mute("mod", "r1", "bob", 5, 1_000) == 6_000
    assert not here.may_speak("bob", 5_999)
    assert here.may_speak("bob", 6_000)
    assert here.may_speak("cat", 1_000)
    assert here.moderation.mute("mod", "r1", "bob", None, 7_000) is None
    assert not here.may_speak("bob", 10**15)
    here.moderation.unmute("mod", "r1", "bob", 8_000)
    assert here.may_speak("bob", 8_000)
    assert refused(here.moderation.unmute, "mod", "r1", "bob", 8_000) is (
        ErrorCode.NOT_FOUND
    )


def test_who_is_banned_is_out_and_his_invite_with_it() -> None:
    here = Owned()
    here.roles.invite("ann", "r1", "bob")
    assert here.moderation.ban("mod", "r1", "bob", 5, 1_000) == 6_000
    assert here.roles.may_join("bob", "r1", 5_999) is False
    assert not here.may_speak("bob", 5_999)
    assert here.roles.may_join("bob", "r1", 6_000) is None
    here.moderation.ban("mod", "r1", "bob", None, 7_000)
    here.moderation.unban("ann", "r1", "bob", 8_000)
    assert here.roles.may_join("bob", "r1", 8_000) is None
    room = here.rooms.get("r1")
    assert room is not None
    assert room.invited == []
    assert refused(here.moderation.unban, "ann", "r1", "bob", 8_000) is (
        ErrorCode.NOT_FOUND
    )


@pytest.mark.parametrize(
    ("by", "whom"), [("bob", "cat"), ("mod", "ann"), ("mod", "mod"), ("ann", "ann")]
)
def test_only_a_higher_role_moderates(by: str, whom: str) -> None:
    moderation = Owned().moderation
    for do in moderation.mute, moderation.ban:
        assert refused(do, by, "r1", whom, 5, 0) is ErrorCode.NOT_ALLOWED
    for lift in moderation.unmute, moderation.unban:
        assert refused(lift, by, "r1", whom, 0) is ErrorCode.NOT_ALLOWED
    assert refused(moderation.check_over, by, "r1", whom) is ErrorCode.NOT_ALLOWED


def test_only_so_many_are_muted_and_those_whose_time_is_over_do_not_count() -> None:
    here = Owned(max_sanctions=2)
    here.moderation.mute("mod", "r1", "bob", 5, 1_000)
    here.moderation.mute("mod", "r1", "cat", None, 1_000)
    assert refused(here.moderation.mute, "mod", "r1", "dan", 5, 5_999) is (
        ErrorCode.RESOURCE_EXHAUSTED
    )
    here.moderation.mute("mod", "r1", "cat", None, 5_999)
    here.moderation.mute("mod", "r1", "dan", 5, 6_000)
    room = here.rooms.get("r1")
    assert room is not None
    assert sorted(room.muted) == ["cat", "dan"]


def test_a_slow_room_says_how_long_to_wait() -> None:
    here = Owned(slow_ms=2_000)
    here.moderation.take_turn("bob", "r1", 10.0)
    with pytest.raises(ProtocolError) as refusal:
        here.moderation.take_turn("bob", "r1", 10.5)
    assert refusal.value.retry_after_ms == 1_500
    here.moderation.take_turn("cat", "r1", 10.5)
    here.moderation.take_turn("bob", "r1", 12.0)
    for _ in range(3):
        here.moderation.take_turn("mod", "r1", 12.0)
        here.moderation.take_turn("ann", "r1", 12.0)
    here.moderation.slow("mod", "r1", 0)
    here.moderation.take_turn("bob", "r1", 12.1)
    assert refused(here.moderation.slow, "bob", "r1", 5) is ErrorCode.NOT_ALLOWED


def test_leaving_is_no_way_around_slow_mode() -> None:
    here = Owned(slow_ms=2_000)
    here.moderation.take_turn("bob", "r1", 10.0)
    here.moderation.forget("r1", 11.0)
    assert not here.takes_turn("bob", 11.0)
    here.moderation.forget("r1", 12.0)
    assert here.moderation._spoke == {}


@given(
    st.integers(1, 3_000),
    st.lists(st.tuples(st.sampled_from(["bob", "cat"]), st.floats(0.0, 2.0))),
)
def test_no_two_messages_of_one_member_within_the_time(
    slow_ms: int, steps: list[tuple[str, float]]
) -> None:
    here, now = Owned(slow_ms=slow_ms), 0.0
    spoke: dict[str, float] = {}
    for user, passed in steps:
        now += passed
        last = spoke.get(user)
        free = last is None or now - last >= slow_ms / 1000
        assert here.takes_turn(user, now) is free
        if free:
            spoke[user] = now


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["mute", "unmute", "speak"]),
            st.none() | st.integers(1, 5),
            st.integers(0, 3_000),
        )
    )
)
def test_a_muted_user_never_speaks(steps: list[tuple[str, int | None, int]]) -> None:
    here, now = Owned(), 1_000
    until: float = 0
    for what, for_s, passed in steps:
        now += passed
        if what == "mute":
            here.moderation.mute("mod", "r1", "bob", for_s, now)
            until = float("inf") if for_s is None else now + for_s * 1_000
        elif what == "unmute" and now < until:
            here.moderation.unmute("mod", "r1", "bob", now)
            until = 0
        # What was kept says the same as what is at hand.
        again = Moderation(ChatConfig(), OwnedRooms(here.state, "acme"))
        assert here.may_speak("bob", now) is (now >= until)
        if now < until:
            assert refused(again.check_voice, "bob", "r1", now) is ErrorCode.NOT_ALLOWED
