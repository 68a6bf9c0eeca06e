"""Which web pages may connect: the Origin header of a handshake (RFC 6455, 10.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

__all__ = ("OriginPolicy", "is_loopback")

#: Origins of this machine (RFC 6761, 6.3, and the loopback addresses), on any port.
_LOOPBACK: Final = re.compile(
    r"https?://(([a-z0-9-]+\.)*localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?\Z"
)


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches an address or name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # Any other name may mean any address; this one may not (RFC 6761, 6.3).
        return host.lower() == "localhost"


class OriginPolicy:
    """Allowed origins, matched whole: scheme, host and port.

    Args:
        allowed: Origins such as `https://app.example.com`, or `https://*.example.com`
            for every host below `example.com` (not itself); None allows any.
        loopback_only: Where nothing is configured, allow only pages that this machine
            serves: development tickets are good for whoever reaches the gateway, and
            any page that a developer visits runs on his machine.
    """

    def __init__(
        self, allowed: Sequence[str] | None, *, loopback_only: bool = False
    ) -> None:
        self._loopback = allowed is None and loopback_only
        self._any = allowed is None and not loopback_only
        self._exact = {origin for origin in allowed or () if "*" not in origin}
        self._below = [
            (scheme, suffix)
            for scheme, wildcard, suffix in (
                origin.partition("*") for origin in allowed or ()
            )
            if wildcard
        ]

    def allows(self, origins: Sequence[str]) -> bool:
        """Judge the Origin headers of one handshake; none is allowed.

        A client that sends no Origin is no browser page; a page cannot leave it out.
        """
        if self._any or not origins:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0].lower()
        if self._loopback:
            return _LOOPBACK.match(origin) is not None
        return origin in self._exact or any(
            origin.startswith(scheme)
            and origin.endswith(suffix)
            and self._is_hostname(origin[len(scheme) : len(origin) - len(suffix)])
            for scheme, suffix in self._below
        )

    @staticmethod
    def _is_hostname(label: str) -> bool:
        return bool(label) and all(c.isalnum() or c in "-." for c in label)
