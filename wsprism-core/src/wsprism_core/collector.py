"""The garbage collector of a process that must not pause.

A collection takes time in proportion to what it looks at, and stops everything else
meanwhile. What the gateway itself lets go of is freed at once, by reference counts: a
closed connection leaves nothing to collect. So only the young are looked at, which also
finds the cycles of exceptions and tasks that plugins leave behind; the old, among them
every open session, are not.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ("THRESHOLDS", "short_pauses")

#: New objects until the youngest are looked at; so often until the middle ones are; and
#: so often, which is never, until the old ones are.
THRESHOLDS: Final = (700, 5, 1_000_000)


@contextmanager
def short_pauses() -> Iterator[Callable[[], None]]:
    """Collect only what is young, until the end of the `with`.

    Yields:
        A function to call once everything is there that lives to the end: it is never
        looked at again.
    """
    before = gc.get_threshold()
    if _has_generations():
        gc.set_threshold(*THRESHOLDS)
    try:
        yield _freeze
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def _has_generations() -> bool:
    """Whether the collector looks at one generation at a time (CPython up to 3.13).

    Later ones look at the old in small steps, and count them by the second threshold.
    """
    return sys.implementation.name == "cpython" and sys.version_info < (3, 14)
