"""A gateway under test: the real one, on links in memory and in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

from wsprism_core.api import Gateway as PluginGateway
from wsprism_core.backplane.port import Backplane
from wsprism_core.config import Config, out_of_the_box
from wsprism_core.gateway import Gateway
from wsprism_core.metrics import Metrics
from wsprism_core.plugins import PluginSet
from wsprism_core.testing.client import ScriptedClient
from wsprism_core.testing.clock import VirtualClock
from wsprism_core.transports.memory import MemoryTransport

__all__ = ("GatewayHarness", "config_with")

#: How often the event loop goes round without anything happening before async handlers
#: are taken to wait for something else.
_QUIET_ROUNDS: Final = 25
#: Real seconds that an expectation waits for async handlers that wait for something
#: outside of the gateway, and between two looks.
_PATIENCE: Final = 1.0
_LOOK_AGAIN: Final = 0.001
#: Virtual seconds between two looks at a gateway that drains.
_DRAIN_STEP: Final = 0.05


class GatewayHarness:
    """A gateway with only the plugins named, and development tickets.

    Nothing happens by itself but what async handlers do: time stands still until
    `advance`, and handlers that sleep do so in real time.

    Args:
        plugins: Names of entry points, plugin classes or objects.
        config: Its configuration; None is that of a gateway without a file, which lets
            everything pass. See `config_with`.
        backplane: What carries rooms between gateways; None keeps them in memory.
        clock: Time; None is a clock of its own.
        seed: Of everything that is left to chance.

    Attributes:
        clock: Its time.
        gateway: The gateway; there once the harness is entered.

    Raises:
        WsPrismError: On entry, whatever refuses to start a gateway.
    """

    gateway: Gateway

    def __init__(
        self,
        *plugins: object,
        config: Config | None = None,
        backplane: Backplane | None = None,
        clock: VirtualClock | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock or VirtualClock()
        self._plugins = plugins
        self._config = config or out_of_the_box()
        self._backplane = backplane
        self._seed = seed
        self._transport = MemoryTransport()
        self._clients: list[ScriptedClient] = []
        self._bystanders: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Start the gateway and its plugins."""
        self._bystanders = asyncio.all_tasks()
        self.gateway = Gateway(
            self._config,
            PluginSet.load(
                [name for name in self._plugins if isinstance(name, str)],
                extra=[one for one in self._plugins if not isinstance(one, str)],
            ),
            self.clock,
            transports=[self._transport],
            backplane=self._backplane,
            development=True,
            chance=random.Random(self._seed),
        )
        await self.gateway.start()
        await self.settle()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the gateway and its plugins."""
        await self.gateway.stop()

    @property
    def api(self) -> PluginGateway:
        """The gateway as the first of its plugins sees it."""
        loaded = self.gateway.plugins.loaded
        return self.gateway.api_of(loaded[0].name if loaded else "")

    @property
    def metrics(self) -> Metrics:
        """What it has counted."""
        return self.gateway.metrics

    # ----------------------------------------------------------------- connecting

    @asynccontextmanager
    async def connect(
        self, user: str = "dev", *, tenant: str | None = None, codec: str = "json"
    ) -> AsyncIterator[ScriptedClient]:
        """Connect as a user, until the end of the `async with`.

        Args:
            user: Who it is, `ann` for the user id `user:ann`.
            tenant: Where; may be left out where the gateway has one tenant.
            codec: `json` or `msgpack`.

        Raises:
            AssertionError: The gateway does not let it in.
        """
        ticket = f"dev:{user}"
        if codec == "json":
            client = await self.dial(ticket=ticket, tenant=tenant, name=user)
        else:
            client = await self.dial(tenant=tenant, name=user, codec=codec)
            data = {"ticket": ticket, "codec": codec}
            await client.send_fields({"svc": "sys", "type": "auth", "data": data})
        client.authed = (await client.expect_push("sys.authed"))["data"]
        try:
            yield client
        finally:
            await client.close()

    async def dial(
        self,
        *,
        ticket: str | None = None,
        tenant: str | None = None,
        resume: str | None = None,
        address: str = "127.0.0.1",
        name: str = "the client",
        codec: str = "json",
    ) -> ScriptedClient:
        """Open a link and expect nothing of it, such as to be let in.

        Args:
            ticket: None sends none: `sys.auth` is due.
            tenant: As the client says it while connecting.
            resume: As the client says it while connecting.
            address: Where the client seems to be.
            name: What a failed expectation calls it.
            codec: How it encodes envelopes.
        """
        link = self._transport.connect(
            address=address, tenant=tenant, ticket=ticket, resume=resume
        )
        client = ScriptedClient(self, link, name, codec)
        self._clients.append(client)
        await self.settle()
        return client

    # ----------------------------------------------------------------------- time

    async def advance(self, seconds: float) -> None:
        """Let time pass: each timer runs at its time, with all that follows from it."""
        await self.settle()
        left = seconds
        while left > 0:
            left = self.clock.step(left)
            await self.settle()

    async def drain(self) -> None:
        """Drain the gateway, in virtual time."""
        draining = asyncio.ensure_future(self.gateway.drain())
        while not draining.done():
            await self.advance(_DRAIN_STEP)
        await draining

    async def settle(self) -> None:
        """Let everything happen that can happen at this moment."""
        quiet, busy = 0, self._busy()
        while quiet < (_QUIET_ROUNDS if busy else 1):
            await asyncio.sleep(0)
            moved = self.pump()
            was_busy, busy = busy, self._busy()
            # A task that has just ended may have left callbacks behind.
            quiet = 0 if moved or busy is not was_busy else quiet + 1

    def pump(self) -> bool:
        """Let everything happen that needs no event loop.

        Returns:
            Whether there was anything.
        """
        moved = False
        while self._pump_once():
            moved = True
        return moved

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait for a condition, as long as async handlers may still bring it about."""
        await self.settle()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while not met() and self._busy() and loop.time() < deadline:
            await asyncio.sleep(_LOOK_AGAIN)
            await self.settle()

    def complaints(self) -> Iterable[str]:
        """Yield a line for each plugin whose functions raised something."""
        for (plugin, hook), times in self.metrics.plugin_failures.items():
            yield f"plugin {plugin} failed in {hook}: {times}"

    def _pump_once(self) -> bool:
        moved = self.clock.settle()
        for client in self._clients:
            moved |= client.read()
        self._clients = [one for one in self._clients if one.closed is None]
        return moved

    def _busy(self) -> bool:
        """Whether there are tasks that did not exist before the gateway."""
        others = asyncio.all_tasks() - self._bystanders
        return bool(others - {asyncio.current_task()})


def config_with(
    *,
    gateway: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    plugins: Mapping[str, Mapping[str, Any]] | None = None,
    tenants: Iterable[str] = ("default",),
) -> Config:
    """Return the configuration of a gateway without a file, with changes.

    Args:
        gateway: Keys of the section `gateway`.
        limits: Keys of each tenant's `limits`.
        policy: Keys of each tenant's `policy`.
        plugins: The plugins' sections, by name.
        tenants: The tenants' ids.

    Raises:
        pydantic.ValidationError: A key or value is wrong.
    """
    default = out_of_the_box().model_dump()
    tenant = default["tenants"][0]
    changed = {"limits": limits or {}, "policy": policy or {}}
    return Config.model_validate(
        _merged(
            default,
            {
                "gateway": gateway or {},
                "plugins": plugins or {},
                "tenants": [_merged(tenant, {"id": id, **changed}) for id in tenants],
            },
        )
    )


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with changes, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged
