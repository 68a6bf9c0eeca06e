"""What clients do: a seeded choice of what happens next, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from simulation.clients import Client
from simulation.facts import EVENT, GAME, INPUT, stamped
from simulation.lab import TYPES
from wsprism_core.protocol.layout import FrameKind
from wsprism_game.gameplay.packets import Clock

__all__ = ("Traffic",)

#: Symbols that the market is asked for, and some that it does not have.
SYMBOLS: Final = ("BTC-USD", "ETH-USD", "SOL-USD", "EUR-USD", "*-USD", "ETH-*", "NONE")
CLOCK: Final = 5
#: Bytes a second.
SLOW_RATES: Final = (200.0, 2_000.0, 10_000.0, 50_000.0, 300_000.0)
BUFFERS: Final = (1_024, 4_096, 16_384)


class Traffic:
    """Chooses what happens next.

    Every seed has weights of its own, and leaves some things out altogether, so that
    rare combinations come up.

    Args:
        chance: Where choices come from.
        clients: Who can do something.
        rooms: The names of the rooms; tenants use the same ones.
        stamp: Returns the next stamp.
        connect: Connects a client, one that wants to go on in its session or not.
    """

    def __init__(
        self,
        chance: Random,
        clients: list[Client],
        rooms: list[str],
        stamp: Callable[[], int],
        connect: Callable[[Client, int | None, float | None, bool], None],
    ) -> None:
        self._chance = chance
        self._clients = clients
        self._rooms = rooms
        self._stamp = stamp
        self._connect = connect
        acts: dict[Callable[[Client], Any], float] = {
            self.say: 20,
            self.flood: 1.5,
            self.play: 25,
            self.play_hard: 2,
            self.tell_time: 2,
            self.cast: 12,
            self.cast_much: 1.5,
            self.cast_too_much: 0.5,
            self.push: 4,
            self.push_much: 1,
            self.pull: 6,
            self.subscribe: 2,
            self.unsubscribe: 1,
            self.party: 4,
            self.look_back: 1,
            self.page_members: 1,
            self.ping: 2,
            self.ping_much: 0.5,
            self.join: 4,
            self.leave: 3,
            self.fetch: 4,
            self.talk_nonsense: 0.3,
            self.slow_down: 2,
            self.speed_up: 2,
            self.stall: 1.5,
            self.hang: 0.5,
            self.say_goodbye: 1,
            self.drop: 1,
            self.change_line: 1,
            self.rejoin_and_drop: 1,
        }
        swarm = (0.0, 0.5, 1.0, 1.0, 1.0, 3.0)
        self._acts = list(acts)
        self._weights = [weight * chance.choice(swarm) for weight in acts.values()]
        self._weights[0] += 1

    def act(self) -> tuple[str, str, Any]:
        """Let somebody do something; return who, what and how much."""
        client = self._chance.choice(self._clients)
        if not client.is_open:
            # Not all want to go on where they were.
            resume = self._chance.random() < 0.8
            buffer, rate = self.line()
            self._connect(client, buffer, rate, resume)
            self.join(client)
            return client.name, "connect", (buffer, rate, resume)
        (act,) = self._chance.choices(self._acts, self._weights)
        return client.name, act.__name__, act(client)

    def line(self) -> tuple[int | None, float | None]:
        """Return the buffer and rate of a link: most are fast."""
        if self._chance.random() < 0.7:
            return None, None
        return self._chance.choice(BUFFERS), self._chance.choice(SLOW_RATES)

    # ------------------------------------------------------------------- messages

    def say(self, client: Client) -> Any:
        room = self._room_of(client)
        size = self._chance.choice((20, 20, 100, 400, 3_000))
        data = {"msg": stamped(client.tenant, self._stamp(), size)}
        if self._chance.random() < 0.1:
            data["id"] = f"{self._chance.randrange(5)}"
        client.send("chat", "send", data, room=room, ask=self._chance.random() < 0.5)
        return room, size

    def flood(self, client: Client) -> Any:
        room = self._room_of(client)
        count = self._chance.choice((10, 30, 100))
        size = self._chance.choice((40, 400, 3_900))
        for _ in range(count):
            data = {"msg": stamped(client.tenant, self._stamp(), size)}
            client.send("chat", "send", data, room=room)
        return room, count, size

    def play(self, client: Client) -> Any:
        room = self._seat(client)
        if room is not None:
            size = self._chance.choice((16, 64, 1_000))
            self._frame(client, self._chance.choice((INPUT, INPUT, EVENT)), size, room)
        return room

    def play_hard(self, client: Client) -> Any:
        room = self._seat(client)
        count, opcode = self._chance.choice((20, 80)), self._chance.choice((1, 2))
        if room is not None:
            for _ in range(count):
                self._frame(client, opcode, 900, room)
        return room, opcode, count

    def tell_time(self, client: Client) -> None:
        client.send_frame(GAME, CLOCK, Clock(client_us=self._stamp()).pack())

    def cast(self, client: Client) -> Any:
        return self._lab(client, "cast", self._chance.choice((1, 1, 4)))

    def cast_much(self, client: Client) -> Any:
        return self._lab(client, "cast", self._chance.choice((20, 50, 150)))

    def cast_too_much(self, client: Client) -> Any:
        """Ask for a message that is larger than its lane takes, or nearly so."""
        return self._lab(client, "cast", 1, self._chance.choice((60_000, 140_000)))

    def push(self, client: Client) -> Any:
        return self._lab(client, "push", self._chance.choice((1, 4)))

    def push_much(self, client: Client) -> Any:
        return self._lab(client, "push", self._chance.choice((50, 50, 200, 1_500)))

    def pull(self, client: Client) -> Any:
        room, key = self._room_of(client), self._chance.randrange(3)
        data = {"key": key, "room": self._chance.random() < 0.3}
        client.send("lab", "pull", data, room=room, ask=self._chance.random() < 0.3)
        return room, key

    def subscribe(self, client: Client) -> Any:
        names = self._chance.sample(SYMBOLS, 2)
        client.send("market", "subscribe", {"symbols": names}, ask=True)
        return names

    def unsubscribe(self, client: Client) -> Any:
        names = self._chance.sample(SYMBOLS, 2)
        client.send("market", "unsubscribe", {"symbols": names}, ask=True)
        return names

    def party(self, client: Client) -> Any:
        type = self._chance.choice(("create", "invite", "invite", "accept", "leave"))
        data: dict[str, Any] | None = None
        if type == "invite":
            data = {"user": f"user:{self._chance.choice(self._clients).user}"}
        elif type == "accept":
            if not client.parties:
                return None
            data = {"party": self._chance.choice(list(client.parties))}
        client.send("party", type, data, ask=True)
        return type, data

    def look_back(self, client: Client) -> Any:
        room = self._room_of(client)
        client.send("chat", "history", {"limit": 50}, room=room, ask=True)
        return room

    def page_members(self, client: Client) -> Any:
        room = self._room_of(client)
        client.send("room", "members", {}, room=room, ask=True)
        return room

    def ping(self, client: Client) -> None:
        client.send("sys", "ping", {"client_ts": 1}, ask=True)

    def ping_much(self, client: Client) -> Any:
        count = self._chance.choice((50, 300))
        assert client.link is not None
        for _ in range(count):
            client.link.send(FrameKind.PING, b"x" * 100)
        return count

    def join(self, client: Client) -> Any:
        # Some rooms are much fuller than others.
        place = int(len(self._rooms) * self._chance.random() ** 2)
        room = self._rooms[place]
        after = client.seen.get(room) if self._chance.random() < 0.7 else None
        client.join(room, after=None if room in client.seats else after)
        return room, after

    def fetch(self, client: Client) -> Any:
        """Ask again for some of what came last in a room, as after a `sys.lost`."""
        room = self._seat(client)
        if room is None:
            return None
        seat = client.seats[room]
        back = self._chance.choice((0, 1, 10, 50, 500))
        client.join(room, after=(seat.epoch, max(0, seat.seq - back)))
        return room, back

    def leave(self, client: Client) -> Any:
        room = self._seat(client)
        if room is not None:
            client.leave(room)
            if self._chance.random() < 0.3:
                client.join(room)
        return room

    def talk_nonsense(self, client: Client) -> None:
        assert client.link is not None
        client.link.send(FrameKind.TEXT, b'{"svc":')

    # ---------------------------------------------------------------------- links

    def slow_down(self, client: Client) -> Any:
        assert client.link is not None
        client.prompt = False
        client.link.rate = self._chance.choice(SLOW_RATES)
        client.link.pipe.capacity = self._chance.choice(BUFFERS)
        client.link.pipe_changed()
        return client.link.rate

    def speed_up(self, client: Client) -> None:
        assert client.link is not None
        client.link.rate = None
        client.link.pipe.capacity = None
        client.link.pipe_changed()
        client.link.touch()

    def stall(self, client: Client) -> None:
        assert client.link is not None
        client.prompt = False
        client.link.rate = 0.0
        client.link.pipe.capacity = self._chance.choice(BUFFERS)
        client.link.pipe_changed()

    def hang(self, client: Client) -> None:
        """Be gone without a word: the gateway does not know."""
        assert client.link is not None
        self.stall(client)
        client.link.alive = False

    def say_goodbye(self, client: Client) -> None:
        assert client.link is not None
        client.link.send(FrameKind.CLOSE, (1000).to_bytes(2, "big"))

    def drop(self, client: Client) -> None:
        assert client.link is not None
        client.link.drop()

    def rejoin_and_drop(self, client: Client) -> Any:
        """Lose the link right behind a join that goes on where it was."""
        room = self._seat(client)
        if room is not None:
            seat = client.seats[room]
            client.leave(room)
            client.join(room, after=(seat.epoch, seat.seq))
            self.drop(client)
        return room

    def change_line(self, client: Client) -> Any:
        """Come back on another link while the one before still seems to live."""
        if client.token is None:
            return None
        assert client.link is not None
        client.link.alive = False
        line = self.line()
        self._connect(client, *line, True)
        return line

    # ---------------------------------------------------------------------- parts

    def _room_of(self, client: Client) -> str:
        """Return a room that the client is in, or now and then one that it is not."""
        seat = self._seat(client)
        if seat is None or self._chance.random() < 0.02:
            return self._chance.choice(self._rooms)
        return seat

    def _seat(self, client: Client) -> str | None:
        return self._chance.choice(list(client.seats)) if client.seats else None

    def _frame(self, client: Client, opcode: int, size: int, room: str) -> None:
        payload = stamped(client.tenant, self._stamp(), size).encode()
        ask = self._chance.random() < 0.1
        client.send_frame(GAME, opcode, payload, room=room, ask=ask)

    def _lab(self, client: Client, type: str, count: int, size: int = 0) -> Any:
        room = self._room_of(client)
        name, *_ = self._chance.choice(TYPES)
        if type == "push" and name == "record":
            name = "note"
        if name in ("spark", "dust") and not size:
            count *= 4
        size = size or self._chance.choice((40, 300, 1_500))
        data = {
            "type": name,
            "count": count,
            "size": size,
            "keys": self._chance.choice((1, 3, 20)),
            "others": name != "record" and self._chance.random() < 0.2,
        }
        client.send("lab", type, data, room=room, ask=self._chance.random() < 0.3)
        return room, name, count, size
