from __future__ import annotations

from ssl import SSLCertVerificationError
from typing import Any, cast

import pytest

from wsprism_cli.returning import FIRST_PAUSE, LONGEST_PAUSE, Whereabouts, come_back
from wsprism_core.client import Client, ClientError, ConnectionClosed, HandshakeRefused


class Ended:
    """A client whose connection is over."""

    def __init__(self, code: int = 1006) -> None:
        self.closed = code, ""
        self.authed = {"resume": "token"}


class Joining:
    """A client that notes what is joined, and what goes wrong by the room."""

    def __init__(self, **wrong: Exception) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self._wrong = wrong

    async def join(self, room: str, *, epoch: str, seq: int) -> dict[str, Any]:
        self.asked.append((room, epoch, seq))
        if room in self._wrong:
            raise self._wrong[room]
        return joined(room, epoch, seq, recovered=True)


def joined(room: str, epoch: str, seq: int, **more: Any) -> dict[str, Any]:
    data = {"epoch": epoch, "seq": seq, **more}
    return {"svc": "sys", "type": "joined", "room": room, "data": data}


def said(room: str, seq: int) -> dict[str, Any]:
    return {"svc": "chat", "type": "msg", "room": room, "seq": seq}


def row(room: str, epoch: str, seq: int, reason: str | None = None) -> dict[str, Any]:
    told = {"room": room, "alias": 1, "epoch": epoch, "seq": seq, "n": 1}
    told["recovered"] = reason is None
    return told if reason is None else {**told, "reason": reason}


async def answers(places: Whereabouts, client: Joining) -> list[tuple[str, Any]]:
    found = []
    async for room, answer in places.join_again(cast("Client", client)):
        if isinstance(answer, dict):
            places.note(answer)
        found.append((room, answer))
    return found


async def asked(
    places: Whereabouts, *, anew: bool = True
) -> list[tuple[str, str, int]]:
    client = Joining()
    if anew:
        places.begin_anew()
    await answers(places, client)
    return client.asked


# ------------------------------------------------------------------------ whereabouts


async def test_rooms_are_joined_from_where_one_was_the_active_one_last() -> None:
    places = Whereabouts()
    for envelope in (
        joined("a", "e1", 5),
        joined("b", "e2", 0),
        said("a", 6),
        said("b", 1),
        said("elsewhere", 9),
        joined("gone", "e3", 0),
        {"svc": "sys", "type": "left", "room": "gone"},
        joined("a", "e1", 6),
    ):
        assert places.note(envelope)
    assert await asked(places) == [("b", "e2", 1), ("a", "e1", 6)]


async def test_what_follows_a_recovered_join_is_still_to_come() -> None:
    places = Whereabouts()
    places.note(joined("a", "e1", 5))
    places.note(joined("a", "e1", 9, recovered=True))
    assert await asked(places) == [("a", "e1", 5)]
    places.note(joined("a", "e2", 9, recovered=False))
    assert await asked(places) == [("a", "e2", 9)]


async def test_a_room_that_one_may_not_join_any_more_is_given_up_alone() -> None:
    places = Whereabouts()
    places.note(joined("a", "e1", 5))
    places.note(joined("b", "e2", 7))
    refused = ClientError("NOT_ALLOWED", "no")
    answer = joined("b", "e2", 7, recovered=True)
    places.begin_anew()
    assert await answers(places, Joining(a=refused)) == [("a", refused), ("b", answer)]
    assert await asked(places) == [("b", "e2", 7)]


async def test_a_room_that_does_not_answer_in_time_is_kept() -> None:
    places = Whereabouts()
    places.note(joined("a", "e1", 5))
    late = TimeoutError()
    places.begin_anew()
    assert await answers(places, Joining(a=late)) == [("a", late)]
    assert await asked(places) == [("a", "e1", 5)]


@pytest.mark.parametrize(
    ("is_resumed", "rooms"), [(True, ["b", "c"]), (False, ["a", "b", "c"])]
)
async def test_rooms_wait_for_the_next_connection_where_this_one_is_lost(
    is_resumed: bool, rooms: list[str]
) -> None:
    places = Whereabouts()
    for room in "abc":
        places.note(joined(room, "e1", 5))
    places.begin_anew()
    client = Joining(b=ConnectionClosed(1006, "lost"))
    assert [room for room, _ in await answers(places, client)] == ["a"]
    assert [room for room, _, _ in client.asked] == ["a", "b"]
    if is_resumed:
        assert places.resumed([row("a", "e1", 5)], "a") == []
    found = await asked(places, anew=not is_resumed)
    assert [room for room, _, _ in found] == rooms


async def test_what_has_arrived_already_comes_again_once() -> None:
    places = Whereabouts()
    places.note(joined("a", "e1", 0))
    for seq in 1, 2:
        places.note(said("a", seq))
    assert places.note(said("a", 2)), "asked for, and not after coming back"
    assert places.resumed([row("a", "e1", 4)], "a") == []
    assert [places.note(said("a", seq)) for seq in (2, 2, 3, 4)] == [
        False,
        True,
        True,
        True,
    ]
    assert await asked(places) == [("a", "e1", 4)]


async def test_where_not_all_can_be_had_it_is_told_why() -> None:
    places = Whereabouts()
    places.note(joined("a", "e1", 0))
    rows = [row("a", "e2", 9, "too_old"), row("new", "e3", 7)]
    assert places.resumed(rows, "new") == ["a: too_old"]
    assert await asked(places) == [("a", "e2", 9), ("new", "e3", 7)]


async def test_the_active_room_is_the_last_whatever_the_order_of_the_rows() -> None:
    places = Whereabouts()
    for room in "abc":
        places.note(joined(room, "e1", 0))
    assert places.resumed([row(room, "e1", 0) for room in "bac"], "b") == []
    assert [room for room, _, _ in await asked(places)] == ["a", "c", "b"]


# ------------------------------------------------------------------------ coming back


async def attempts(
    code: int, *outcomes: Exception | None
) -> tuple[list[float], list[str | None], bool]:
    """Come back; return the pauses, the tokens that were shown, and whether it was."""
    pauses: list[float] = []
    tokens: list[str | None] = []
    found = Ended()
    waiting = list(outcomes)

    async def connect(token: str | None) -> Client:
        tokens.append(token)
        if (outcome := waiting.pop(0)) is not None:
            raise outcome
        return cast("Client", found)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    client = await come_back(cast("Client", Ended(code)), connect, pause)
    return pauses, tokens, client is not None


async def test_it_is_tried_as_often_as_it_takes_ever_more_slowly() -> None:
    failures: list[Exception | None] = [
        OSError(),
        TimeoutError(),
        HandshakeRefused(503, "full"),
        HandshakeRefused(0, "no answer"),
        ConnectionClosed(1006, "lost"),
    ]
    pauses, tokens, is_back = await attempts(1006, *failures * 2, None)
    assert is_back
    assert tokens == ["token"] * 11
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE * 1.5
    assert pauses[4] > pauses[0]
    assert LONGEST_PAUSE / 2 <= pauses[-1] <= LONGEST_PAUSE * 1.5


@pytest.mark.parametrize("code", [1008, 4501, 4502])
async def test_who_is_not_to_come_back_does_not(code: int) -> None:
    assert await attempts(code) == ([], [], False)


@pytest.mark.parametrize(
    "refusal", [HandshakeRefused(401, "no"), ConnectionClosed(4503, "no")]
)
async def test_who_is_refused_for_good_gives_up(refusal: Exception) -> None:
    _, tokens, is_back = await attempts(1006, refusal, None)
    assert (tokens, is_back) == (["token"], False)


async def test_who_is_not_to_be_trusted_is_not_tried_again() -> None:
    with pytest.raises(SSLCertVerificationError):
        await attempts(1006, ConnectionRefusedError(), SSLCertVerificationError(), None)
