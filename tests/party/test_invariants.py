"""Random parties: what users were told is what is, and the rules hold at each step.

The machine plays the clients: it knows only what actions told them, forgets it when the
connection drops, and compares it with the truth after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wsprism_core import Ack, Action, JoinRoom, LeaveRoom, ProtocolError, Push
from wsprism_game.party.config import PartyConfig
from wsprism_game.party.service import PartyService

USERS = ("ann", "bob", "cat", "dan", "eve")
CONFIG = PartyConfig(
    default_size=3, max_size=4, max_invites=2, invite_ttl_ms=4_000, away_grace_ms=3_000
)
user = st.sampled_from(USERS)
party = st.sampled_from([f"p{n}" for n in range(1, 5)])


class Parties(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        ids, self.sids = count(1), count(1)
        self.service = PartyService(CONFIG, lambda: f"p{next(ids)}")
        self.now = 0.0
        #: Each user's sessions, and whether the connection is up.
        self.sessions: dict[str, dict[str, bool]] = {name: {} for name in USERS}
        #: What connected users know: their party and their open invites.
        self.known: dict[str, dict[str, Any]] = {}
        self.invited: dict[str, set[str]] = {name: set() for name in USERS}
        #: The rooms of each session.
        self.rooms: dict[str, set[str]] = {}

    # ------------------------------------------------------------------ the clients

    def up(self, name: str) -> bool:
        return any(self.sessions[name].values())

    def forget_if_down(self, name: str) -> None:
        if not self.up(name):
            self.known.pop(name, None)
            self.invited[name].clear()

    def owner(self, session: str) -> str:
        return session.split("/")[0]

    def perform(self, actions: list[Action]) -> None:
        before = {name: dict(state) for name, state in self.known.items()}
        for action in actions:
            match action:
                case JoinRoom(session, room):
                    assert room not in self.rooms[session]
                    self.rooms[session].add(room)
                case LeaveRoom(session, room):
                    self.rooms[session].discard(room)
                case Push():
                    name = action.user or self.owner(action.session or "")
                    if self.up(name):
                        self.hear(name, action)
                    else:
                        assert action.type != "state", "a state for nobody"
                case Ack():
                    pass
                case other:
                    raise AssertionError(other)
        self.versions_grow_by_one(before, actions)

    def hear(self, name: str, push: Push) -> None:
        data = push.data
        match push.type:
            case "state":
                self.known[name] = data
            case "left":
                assert self.known.pop(name)["id"] == data["party"]
            case "invited":
                self.invited[name].add(data["party"])
            case "invite_gone":
                self.invited[name].remove(data["party"])
            case other:
                raise AssertionError(other)

    def versions_grow_by_one(
        self, before: dict[str, dict[str, Any]], actions: list[Action]
    ) -> None:
        """Whoever is told hears each version of his party once, in order."""
        for name in USERS:
            heard = [
                action.data
                for action in actions
                if isinstance(action, Push)
                and action.type == "state"
                and action.user == name
            ]
            elder = before.get(name)
            for state in heard:
                if elder is not None and elder["id"] == state["id"]:
                    assert state["version"] == elder["version"] + 1
                    assert essence(state) != essence(elder)
                elder = state

    def ask(self, verb: Callable[..., list[Action]], *args: object) -> None:
        """Do what a user asks for; if it is refused, nothing may have changed."""
        before = self.truth()
        try:
            actions = verb(*args, self.now)
        except ProtocolError:
            assert self.truth() == before
        else:
            assert isinstance(actions[-1], Ack)
            assert self.truth() != before
            self.perform(actions)

    def truth(self) -> dict[str, dict[str, Any] | None]:
        return {name: self.service.of(name, self.now) for name in USERS}

    # -------------------------------------------------------------------- the rules

    @rule(name=user)
    def connect(self, name: str) -> None:
        session = f"{name}/{next(self.sids)}"
        self.sessions[name][session] = True
        self.rooms[session] = set()
        self.perform(self.service.connected(name, session, (), self.now))

    @rule(name=user, n=st.integers(0, 9))
    def drop_or_resume(self, name: str, n: int) -> None:
        sessions = list(self.sessions[name])
        if not sessions:
            return
        session = sessions[n % len(sessions)]
        was_up = self.sessions[name][session]
        self.sessions[name][session] = not was_up
        self.forget_if_down(name)
        if was_up:
            self.perform(self.service.detached(name, session, self.now))
        else:
            rooms = self.rooms[session]
            self.perform(self.service.connected(name, session, rooms, self.now))

    @rule(name=user, n=st.integers(0, 9))
    def close(self, name: str, n: int) -> None:
        sessions = list(self.sessions[name])
        if not sessions:
            return
        session = sessions[n % len(sessions)]
        del self.sessions[name][session], self.rooms[session]
        self.forget_if_down(name)
        self.perform(self.service.closed(name, session, self.now))

    def show_up(self, name: str) -> None:
        if not self.up(name):
            self.connect(name)

    @rule(name=user, size=st.none() | st.integers(2, 5))
    def create(self, name: str, size: int | None) -> None:
        self.show_up(name)
        self.ask(self.service.create, name, size)

    @rule(name=user, other=user)
    def invite(self, name: str, other: str) -> None:
        self.show_up(name)
        self.ask(self.service.invite, name, other)

    @rule(name=user, other=user)
    def invite_and_accept(self, name: str, other: str) -> None:
        self.invite(name, other)
        mine = self.known.get(name)
        if mine is not None:
            self.accept(other, mine["id"])

    @rule(name=user, id=party)
    def accept(self, name: str, id: str) -> None:
        self.show_up(name)
        self.ask(self.service.accept, name, id)

    @rule(name=user, id=party)
    def decline(self, name: str, id: str) -> None:
        self.show_up(name)
        self.ask(self.service.decline, name, id)

    @rule(name=user)
    def leave(self, name: str) -> None:
        self.show_up(name)
        self.ask(self.service.leave, name)

    @rule(name=user, other=user)
    def kick(self, name: str, other: str) -> None:
        self.show_up(name)
        self.ask(self.service.kick, name, other)

    @rule(name=user, other=user)
    def promote(self, name: str, other: str) -> None:
        self.show_up(name)
        self.ask(self.service.promote, name, other)

    @precondition(lambda self: any(self.truth().values()))
    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 4.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.service.expire(self.now))

    # --------------------------------------------------------------- what must hold

    @invariant()
    def a_party_is_sound(self) -> None:
        members: list[str] = []
        for state in self.parties().values():
            names = [member["user"] for member in state["members"]]
            assert names
            assert state["leader"] in names
            assert len(names) <= state["max_size"] <= CONFIG.max_size
            assert len(state["invites"]) <= CONFIG.max_invites
            assert not {invite["user"] for invite in state["invites"]} & set(names)
            members += names
        assert len(members) == len(set(members)), "a user is in two parties"

    @invariant()
    def each_member_is_told_of_the_same_party(self) -> None:
        for name, state in self.truth().items():
            if state is not None:
                assert name in [member["user"] for member in state["members"]]
                assert state == self.parties()[state["id"]]

    @invariant()
    def members_are_away_without_a_connection(self) -> None:
        for state in self.parties().values():
            for member in state["members"]:
                expected = "online" if self.up(member["user"]) else "away"
                assert member["status"] == expected

    @invariant()
    def clients_know_the_truth(self) -> None:
        for name, state in self.truth().items():
            if self.up(name):
                known = self.known.get(name)
                assert essence(known) == essence(state)
                assert (known or {}).get("version") == (state or {}).get("version")

    @invariant()
    def clients_know_their_invites(self) -> None:
        for name in USERS:
            inviting = {
                id
                for id, state in self.parties().items()
                if name in [invite["user"] for invite in state["invites"]]
            }
            if self.up(name):
                assert self.invited[name] == inviting
            assert len(inviting) <= CONFIG.max_invites

    @invariant()
    def a_partys_room_has_its_members_connections(self) -> None:
        for session, rooms in self.rooms.items():
            state = self.truth()[self.owner(session)]
            allowed = set() if state is None else {f"party:{state['id']}"}
            assert rooms == allowed
            for id in self.parties():
                stranger = f"party:{id}" not in allowed
                said = self.service.may_join(self.owner(session), f"party:{id}")
                assert said is (False if stranger else None)

    def parties(self) -> dict[str, dict[str, Any]]:
        return {state["id"]: state for state in self.truth().values() if state}


def essence(state: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a state without what time alone changes, and without its version."""
    if state is None:
        return None
    invites = [(invite["user"], invite["from"]) for invite in state["invites"]]
    return {**state, "invites": invites, "version": None}


TestParties = Parties.TestCase
TestParties.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
