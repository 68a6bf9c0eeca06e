"""Pages of history do not hold up what is live: counted in messages, not in seconds."""

from __future__ import annotations

import pytest

from wsprism_core.testing import GatewayHarness, ScriptedClient, config_with

#: Messages of a page, and bytes of each.
LIMIT, SIZE = 50, 200
#: Pages that one reader asks for at once.
PAGES = 12
#: Bytes a second of a reader for whom a page takes a second.
RATE = 15_000


async def read_in_order(client: ScriptedClient, before: int) -> list[str]:
    """Return the types of what a slow reader has got since then, in order."""
    got = [one for one in client.unread[before:] if isinstance(one, dict)]
    return [one["type"] for one in got]


@pytest.mark.parametrize("asked", [1, PAGES])
async def test_a_live_message_waits_for_the_page_under_way_and_no_other(
    gateway: type[GatewayHarness], asked: int
) -> None:
    config = config_with(policy={"rate_limit_rps": 0, "ext_allowlist": ["*:*"]})
    async with (
        gateway("chat", config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await ann.join("lobby")
        await bob.join("lobby")
        for n in range(LIMIT):
            say = {"msg": str(n).ljust(SIZE, ".")}
            await ann.request("chat", "send", say, room="lobby")
        await gw.advance(1)
        await bob.read_all()
        bob.slow(RATE, buffer=1_024)
        for _ in range(asked):
            await bob.send("chat", "history", {"limit": LIMIT}, room="lobby")
        for n in range(10):
            before = len(bob.unread)
            await ann.request("chat", "send", {"msg": f"live {n}"}, room="lobby")
            while "msg" not in (types := await read_in_order(bob, before)):
                await gw.advance(0.1)
            assert types.index("msg") <= 1, types
            await gw.advance(0.3)
        # All that was asked for comes in the end.
        await gw.advance(2 * PAGES)
        assert (await read_in_order(bob, 0)).count("history") == asked
