from __future__ import annotations

from wsprism_core.history.port import KeptMessage


def test_a_kept_message_is_told_as_an_envelope() -> None:
    kept = KeptMessage(7, 1_000, "chat", "msg", {"msg": "hi"})
    assert kept.envelope("lobby") == {
        "svc": "chat",
        "type": "msg",
        "room": "lobby",
        "seq": 7,
        "ts": 1_000,
        "data": {"msg": "hi"},
    }
