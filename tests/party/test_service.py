from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from wsprism_core import (
    Ack,
    Action,
    Envelope,
    ErrorCode,
    JoinRoom,
    LeaveRoom,
    ProtocolError,
    Push,
)
from wsprism_game.party.config import PartyConfig
from wsprism_game.party.service import PartyService

CONFIG = PartyConfig(
    default_size=3,
    max_size=5,
    max_invites=2,
    invite_ttl_ms=60_000,
    away_grace_ms=30_000,
)
#: The time at which everything happens that does not say otherwise.
T = 100.0


def new_service(config: PartyConfig = CONFIG) -> PartyService:
    ids = count(1)
    return PartyService(config, lambda: f"p{next(ids)}")


@pytest.fixture
def service() -> PartyService:
    """No party; each of four users has one session, named after him."""
    service = new_service()
    for user in ("ann", "bob", "cat", "dan"):
        assert service.connected(user, f"{user}1", (), T) == []
    return service


@pytest.fixture
def party(service: PartyService) -> PartyService:
    """Party p1 of ann, who leads, and bob; version 3."""
    service.create("ann", None, T)
    service.invite("ann", "bob", T)
    service.accept("bob", "p1", T)
    return service


def state(
    version: int,
    members: str,
    *,
    leader: str = "ann",
    invites: list[tuple[str, str, int]] | None = None,
    id: str = "p1",
    max_size: int = 3,
) -> dict[str, Any]:
    """Return a party's state; members as in `ann bob?`, where `?` is away."""
    return {
        "id": id,
        "version": version,
        "leader": leader,
        "members": [
            {
                "user": name.rstrip("?"),
                "status": "away" if name.endswith("?") else "online",
            }
            for name in members.split()
        ],
        "invites": [
            {"user": user, "from": sender, "expires_ms": left}
            for user, sender, left in invites or ()
        ],
        "max_size": max_size,
    }


def told(state: dict[str, Any], **keys: str) -> list[Action]:
    """Return the pushes of a state, to each user under its key."""
    return [Push("state", state, user=user, key=key) for user, key in keys.items()]


def refused(code: ErrorCode, ask: Callable[[], object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        ask()
    assert caught.value.code is code


# ------------------------------------------------------------------------- create


def test_create_makes_a_party_of_one(service: PartyService) -> None:
    assert service.create("ann", None, T) == [
        JoinRoom("ann1", "party:p1", active=False),
        *told(state(1, "ann"), ann="p1:1"),
        Ack({"party": "p1", "version": 1}),
    ]
    assert service.of("ann", T) == state(1, "ann")
    assert service.of("bob", T) is None


def test_create_takes_a_size_up_to_the_configured(service: PartyService) -> None:
    refused(ErrorCode.BAD_REQUEST, lambda: service.create("ann", 6, T))
    service.create("ann", 5, T)
    assert service.of("ann", T) == state(1, "ann", max_size=5)


def test_the_usual_size_is_not_above_the_largest() -> None:
    service = new_service(PartyConfig(default_size=8, max_size=4))
    service.create("ann", None, T)
    assert service.of("ann", T) == state(1, "ann", max_size=4)


def test_one_party_per_user(party: PartyService) -> None:
    refused(ErrorCode.CONFLICT, lambda: party.create("ann", None, T))
    refused(ErrorCode.CONFLICT, lambda: party.create("bob", None, T))
    party.create("cat", None, T)
    party.invite("cat", "bob", T)
    refused(ErrorCode.CONFLICT, lambda: party.accept("bob", "p2", T))
    assert party.of("bob", T) == state(3, "ann bob")


# ------------------------------------------------------------------------ invites


def test_invite_tells_the_invited_and_the_members(party: PartyService) -> None:
    after = state(4, "ann bob", invites=[("cat", "bob", 60_000)])
    assert party.invite("bob", "cat", T) == [
        Push(
            "invited", {"party": "p1", "from": "bob", "expires_ms": 60_000}, user="cat"
        ),
        *told(after, ann="p1:1", bob="p1:3"),
        Ack({"party": "p1", "version": 4}),
    ]


def test_invite_refuses(party: PartyService) -> None:
    refused(ErrorCode.NOT_FOUND, lambda: party.invite("cat", "dan", T))
    refused(ErrorCode.CONFLICT, lambda: party.invite("ann", "bob", T))
    refused(ErrorCode.CONFLICT, lambda: party.invite("ann", "ann", T))
    party.invite("ann", "cat", T)
    refused(ErrorCode.CONFLICT, lambda: party.invite("bob", "cat", T))


def test_a_full_party_invites_and_takes_nobody(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    party.invite("ann", "dan", T)
    party.accept("cat", "p1", T)
    refused(ErrorCode.RESOURCE_EXHAUSTED, lambda: party.invite("ann", "eve", T))
    refused(ErrorCode.RESOURCE_EXHAUSTED, lambda: party.accept("dan", "p1", T))
    party.leave("cat", T)
    party.accept("dan", "p1", T)
    assert party.of("dan", T) == state(8, "ann bob dan")


def test_a_party_has_so_many_open_invites(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    party.invite("ann", "dan", T)
    refused(ErrorCode.RESOURCE_EXHAUSTED, lambda: party.invite("ann", "eve", T))
    party.decline("dan", "p1", T)
    party.invite("ann", "eve", T)


def test_so_many_invites_wait_for_one_user(service: PartyService) -> None:
    for leader in ("ann", "bob", "cat"):
        service.create(leader, None, T)
    service.invite("ann", "dan", T)
    service.invite("bob", "dan", T)
    refused(ErrorCode.RESOURCE_EXHAUSTED, lambda: service.invite("cat", "dan", T))
    service.accept("dan", "p1", T)
    service.invite("cat", "dan", T)


def test_accept_joins_behind_the_others(party: PartyService) -> None:
    party.connected("cat", "cat2", (), T)
    party.invite("ann", "cat", T)
    assert party.accept("cat", "p1", T) == [
        Push("invite_gone", {"party": "p1", "reason": "accepted"}, user="cat"),
        JoinRoom("cat1", "party:p1", active=False),
        JoinRoom("cat2", "party:p1", active=False),
        *told(state(5, "ann bob cat"), ann="p1:1", bob="p1:3", cat="p1:5"),
        Ack({"party": "p1", "version": 5}),
    ]


def test_decline_ends_the_invite(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    assert party.decline("cat", "p1", T) == [
        Push("invite_gone", {"party": "p1", "reason": "declined"}, user="cat"),
        *told(state(5, "ann bob"), ann="p1:1", bob="p1:3"),
        Ack({"party": "p1"}),
    ]
    refused(ErrorCode.NOT_FOUND, lambda: party.accept("cat", "p1", T))


@pytest.mark.parametrize("party_id", ["p1", "p9"])
def test_without_an_invite_a_party_is_not_to_be_found(
    party: PartyService, party_id: str
) -> None:
    refused(ErrorCode.NOT_FOUND, lambda: party.accept("cat", party_id, T))
    refused(ErrorCode.NOT_FOUND, lambda: party.decline("cat", party_id, T))


def test_an_invite_is_used_once(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    party.accept("cat", "p1", T)
    party.leave("cat", T)
    refused(ErrorCode.NOT_FOUND, lambda: party.accept("cat", "p1", T))


def test_invites_expire_in_their_order(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    party.invite("ann", "dan", T + 10)
    assert party.expire(T + 59.999) == []
    after = state(6, "ann bob", invites=[("dan", "ann", 10_000)])
    assert party.expire(T + 60) == [
        Push("invite_gone", {"party": "p1", "reason": "expired"}, user="cat"),
        *told(after, ann="p1:1", bob="p1:3"),
    ]
    refused(ErrorCode.NOT_FOUND, lambda: party.accept("cat", "p1", T + 60))
    assert party.expire(T + 69) == []
    party.accept("dan", "p1", T + 69)
    assert party.expire(T + 1000) == []


def test_an_invite_is_good_until_it_is_ended(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    late = T + 60.5
    assert party.of("ann", late) == state(4, "ann bob", invites=[("cat", "ann", 0)])
    party.accept("cat", "p1", late)
    assert party.expire(late) == []


# -------------------------------------------------------- leave, kick and promote


def test_leave_tells_the_leaver_and_then_the_others(party: PartyService) -> None:
    party.connected("bob", "bob2", (), T)
    assert party.leave("bob", T) == [
        LeaveRoom("bob1", "party:p1"),
        LeaveRoom("bob2", "party:p1"),
        Push("left", {"party": "p1", "reason": "left"}, user="bob"),
        *told(state(4, "ann"), ann="p1:1"),
        Ack({"party": "p1"}),
    ]
    refused(ErrorCode.NOT_FOUND, lambda: party.leave("bob", T))


def test_after_the_leader_leads_who_joined_next(party: PartyService) -> None:
    party.invite("ann", "cat", T)
    party.accept("cat", "p1", T)
    party.leave("ann", T)
    assert party.of("cat", T) == state(6, "bob cat", leader="bob")
    party.invite("bob", "ann", T)
    party.accept("ann", "p1", T)
    party.leave("bob", T)
    assert party.of("ann", T) == state(9, "cat ann", leader="cat")


def test_who_comes_back_has_a_key_of_its_own(party: PartyService) -> None:
    party.leave("bob", T)
    party.invite("ann", "bob", T)
    actions = party.accept("bob", "p1", T)
    after = told(state(6, "ann bob"), ann="p1:1", bob="p1:6")
    assert [action for action in actions if action in after] == after


def test_the_last_to_leave_ends_the_party_and_its_invites(
    party: PartyService,
) -> None:
    party.leave("bob", T)
    party.invite("ann", "cat", T)
    assert party.leave("ann", T) == [
        LeaveRoom("ann1", "party:p1"),
        Push("left", {"party": "p1", "reason": "left"}, user="ann"),
        Push("invite_gone", {"party": "p1", "reason": "ended"}, user="cat"),
        Ack({"party": "p1"}),
    ]
    refused(ErrorCode.NOT_FOUND, lambda: party.accept("cat", "p1", T))
    assert party.expire(T + 1000) == []


def test_kick_removes_a_member(party: PartyService) -> None:
    assert party.kick("ann", "bob", T) == [
        LeaveRoom("bob1", "party:p1"),
        Push("left", {"party": "p1", "reason": "kicked"}, user="bob"),
        *told(state(4, "ann"), ann="p1:1"),
        Ack({"party": "p1", "version": 4}),
    ]


def test_promote_hands_the_lead_over(party: PartyService) -> None:
    assert party.promote("ann", "bob", T) == [
        *told(state(4, "ann bob", leader="bob"), ann="p1:1", bob="p1:3"),
        Ack({"party": "p1", "version": 4}),
    ]
    refused(ErrorCode.NOT_ALLOWED, lambda: party.promote("ann", "bob", T))
    # The order of joining is as it was: ann is next again.
    party.leave("bob", T)
    assert party.of("ann", T) == state(5, "ann")


@pytest.mark.parametrize("verb", ["kick", "promote"])
def test_only_the_leader_kicks_and_promotes_and_only_members(
    party: PartyService, verb: str
) -> None:
    ask = getattr(party, verb)
    refused(ErrorCode.NOT_FOUND, lambda: ask("cat", "ann", T))
    refused(ErrorCode.NOT_ALLOWED, lambda: ask("bob", "ann", T))
    refused(ErrorCode.NOT_ALLOWED, lambda: ask("bob", "cat", T))
    refused(ErrorCode.NOT_FOUND, lambda: ask("ann", "cat", T))


def test_the_leader_neither_kicks_nor_promotes_himself(party: PartyService) -> None:
    refused(ErrorCode.BAD_REQUEST, lambda: party.kick("ann", "ann", T))
    refused(ErrorCode.CONFLICT, lambda: party.promote("ann", "ann", T))


# -------------------------------------------------------------------- connections


def test_a_member_is_away_without_his_last_connection(party: PartyService) -> None:
    party.connected("bob", "bob2", (), T)
    assert party.closed("bob", "bob1", T) == []
    assert party.detached("bob", "bob2", T) == told(state(4, "ann bob?"), ann="p1:1")
    assert party.closed("bob", "bob2", T) == []


def test_back_within_the_grace(party: PartyService) -> None:
    party.closed("bob", "bob1", T)
    assert party.connected("bob", "bob2", (), T + 29) == [
        JoinRoom("bob2", "party:p1", active=False),
        *told(state(5, "ann bob"), ann="p1:1", bob="p1:3"),
    ]
    assert party.expire(T + 1000) == []


def test_a_resumed_session_is_in_its_room_already(party: PartyService) -> None:
    party.detached("bob", "bob1", T)
    assert party.connected("bob", "bob1", ("lobby", "party:p1"), T) == told(
        state(5, "ann bob"), ann="p1:1", bob="p1:3"
    )


def test_a_further_connection_gets_the_state_for_itself(party: PartyService) -> None:
    assert party.connected("bob", "bob2", (), T) == [
        JoinRoom("bob2", "party:p1", active=False),
        Push("state", state(3, "ann bob"), session="bob2", key="p1:3"),
    ]


def test_the_grace_ends(party: PartyService) -> None:
    party.closed("ann", "ann1", T)
    assert party.expire(T + 29.999) == []
    assert party.expire(T + 30) == [
        Push("left", {"party": "p1", "reason": "away"}, user="ann"),
        *told(state(5, "bob", leader="bob"), bob="p1:3"),
    ]
    assert party.connected("ann", "ann2", (), T + 31) == []


def test_the_grace_counts_from_the_last_drop(party: PartyService) -> None:
    party.detached("bob", "bob1", T)
    party.connected("bob", "bob1", ("party:p1",), T + 20)
    party.detached("bob", "bob1", T + 25)
    party.closed("bob", "bob1", T + 45)
    assert party.expire(T + 54) == []
    assert party.expire(T + 55) != []
    assert party.of("bob", T + 55) is None


def test_a_detached_session_leaves_the_room_with_its_user(
    party: PartyService,
) -> None:
    party.detached("bob", "bob1", T)
    assert party.kick("ann", "bob", T)[:2] == [
        LeaveRoom("bob1", "party:p1"),
        Push("left", {"party": "p1", "reason": "kicked"}, user="bob"),
    ]
    assert party.expire(T + 1000) == []


def test_when_all_are_gone_the_party_ends(party: PartyService) -> None:
    party.closed("ann", "ann1", T)
    party.closed("bob", "bob1", T)
    party.expire(T + 30)
    assert party.of("ann", T) is None
    assert party.of("bob", T) is None
    assert party._parties == {}


def test_invites_wait_for_who_is_not_there(party: PartyService) -> None:
    party.invite("ann", "eve", T)
    told_eve = {"party": "p1", "from": "ann", "expires_ms": 40_000}
    assert party.connected("eve", "eve1", (), T + 20) == [
        Push("invited", told_eve, session="eve1")
    ]


def test_nothing_stays_of_who_was_here() -> None:
    service = new_service()
    service.connected("ann", "ann1", (), T)
    service.create("ann", None, T)
    service.invite("ann", "bob", T)
    service.leave("ann", T)
    service.closed("ann", "ann1", T)
    left_over = [getattr(service, name) for name in vars(service)][2:]
    assert len(left_over) == 6
    assert not any(left_over)


# ---------------------------------------------------------------- rooms, messages


def test_strangers_are_kept_out_of_the_room(party: PartyService) -> None:
    assert party.may_join("ann", "party:p1") is None
    assert party.may_join("cat", "party:p1") is False
    assert party.may_join("ann", "party:p2") is False
    assert party.may_join("cat", "party:") is False
    assert party.may_join("cat", "partyroom") is None


@pytest.mark.parametrize(
    ("user", "type", "data", "version"),
    [
        ("cat", "create", None, 1),
        ("cat", "create", {}, 1),
        ("cat", "create", {"max_size": 3}, 1),
        ("ann", "invite", {"user": "cat"}, 5),
        ("dan", "accept", {"party": "p1"}, 5),
        ("ann", "kick", {"user": "bob"}, 5),
        ("ann", "promote", {"user": "bob"}, 5),
    ],
)
def test_a_message_does_what_its_type_says(
    party: PartyService, user: str, type: str, data: object, version: int
) -> None:
    party.invite("ann", "dan", T)
    asked = party.handle(user, Envelope("party", type, data=data), T)
    id = "p2" if type == "create" else "p1"
    assert asked[-1] == Ack({"party": id, "version": version})


@pytest.mark.parametrize(
    ("user", "type", "data"),
    [("dan", "decline", {"party": "p1"}), ("bob", "leave", None)],
)
def test_who_is_no_member_after_all_gets_no_version(
    party: PartyService, user: str, type: str, data: object
) -> None:
    party.invite("ann", "dan", T)
    asked = party.handle(user, Envelope("party", type, data=data), T)
    assert asked[-1] == Ack({"party": "p1"})


def test_an_unknown_type_is_refused(party: PartyService) -> None:
    message = Envelope("party", "dance")
    refused(ErrorCode.BAD_REQUEST, lambda: party.handle("ann", message, T))
