"""The file that says which process a gateway is, for whoever wants to signal it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ("pid_file",)


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Keep the number of this process in a file for as long as it lasts.

    A file that is there is replaced at once, so that nobody reads half of it: one that
    a process left behind when it was killed must not keep the next from starting. At
    the end it is removed, unless another process has put its own there.

    Raises:
        OSError: It cannot be written.
    """
    number = f"{os.getpid()}\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(number)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text(encoding="ascii") == number:
                path.unlink()
