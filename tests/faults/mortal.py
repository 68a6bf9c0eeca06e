"""A gateway in a process of its own that may be killed, and started again."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

__all__ = ("MortalGateway",)

_CONFIG: Final = {
    "version": 1,
    "tenants": [
        {
            "id": "main",
            "limits": {"max_frame_bytes": 65_536},
            "policy": {
                "rate_limit_rps": 0,
                "ext_allowlist": ["*:*"],
                "sessions": {"max_sessions_per_user": 0},
            },
        }
    ],
}


class MortalGateway:
    """A gateway on one port and one file, however often it dies.

    Args:
        folder: Where its configuration, log and history are.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        history = {"file": str(folder / "history.db")}
        gateway = {"listen": f"127.0.0.1:{self.port}", "history": history}
        self._config = folder / "wsprism.yaml"
        self._config.write_text(yaml.safe_dump({**_CONFIG, "gateway": gateway}))
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the tenant; a ticket is to be added."""
        return f"ws://127.0.0.1:{self.port}/v1/ws?tenant=main"

    def start(self) -> None:
        main = "import sys; from wsprism_core.launcher import main; sys.exit(main())"
        line = [sys.executable, "-c", main, "run", "--dev", "--plugins", "chat"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*line, "--config", str(self._config)], stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)
