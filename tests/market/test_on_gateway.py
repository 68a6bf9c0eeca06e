"""Market data on the real gateway."""

from __future__ import annotations

from itertools import pairwise

from wsprism_core.testing import GatewayHarness, config_with
from wsprism_market.plugin import MarketPlugin


async def test_snapshots_then_live_then_updates_without_a_gap(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("market") as gw, gw.connect("ann") as ann:
        await gw.advance(2)
        answer = await ann.request("market", "subscribe", {"symbols": ["*"]})
        assert answer["type"] == "subscribed"
        seqs: dict[str, int] = {}
        live: list[str] = []
        await gw.advance(10)
        for got in await ann.read_all():
            assert isinstance(got, dict)
            data = got["data"]
            if got["type"] == "snapshot":
                assert not live
                seqs[data["symbol"]] = data["seq"]
            elif got["type"] == "live":
                live += data["symbols"]
            elif got["type"] == "ticker":
                assert data["symbol"] in live
                assert data["prev_seq"] == seqs[data["symbol"]]
                seqs[data["symbol"]] = data["seq"]
        assert set(seqs) == set(live)
        assert sum(seqs.values()) > 20


async def test_nothing_comes_after_unsubscribing(
    gateway: type[GatewayHarness],
) -> None:
    async with gateway("market") as gw, gw.connect("ann") as ann:
        await gw.advance(2)
        await ann.request("market", "subscribe", {"symbols": ["*"]})
        await ann.request("market", "unsubscribe", {"symbols": ["*"]})
        await ann.read_all()
        await gw.advance(10)
        ann.expect_nothing()


async def test_an_audience_is_no_company(gateway: type[GatewayHarness]) -> None:
    config = config_with(limits={"max_rooms_total": 1, "max_rooms_per_user": 1})
    async with (
        gateway("market", "chat", config=config) as gw,
        gw.connect("ann") as ann,
        gw.connect("bob") as bob,
    ):
        await gw.advance(2)
        for client in (ann, bob):
            await client.request("market", "subscribe", {"symbols": ["BTC-USD"]})
            await client.join("lobby")
        ref = await ann.send("room", "join", room="market:BTC-USD")
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        ref = await ann.send("chat", "send", {"msg": "hi"}, room="market:BTC-USD")
        await ann.expect_error("NOT_ALLOWED", ref=ref)
        ref = await ann.send("room", "leave", room="market:BTC-USD")
        await ann.expect_error("NOT_ALLOWED", ref=ref)


async def test_a_slow_reader_gets_the_newest_price(
    gateway: type[GatewayHarness],
) -> None:
    busy = {"market": {"source": {"kind": "random_walk", "per_second": 50}}}
    config = config_with(plugins=busy)
    async with gateway("market", config=config) as gw, gw.connect("ann") as ann:
        await gw.advance(2)
        await ann.request("market", "subscribe", {"symbols": ["*"]})
        await ann.read_all()
        ann.slow(2_000, buffer=1_024)
        await gw.advance(60)
        ann.slow(None)
        await gw.advance(0.05)
        tickers = [
            got["data"]
            for got in await ann.read_all()
            if isinstance(got, dict) and got["type"] == "ticker"
        ]
        prices = [one for one in tickers if one["symbol"] == "BTC-USD"]
        assert any(new["prev_seq"] > old["seq"] for old, new in pairwise(prices))
        assert ann.closed is None


async def test_handed_over_as_a_class_it_is_the_same(
    gateway: type[GatewayHarness],
) -> None:
    config = config_with(plugins={"market": {"max_subscriptions": 1}})
    async with gateway(MarketPlugin, config=config) as gw, gw.connect() as dev:
        await dev.request("market", "subscribe", {"symbols": ["BTC-USD"]})
        await dev.read_all()
        await dev.send("market", "subscribe", {"symbols": ["ETH-USD"]})
        await dev.expect_error("RESOURCE_EXHAUSTED")
