"""The pytest plugin: the fixture `gateway`.

pytest imports this module before coverage is measured, so it imports the rest of the
package where that is used. It needs pytest and no plugin for async tests: what the
fixture returns works under any that runs them on asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wsprism_core.testing.harness import GatewayHarness

__all__ = ("gateway",)


@pytest.fixture
def gateway() -> type[GatewayHarness]:
    """Make a gateway in memory; see `wsprism_core.testing`."""
    from wsprism_core.testing.harness import GatewayHarness

    return GatewayHarness
