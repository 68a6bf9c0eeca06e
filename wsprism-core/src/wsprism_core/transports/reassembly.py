"""Messages that arrive in fragments (RFC 6455, section 5.4)."""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ("Fragments", "is_utf8")

_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Fragments:
    """One message that is not whole yet.

    Text is checked as it comes, so that what is no UTF-8 ends early. The size is not
    bounded here: that is what `ServerProtocol.max_message_size` does.

    Args:
        is_text: Whether its first fragment was a text frame.

    Attributes:
        count: Fragments so far, empty ones counted.
        is_text: As given.
    """

    __slots__ = ("_decoder", "_payload", "count", "is_text")

    def __init__(self, is_text: bool) -> None:
        self.is_text = is_text
        self.count = 0
        self._payload = bytearray()
        self._decoder = _utf8_decoder() if is_text else None

    def __len__(self) -> int:
        """Bytes of payload so far."""
        return len(self._payload)

    def add(self, data: bytes, *, last: bool) -> None:
        """Take the next fragment.

        Raises:
            UnicodeDecodeError: The text is no UTF-8, or ends within a character.
        """
        self.count += 1
        self._payload += data
        if self._decoder is not None:
            self._decoder.decode(data, last)

    def payload(self) -> bytes:
        """Return all of it."""
        return bytes(self._payload)


def is_utf8(payload: bytes) -> bool:
    """Whether a text is valid UTF-8 (RFC 3629)."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
