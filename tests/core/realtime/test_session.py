from __future__ import annotations

import pytest

from support.pure import Pipe, outbox
from wsprism_core.realtime.session import Session, SessionRegistry


def a_session(registry: SessionRegistry, user: str, tenant: str = "acme") -> Session:
    session = Session(registry.new_id(tenant), user, tenant, Pipe(), outbox())
    registry.add(session)
    return session


def test_ids_are_hexadecimal_and_never_given_twice() -> None:
    registry = SessionRegistry()
    ids = [registry.new_id("acme") for _ in range(32)]
    assert ids[0] == "acme-1"
    assert ids[30] == "acme-1f"
    assert len(set(ids)) == 32


def test_from_its_ids_a_tenant_cannot_tell_how_many_sessions_others_have() -> None:
    registry = SessionRegistry()
    for _ in range(32):
        registry.new_id("other")
    assert registry.new_id("acme") == "acme-1"


def test_a_users_sessions_are_found_oldest_first() -> None:
    registry = SessionRegistry()
    first, other, second = (a_session(registry, user) for user in "aba")
    assert registry.of_user("acme", "a") == (first, second)
    assert registry.of_user("acme", "b") == (other,)
    assert registry.of_user("other", "a") == ()


def test_tenants_are_counted_apart() -> None:
    registry = SessionRegistry()
    a_session(registry, "a")
    a_session(registry, "a", "other")
    assert registry.per_tenant() == {"acme": 1, "other": 1}
    assert registry.in_tenant("nobody") == 0
    assert len(registry) == 2


def test_nothing_is_left_of_a_session_that_is_removed() -> None:
    registry = SessionRegistry()
    session = a_session(registry, "a")
    assert registry.remove(session)
    assert not registry.remove(session)
    assert registry.get(session.id) is None
    assert registry.of_user("acme", "a") == ()
    assert registry.per_tenant() == {}
    assert vars(registry)["_by_user"] == {}


def test_sessions_may_go_while_they_are_listed() -> None:
    registry = SessionRegistry()
    for user in "abc":
        a_session(registry, user)
    for session in registry:
        registry.remove(session)
    assert len(registry) == 0


@pytest.mark.parametrize(
    ("patterns", "room", "may"),
    [
        (None, "anything", True),
        ((), "lobby", False),
        (("lobby",), "lobby", True),
        (("lobby",), "lobby2", False),
        (("team-*",), "team-1", True),
        (("team-*",), "team-", True),
        (("team-*",), "team", False),
        (("a", "b*"), "bee", True),
        (("*",), "anything", True),
    ],
)
def test_a_ticket_says_which_rooms_its_client_may_enter(
    patterns: tuple[str, ...] | None, room: str, may: bool
) -> None:
    one = a_session(SessionRegistry(), "ann")
    one.allowed_rooms = patterns
    assert one.may_enter(room) is may
