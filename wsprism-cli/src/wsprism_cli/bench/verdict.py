"""What a result means, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from wsprism_cli.bench.results import Measured, PhaseResult, Result

__all__ = ("duration", "judge", "size")

#: A load process that uses more of its core than this may be the limit.
BUSY: Final = 0.8
#: What else runs takes away no more than this, in cores, without being mentioned.
OTHERS: Final = 0.25
#: A load process that is later than this, at p99, tells in its percentiles of itself.
LATE: Final = 5_000_000
#: Growth of memory over a soak that is worth a second look.
GROWTH: Final = 0.1


def duration(ns: float) -> str:
    """Return a duration in nanoseconds for people: `380 us`, `4.1 ms`, `1.2 s`."""
    if ns < 999_500:
        return f"{ns / 1e3:.0f} us"
    if ns < 999_500_000:
        return f"{ns / 1e6:.3g} ms"
    return f"{ns / 1e9:.3g} s"


def size(count: float) -> str:
    """Return bytes for people: `12 KB`, `61 MB`."""
    if abs(count) < 999_500:
        return f"{count / 1e3:.3g} KB"
    return f"{count / 1e6:.0f} MB"


def judge(result: Result) -> None:
    """Fill in problems, warnings and summary."""
    result.problems = list(_problems(result))
    result.warnings = list(_warnings(result))
    result.summary = list(_SUMMARIES[result.scenario](result))


# ----------------------------------------------------------------- what went wrong


def _problems(result: Result) -> Iterator[str]:
    for code, count in sorted(result.closed.items()):
        if code == "refused":
            yield f"{_connections(count)} not let in again"
        else:
            yield f"{_connections(count)} closed, code {code}"
    for phase in result.phases:
        for one in phase.measured:
            # What is late has a delay, though it was received in no phase.
            if one.sent and not one.received and not one.delays.count:
                yield f"{phase.name}: nothing of {one.stream.name} came back"
            elif one.stream.senders and not one.sent:
                yield f"{phase.name}: nothing of {one.stream.name} could be sent"
    if (returns := result.returns) is not None:
        for reason, count in sorted(returns.refused.items()):
            yield f"{_sessions(count)} did not come back whole: {reason}"
        away = returns.dropped - returns.whole.count - sum(returns.refused.values())
        if away:
            yield f"{_sessions(away)} had not come back whole at the end"
    missing = sum(account.missing for account in result.accounts)
    repeated = sum(account.repeated for account in result.accounts)
    if missing:
        yield (
            f"{missing:,} chat messages neither came nor were inside the range of a"
            " sys.lost"
        )
    if repeated:
        yield f"{repeated:,} chat messages came, or were told of, twice"
    if result.sessions_left:
        yield f"{_connections(result.sessions_left)} still open after all hung up"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"


def _connections(count: int) -> str:
    return "1 connection was" if count == 1 else f"{count:,} connections were"


def _warnings(result: Result) -> Iterator[str]:
    if result.scenario == "storm":
        connects = result.connects
        yield from _limit("connecting", connects.client_cpu, connects.gateway_cpu)
    for phase in result.phases:
        yield from _limit(phase.name, phase.client_cpu, phase.gateway_cpu)
        if phase.others_cpu is not None and phase.others_cpu > OTHERS:
            yield (
                f"{phase.name}: other programs used {phase.others_cpu:.1f} cores of"
                " this machine meanwhile; measure again when it is quiet"
            )
        if (late := phase.lag.quantile(0.99)) > LATE:
            yield (
                f"{phase.name}: the load client itself was up to {duration(late)} late"
                " (p99), and that is in the delays"
            )
        for one in phase.measured:
            if one.unsent:
                yield (
                    f"{phase.name}: {one.unsent:,} messages of {one.stream.name} were"
                    " not sent: the gateway did not take them in time"
                )
    for code, count in sorted(result.errors.items()):
        yield f"the gateway refused {count:,} messages with {code}"
    if result.own and not result.load_cores:
        yield (
            "gateway and load share the cores of this machine, unpinned: expect less,"
            " and longer tails"
        )


def _limit(name: str, client: float, gateway: float | None) -> Iterator[str]:
    """Say so where the client, and not the gateway, used up its core."""
    # In a closed loop each waits for the other: the busier one is the limit.
    if client <= BUSY or (gateway is not None and gateway >= client):
        return
    beside = "" if gateway is None else f", the gateway only {gateway:.0%}"
    yield (
        f"{name}: the load client was the limit and not the gateway: it used"
        f" {client:.0%} of its core{beside}; the gateway can do more than this"
    )


# -------------------------------------------------------------------- what was seen


def _echo(result: Result) -> Iterator[str]:
    for phase in result.phases:
        (one,) = phase.measured
        clients = "1 client" if result.clients == 1 else f"{result.clients:,} clients"
        yield (
            f"A {_form(one)} comes back after {_p50(one)} (half of them), {_p99(one)}"
            f" (99 of 100): {phase.rate(one.stream.name):,.0f} round trips a second"
            f" over {clients}."
        )


def _fanout(result: Result) -> Iterator[str]:
    for phase in result.phases:
        (one,) = phase.measured
        rate = phase.rate(one.stream.name)
        text = (
            f"One room of {result.clients:,}: {rate:,.0f} {_form(one)}s delivered a"
            " second"
        )
        if phase.gateway_cpu:
            text += (
                f", with the gateway at {phase.gateway_cpu:.0%} of a core: that is"
                f" {rate / phase.gateway_cpu:,.0f} for each second of its processor"
            )
        yield text + "."


def _form(one: Measured) -> str:
    return "chat message" if one.stream.kind == "chat" else "hot frame"


def _flood(result: Result) -> Iterator[str]:
    calm, flood = result.phase("calm"), result.phase("flood")
    chat = flood.of("chat")
    yield (
        f"Chat flooded: {flood.rate('chat'):,.0f} messages delivered a second, in the"
        " same connections as game, market and control."
    )
    for one in flood.measured:
        if one is chat or not one.delays.count:
            continue
        before = calm.of(one.stream.name).delays.quantile(0.99)
        after = one.delays.quantile(0.99)
        yield (
            f"Meanwhile 99 of 100 {_WHAT[one.stream.name]} took at most"
            f" {duration(after)}; before the flood it was {duration(before)}"
            f" ({after / max(1, before):.1f} times as long)."
        )
    yield (
        f"The flood itself waits in the lane of chat: p99 {_p99(chat)}. "
        + _what_was_lost(flood)
    )


_WHAT: Final = {
    "control": "pings",
    "game": "inputs of the game",
    "market": "quotes of the market",
}


def _p50(one: Measured) -> str:
    return duration(one.delays.quantile(0.5))


def _p99(one: Measured) -> str:
    return duration(one.delays.quantile(0.99))


def _what_was_lost(phase: PhaseResult) -> str:
    counts = [one.counts for one in phase.measured]
    lost = sum(c.lost + c.dropped for c in counts if c is not None)
    conflated = sum(c.conflated for c in counts if c is not None)
    if not any(c is not None for c in counts):
        return "What was lost can't be said: the gateway shows no /metrics."
    if not lost and not conflated:
        return "Nothing was lost, and nothing was left out."
    return (
        f"{lost:,} messages were lost to readers who were too slow, who were told, and"
        f" {conflated:,} replaced by newer ones."
    )


def _slow(result: Result) -> Iterator[str]:
    phase = result.phase("slow")
    game = phase.of("game")
    yield (
        f"{len(result.accounts)} readers took 1 MB/s while chat alone was"
        f" {size(phase.of('chat').sent / phase.seconds * phase.of('chat').stream.size)}"
        f"/s. The state of the game that reached them was {_p50(game)} old (half of it)"
        f" and {_p99(game)} (99 of 100)."
    )
    received = sum(account.received for account in result.accounts)
    lost = sum(account.lost for account in result.accounts)
    missing = sum(account.missing for account in result.accounts)
    yield (
        f"Of the chat messages {received:,} came and {lost:,} were told of as a range"
        f" that can be fetched; {missing or 'none'} went in silence."
    )
    if not result.closed:
        yield "All sessions stayed open."
    yield from _memory(result, "slow")


def _storm(result: Result) -> Iterator[str]:
    connects = result.connects
    yield (
        f"{connects.count:,} clients connected, showed their tickets and joined a room"
        f" in {duration(connects.seconds * 1e9)}:"
        f" {connects.count / connects.seconds:,.0f} a second."
    )
    yield (f"99 of 100 were let in within {duration(connects.connect.quantile(0.99))}.")
    if connects.memory_each is not None:
        yield f"Each takes {size(connects.memory_each)} of the gateway's memory."


def _resume(result: Result) -> Iterator[str]:
    returns = result.returns
    assert returns is not None
    yield (
        f"{returns.dropped:,} connections dropped at once. The last one was back in its"
        f" session after {duration(returns.back.max)}, and had all that it had missed"
        f" after {duration(returns.whole.max)}; 99 of 100 had it after"
        f" {duration(returns.whole.quantile(0.99))}."
    )
    received = sum(account.received for account in result.accounts)
    missing = sum(account.missing for account in result.accounts)
    repeated = sum(account.repeated for account in result.accounts)
    yield (
        f"They received {received:,} messages, each in its place; {missing or 'none'}"
        f" were missing and {repeated or 'none'} came twice. {returns.again:,} more"
        " came again that nobody could know they had."
    )


def _history(result: Result) -> Iterator[str]:
    live, paging = result.phase("live"), result.phase("paging")
    before = live.of("chat").delays.quantile(0.99)
    after = paging.of("chat").delays.quantile(0.99)
    pages = paging.of("pages")
    yield (
        f"{pages.stream.senders} clients pulled {paging.rate('pages'):,.0f} pages of"
        f" history a second, each of which took {_p50(pages)} (half of them)."
    )
    yield (
        f"Meanwhile 99 of 100 live messages took at most {duration(after)}, to those"
        f" clients too; without the pages it was {duration(before)}"
        f" ({after / max(1, before):.1f} times as long)."
    )


def _soak(result: Result) -> Iterator[str]:
    phase = result.phase("soak")
    yield from (
        f"{one.stream.name}: p99 {_p99(one)}, the longest {duration(one.delays.max)}."
        for one in phase.measured
        if one.delays.count
    )
    if result.reconnects:
        yield f"{result.reconnects:,} clients hung up and came back."
    yield from _memory(result, "soak")
    if result.sessions_left == 0:
        yield "When all had hung up the gateway had no session left."


def _memory(result: Result, name: str) -> Iterator[str]:
    """Say how memory went: the second half beside the first."""
    seen = [one.memory for one in result.samples if one.memory is not None]
    if len(seen) < 4:
        return
    half = len(seen) // 2
    # The end of each half: what warms up at the beginning of the first is no leak.
    before, after = max(seen[half // 2 : half]), max(seen[half + half // 2 :])
    text = (
        f"The gateway's memory was {size(before)} half-way and {size(after)} at the end"
    )
    if after > before * (1 + GROWTH):
        text += (
            f": it grew by {after / before - 1:.0%}, which a longer run would explain"
        )
    yield text + "."


_SUMMARIES: Final[dict[str, Callable[[Result], Iterator[str]]]] = {
    "echo": _echo,
    "fanout": _fanout,
    "flood": _flood,
    "slow": _slow,
    "storm": _storm,
    "resume": _resume,
    "history": _history,
    "soak": _soak,
}
