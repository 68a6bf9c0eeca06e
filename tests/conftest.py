"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

# Two busy cores are no reason for a test to fail: pytest-timeout keeps the time.
settings.register_profile("wsprism", deadline=None)
settings.load_profile("wsprism")
