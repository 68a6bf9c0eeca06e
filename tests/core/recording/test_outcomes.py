from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsprism_core import (
    Ack,
    Actions,
    Broadcast,
    BroadcastFrame,
    CloseCode,
    ErrorCode,
    JoinRoom,
    Kick,
    LeaveRoom,
    ProtocolError,
    Pull,
    Push,
    PushFrame,
    Reply,
)
from wsprism_core.protocol.codecs import JSON
from wsprism_core.protocol.errors import Malformed
from wsprism_core.recording.outcomes import (
    Listed,
    listed,
    outcome_of,
    pack_outcome,
)


@dataclass(frozen=True)
class Numbered:
    """A source that is known by its number."""

    number: int

    def pull(self, session: Any, budget: int) -> Any:
        return (), False


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=8,
)
names = st.none() | st.text(max_size=5)
actions = st.one_of(
    st.builds(Reply, st.text(), values, names),
    st.builds(Ack, values),
    st.builds(Push, st.text(), values, names, names, names, names),
    st.builds(Broadcast, st.text(), values, names, key=names, dedup=names),
    st.builds(BroadcastFrame, st.integers(0, 255), st.binary(), names),
    st.builds(PushFrame, st.integers(0, 255), st.binary(), key=st.integers(0, 9)),
    st.builds(Pull, st.text(), st.builds(Numbered, st.integers(0, 9)), names, names),
    st.builds(JoinRoom, st.text(), st.text(), st.booleans(), st.booleans()),
    st.builds(LeaveRoom, st.text(), st.text()),
    st.builds(Kick, st.text(), names, names, st.sampled_from(CloseCode)),
)


def again(
    found: Actions, failure: BaseException | None = None
) -> tuple[list[Any], BaseException | None]:
    came, error = outcome_of(pack_outcome(listed(found), failure), Numbered)
    assert isinstance(came, list)
    return came, error


@given(st.lists(actions))
def test_actions_are_the_same_again(several: list[Any]) -> None:
    assert again(several) == (several, None)


def test_one_action_none_or_a_generator() -> None:
    assert again(Reply("a")) == ([Reply("a")], None)
    assert again(None) == ([], None)
    some: Iterator[Reply | Ack] = iter([Reply("a"), Ack(1)])
    assert again(some) == ([Reply("a"), Ack(1)], None)


def test_a_generator_that_fails_has_done_what_came_before() -> None:
    def some() -> Iterator[Reply]:
        yield Reply("a")
        raise ValueError("no more")

    first = listed(some())
    for found in (first, outcome_of(pack_outcome(first), Numbered)[0]):
        assert isinstance(found, Listed)
        rest = iter(found)
        assert next(rest) == Reply("a")
        with pytest.raises((ValueError, RuntimeError), match=r"no more|as recorded"):
            next(rest)


@pytest.mark.parametrize(
    "failure",
    [
        ProtocolError(ErrorCode.CONFLICT, "not today"),
        ProtocolError(ErrorCode.RATE_LIMITED, "slowly", retry_after_ms=5),
        Malformed("a riddle"),
    ],
)
def test_a_refusal_says_the_same(failure: ProtocolError) -> None:
    _, error = again(None, failure)
    assert type(error) is type(failure)
    assert isinstance(error, ProtocolError)
    assert (error.code, error.msg) == (failure.code, failure.msg)
    assert error.retry_after_ms == failure.retry_after_ms


def test_of_another_failure_only_its_name_is_held() -> None:
    packed = pack_outcome(None, RuntimeError("password: hunter2"))
    assert b"hunter2" not in packed
    _, error = outcome_of(packed, Numbered)
    assert str(error) == "RuntimeError, as recorded"


class Colour(Enum):
    RED = "red"


class Word(StrEnum):
    A = "a"


@pytest.mark.parametrize(
    ("data", "same"),
    [
        ((1, 2), [1, 2]),
        (Word.A, "a"),
        ({"deep": [{"er": ("x",)}]}, {"deep": [{"er": ["x"]}]}),
    ],
)
def test_what_travels_alike_may_be_held_alike(data: Any, same: Any) -> None:
    assert again(Ack(data))[0] == [Ack(same)]


@pytest.mark.parametrize(
    "data",
    [2**70, float("nan"), b"bytes", {1: 2}, "\ud800", object(), {"a": {1}}],
    ids=["large", "nan", "bytes", "key", "surrogate", "object", "set"],
)
def test_what_no_codec_carries_is_refused_again(data: Any) -> None:
    with pytest.raises(ValueError, match=r".*"):
        JSON.encode({"data": data})
    ((action,), _) = again(Ack(data))
    if isinstance(action, Ack):
        with pytest.raises(ValueError, match=r".*"):
            JSON.encode({"data": action.data})
    else:
        assert "Unknown" in type(action).__name__


def test_what_is_no_action_is_none_again() -> None:
    wrong: Any = ["text"]
    ((action,), _) = again(wrong)
    assert "Unknown" in type(action).__name__


def test_a_key_can_be_looked_up() -> None:
    key: Any = ("a", 1)
    ((action,), _) = again(Push("a", session="1", key=key))
    assert action.key == ("a", 1)
