"""What a reader that is too slow gets, through the real services."""

from __future__ import annotations

from wsprism_core.testing import GatewayHarness


async def test_a_flood_of_chat_becomes_ranges_and_throws_nobody_out(
    gateway: type[GatewayHarness],
) -> None:
    async with (
        gateway("chat", "game") as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(0, buffer=4_096)
        for n in range(3_000):
            await ann.send("chat", "send", {"msg": f"{n} " + "x" * 500}, room="lobby")
            await ann.read_all()
        await ann.send_frame(1, 2, b"hit")
        bob.slow(None)
        await gw.advance(0.1)
        seqs: list[int] = []
        lost: list[int] = []
        frames = 0
        for got in await bob.read_all():
            if not isinstance(got, dict):
                frames += 1
            elif got["type"] == "lost":
                data = got["data"]
                assert data["room"] == "lobby"
                assert data["lane"] == "interactive"
                covered = range(data["from_seq"], data["to_seq"] + 1)
                assert data["count"] == len(covered)
                lost += covered
            elif got["type"] == "msg":
                seqs.append(got["seq"])
        assert sorted(seqs + lost) == list(range(1, 3_001))
        assert seqs == sorted(seqs)
        assert lost
        assert frames == 1
        assert bob.closed is None
