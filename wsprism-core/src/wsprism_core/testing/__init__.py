"""What plugin authors test with: a real gateway, in memory, in virtual time.

pytest finds the fixture `gateway` by itself::

    async def test_everybody_in_the_room_hears_it(gateway):
        async with (
            gateway("chat") as gw,
            gw.connect(user="ann") as ann,
            gw.connect(user="bob") as bob,
        ):
            await ann.join("r1")
            await bob.join("r1")
            ref = await ann.send("chat", "send", {"msg": "hi"}, room="r1", ack=True)
            await ann.expect_push("chat.msg")
            await ann.expect_reply(ref)
            heard = await bob.expect_push("chat.msg")
            assert heard["data"]["msg"] == "hi"
            bob.expect_nothing()

The names here are loaded when they are first used, for pytest imports this package
before it measures coverage.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from wsprism_core.testing.client import ScriptedClient
    from wsprism_core.testing.clock import VirtualClock
    from wsprism_core.testing.harness import GatewayHarness, config_with
    from wsprism_core.testing.recordings import replay

__all__ = (
    "GatewayHarness",
    "ScriptedClient",
    "VirtualClock",
    "config_with",
    "replay",
)

_HOME: Final = {
    "GatewayHarness": "harness",
    "ScriptedClient": "client",
    "VirtualClock": "clock",
    "config_with": "harness",
    "replay": "recordings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
