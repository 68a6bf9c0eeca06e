from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.served import Served, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as one:
        yield one


@pytest.fixture(params=["ws", "tcp"])
def url(request: pytest.FixtureRequest, served: Served) -> str:
    """Where the gateway is, on each transport in turn."""
    return served.tcp if request.param == "tcp" else served.ws
