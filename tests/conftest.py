"""Settings that hold for every test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from wsprism_core.compiled import IS_COMPILED

# A loaded machine is no reason for a test to fail: pytest-timeout keeps the time.
settings.register_profile("wsprism", deadline=None)
settings.load_profile("wsprism")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what a compiled gateway cannot be asked."""
    if IS_COMPILED:
        reason = "patches, subclasses or weakly refers to what is compiled here"
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(pytest.mark.skip(reason=reason))


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
