"""Which web pages may connect: the Origin header of a handshake (RFC 6455, 10.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

__all__ = ("OriginPolicy", "check_origin_pattern", "is_loopback")

#: Origins of this machine (RFC 6761, 6.3, and the loopback addresses), on any port.
_LOOPBACK: Final = re.compile(
    r"https?://(([a-z0-9-]+\.)*localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?\Z"
)

#: What a browser sends: no path, no user, no upper case, and no IDN but as punycode.
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:\*\.)?"
    r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?\Z"
)
#: Labels of a host, each with its dot: what `*.` stands for.
_LABELS: Final = re.compile(r"(?:[a-z0-9_-]+\.)+\Z")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def check_origin_pattern(pattern: str) -> str:
    """Return an allowed origin as it is compared.

    Raises:
        ValueError: No browser sends that, so that it would allow nobody, or it has a
            `*` that would allow more than it seems to; the message says what to write.
    """
    lowered = pattern.lower()
    match = _ORIGIN.match(lowered)
    if match is None:
        raise ValueError(
            f"{pattern!r} is no origin: write https://app.example.com, with a port if"
            " it is not the usual one and no path, or https://*.example.com for every"
            " host below example.com"
        )
    scheme, port = match.groups()
    if port is not None and port == _DEFAULT_PORTS.get(scheme):
        shorter = lowered.removesuffix(f":{port}")
        raise ValueError(f"{pattern!r}: browsers leave the usual port out; {shorter!r}")
    return lowered


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
            for every host below `example.com` (not itself); None allows any. No browser
            sends other forms, see `check_origin_pattern`.
        loopback_only: Where nothing is configured, allow only pages that this machine
            serves: development tickets are good for whoever reaches the gateway, and
            any page that a developer visits runs on his machine.

    Raises:
        ValueError: An allowed origin is none.
    """

    def __init__(
        self, allowed: Sequence[str] | None, *, loopback_only: bool = False
    ) -> None:
        self._loopback = allowed is None and loopback_only
        self._any = allowed is None and not loopback_only
        patterns = [check_origin_pattern(origin) for origin in allowed or ()]
        self._exact = {origin for origin in patterns if "*" not in origin}
        # With the dot in the suffix, evilexample.com does not end in it.
        self._below = [
            (scheme, f".{host}")
            for scheme, wildcard, host in (one.partition("*.") for one in patterns)
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
            and _LABELS.match(origin[len(scheme) : len(origin) - len(suffix) + 1])
            is not None
            for scheme, suffix in self._below
        )
