"""The garbage collector of a process that must not pause.

A collection takes time in proportion to what it looks at, and stops everything else
meanwhile. The gateway itself needs none, for a closed connection is freed at once by
reference counts. Plugins leave cycles behind now and then, and most of those are young.

So the collector runs by the clock: often over what is new, every second over what has
come lately. Where that is too much it is frozen, as what lives at the start is: it is
freed like everything else when nothing refers to it, but no cycle in it is found any
more, unless a collection of everything is asked for.
"""

from __future__ import annotations

import gc
from typing import Final

from wsprism_core.realtime.clock import Clock, Timer

__all__ = ("INTERVAL", "MOST", "Collector")

#: Seconds between two looks at what is new.
INTERVAL: Final = 0.05
#: Looks at what is new between two at what has come lately.
LOOKS: Final = 20
#: Objects that are looked at together, for some 2 ms; where more came, they are frozen.
MOST: Final = 10_000


class Collector:
    """Collects by the clock, in place of Python's own counting, until it is stopped.

    Python counts what was made and takes off what was freed. Where as many connections
    come as go, it would wait for long and then have much to look at.

    Args:
        clock: Time.
        full: Seconds between two collections of everything, which take long; 0 makes
            none.
    """

    def __init__(self, clock: Clock, *, full: float = 0.0) -> None:
        self._clock = clock
        self._full = full
        self._full_due = 0.0
        self._timer: Timer | None = None
        self._looks = 0

    def start(self) -> None:
        """Freeze what lives now, and begin."""
        gc.disable()
        self._collect_everything()
        self._arm()

    def stop(self) -> None:
        """Leave the collector to Python again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.unfreeze()
            gc.enable()

    def _arm(self) -> None:
        self._timer = self._clock.after(INTERVAL, self._look)

    def _look(self) -> None:
        # What is there after it counts as old.
        gc.collect(1)
        self._looks += 1
        if self._looks % LOOKS == 0:
            self._look_back()
        self._arm()

    def _look_back(self) -> None:
        """Look at what has come lately, or freeze it where that would take too long."""
        if self._full and self._clock.now() >= self._full_due:
            self._collect_everything()
        elif len(gc.get_objects(2)) > MOST:
            gc.freeze()
        else:
            gc.collect(2)

    def _collect_everything(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._full_due = self._clock.now() + self._full
