"""Fuzzes every target in turn: `uv run poe fuzz`, or one of them for longer."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.corpus import CORPUS, TARGETS

#: The largest input, in bytes.
MAX_LENGTH = 4_096
#: Seconds after which one input has taken too long, which is a fault.
TIMEOUT = 5


def fuzz(name: str, seconds: int, found: Path) -> bool:
    """Fuzz one target, beginning with its corpus; return whether it stood."""
    print(f"{name}: {seconds} s", flush=True)  # noqa: T201 - a program's output
    (found / name).mkdir(parents=True, exist_ok=True)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LENGTH}",
        f"-timeout={TIMEOUT}",
        f"-artifact_prefix={found}/{name}-",
        "-verbosity=0",
        "-print_final_stats=1",
    )
    folders = (str(found / name), str(CORPUS / name))
    command = (sys.executable, "-m", "fuzz.one", name, *options, *folders)
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    """Fuzz what is asked for; return 1 where a fault was found."""
    parser = argparse.ArgumentParser(prog="poe fuzz", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--found", type=Path, help="where new inputs go")
    options = parser.parse_args()
    found = options.found or Path(tempfile.mkdtemp(prefix="wsprism-fuzz-"))
    names = [options.target] if options.target else TARGETS
    fallen = [name for name in names if not fuzz(name, options.seconds, found)]
    for name in fallen:
        hint = f"put {found}/{name}-crash-* into {CORPUS / name}, and mend the code"
        print(f"{name} has a fault: {hint}", file=sys.stderr)  # noqa: T201 - as above
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
