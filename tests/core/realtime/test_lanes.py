from __future__ import annotations

import pytest

from wsprism_core.realtime.lanes import DEFAULT_LANES, Lane, order_lanes


def test_the_default_order() -> None:
    names = [lane.name for lane in order_lanes()]
    assert names == ["control", "realtime", "market", "interactive", "bulk"]


def test_the_default_bounds() -> None:
    bounds = {lane.name: (lane.max_bytes, lane.max_messages) for lane in DEFAULT_LANES}
    assert bounds == {
        "control": (65_536, 256),
        "realtime": (262_144, 1_024),
        "market": (1_048_576, 4_096),
        "interactive": (1_048_576, 1_024),
        "bulk": (4_194_304, 4_096),
    }


def test_a_lane_of_a_plugin_comes_right_after_the_one_it_names() -> None:
    voice = Lane("voice", 1_000, 10, after="realtime")
    video = Lane("video", 1_000, 10, after="realtime")
    names = [lane.name for lane in order_lanes([voice, video])]
    assert names == [
        "control",
        "realtime",
        "voice",
        "video",
        "market",
        "interactive",
        "bulk",
    ]


def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="'market' is declared twice"):
        order_lanes([Lane("market", 1, 1, after="realtime")])


@pytest.mark.parametrize("after", [None, "voice"])
def test_a_lane_must_come_after_a_default_one(after: str | None) -> None:
    with pytest.raises(ValueError, match="none of control, realtime"):
        order_lanes([Lane("voice", 1, 1, after=after)])
