"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

# A loaded machine is no reason for a test to fail: pytest-timeout keeps the time.
settings.register_profile("wsprism", deadline=None)
settings.load_profile("wsprism")
