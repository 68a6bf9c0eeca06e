from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.gateway_process import GatewayProcess, Gateways


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Starts a gateway with changes to its configuration; one for each such."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("looks at the gateway through /proc, which is Linux's")
    running: dict[str, GatewayProcess] = {}

    def gateway_with(
        config: Mapping[str, Any] | None = None, *options: str
    ) -> GatewayProcess:
        key = json.dumps([config, options], sort_keys=True)
        if key not in running:
            folder: Path = tmp_path_factory.mktemp("gateway")
            running[key] = GatewayProcess(folder, config or {}, options)
        return running[key]

    yield gateway_with
    assert [gateway.stop() for gateway in running.values()] == [0] * len(running)
