"""A recording as a test: the same inputs must give the same messages."""

from __future__ import annotations

import asyncio
from pathlib import Path

from wsprism_core.config import Config
from wsprism_core.plugins import PluginSet
from wsprism_core.recording.replayer import Replay
from wsprism_core.recording.replayer import replay as play

__all__ = ("replay",)


def replay(path: Path | str, *plugins: object, config: Config | None = None) -> Replay:
    """Replay a recording that `wsprism run --record` made, in virtual time.

    It runs an event loop of its own, so a test that calls it is a plain function::

        def test_the_match_of_friday() -> None:
            result = replay("tests/friday.rec")
            assert result.same, result

    Args:
        path: The file.
        plugins: Names of entry points, plugin classes or objects; where left out, those
            that the recording names.
        config: The configuration that it was recorded with; None is that of a gateway
            without a file.

    Raises:
        RecordingError: The file is no recording, or broken.
        ReplayError: It cannot be replayed here: a plugin or the configuration is
            missing.
        WsPrismError: Whatever else refuses to start a gateway.
    """
    loaded = None
    if plugins:
        loaded = PluginSet.load(
            [name for name in plugins if isinstance(name, str)],
            extra=[one for one in plugins if not isinstance(one, str)],
        )
    return asyncio.run(play(Path(path), plugins=loaded, config=config))
