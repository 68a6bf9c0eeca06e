"""What an admin listener answers, for tests of what is shown of it."""

from __future__ import annotations

from typing import Any

from wsprism_core.realtime.lanes import DEFAULT_LANES

LANES = [lane.name for lane in DEFAULT_LANES]


def depth(lane: str, **values: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("messages", "bytes", "conflated", "dropped", "lost"), 0)
    return {"lane": lane, "oldest_s": None, **nothing, **values}


def session(id: str, **values: Any) -> dict[str, Any]:
    told = {
        "id": id,
        "user": f"user:{id}",
        "tenant": "acme",
        "age_s": 65.0,
        "messages": 0,
        "bytes": 0,
        "stalled_s": None,
        "lanes": [depth(lane) for lane in LANES],
    }
    return {**told, **values}


def lane(name: str, **values: Any) -> dict[str, Any]:
    waiting = ("messages_out", "waiting_messages", "waiting_bytes")
    counts = (*waiting, "conflated", "dropped", "lost", "overflowed")
    return {"lane": name, "out_per_s": 0.0, **dict.fromkeys(counts, 0), **values}


def reading(**values: Any) -> dict[str, Any]:
    slow = session(
        "a1",
        messages=7,
        bytes=4_096,
        stalled_s=2.5,
        lanes=[depth("interactive", messages=7, bytes=4_096, oldest_s=0.25, lost=3)],
    )
    told = {
        "overview": {
            "uptime_s": 7_500.0,
            "sessions": 1_234,
            "stalled": 1,
            "rooms": 2,
            "in_per_s": 12.34,
            "out_per_s": 5_678.9,
            "waiting_bytes": 4_096,
            "cpu": 0.5,
            "memory_bytes": 50 * 1024 * 1024,
            "loop_lag": {"p50": 0.0005, "p99": 0.002, "max": 0.3},
            "gc": [
                {"generation": 0, "count": 9, "max_s": 0.0001},
                {"generation": 1, "count": 2, "max_s": 0.004},
            ],
            "lanes": [
                lane(name, **({"lost": 3} if name == "interactive" else {}))
                for name in LANES
            ],
        },
        "sessions": {"items": [slow, session("b2")], "total": 1_234},
        "rooms": {
            "items": [
                {
                    "name": "lobby",
                    "tenant": "acme",
                    "published_per_s": 99.5,
                    "members": 40,
                    "audience": 41,
                    "seq": 1_000_000,
                }
            ],
            "total": 2,
        },
    }
    return {**told, **values}
