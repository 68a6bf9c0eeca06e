"""Settings that hold for every test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A loaded machine is no reason for a test to fail: pytest-timeout keeps the time.
settings.register_profile("wsprism", deadline=None)
settings.load_profile("wsprism")


@pytest.fixture(autouse=True)
def _logging_is_each_test_s_own() -> Iterator[None]:
    """Commands that run in a test's own process configure its logging."""
    logger = logging.getLogger("wsprism")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    for handler in logger.handlers:
        if handler not in handlers:
            handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate
