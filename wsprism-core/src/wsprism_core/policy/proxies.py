"""Whose address a connection counts under, where proxies stand in front of the gateway.

What a client says about itself is worth nothing, and what a proxy says about the client
is worth as much as the proxy. So headers are read only where the socket's other end is
trusted, and from the right: each proxy appends whom it was called by, and the first
that is not trusted itself is the last that a trusted one has seen. What stands further
left was sent by the client, and may be anything.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import islice
from typing import Final, TypeAlias

__all__ = ("MAX_HOPS", "TrustedProxies", "limiter_key", "parse_network")

#: Proxies that are followed; behind so many the socket's address counts.
MAX_HOPS: Final = 1000
#: What is handed out to one customer, and so the least that tells two apart (RFC 6177).
_IPV6_PREFIX: Final = 64

#: One `name=value` of a Forwarded element (RFC 7239, section 4).
_PAIR: Final = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="
    r"(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|\"((?:[^\"\\]|\\.)*)\")[ \t]*"
)
#: An address with a port behind it; IPv6 has brackets then.
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?\Z")

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network


class TrustedProxies:
    """The proxies whose word about their clients counts.

    Args:
        networks: Networks such as `10.0.0.0/8` or `2001:db8::/32`, or single addresses.

    Raises:
        ValueError: One is neither.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(parse_network(network) for network in networks)

    def trusts(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        # Asked of every connection, most of which know no proxy.
        if not self._networks:
            return False
        known = _parse(address.partition("%")[0])
        return known is not None and self._is_trusted(known)

    def client_of(
        self, peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str]
    ) -> str:
        """Return the address that a connection counts under.

        It is the peer's, where the peer is not trusted, and where its headers name no
        client: they are missing, hold no address or more hops than are followed, know
        trusted proxies alone, or contradict one another (a proxy that writes one of
        them passes the other on as the client sent it).

        Args:
            peer: The address of the socket's other end.
            forwarded: Every `Forwarded` header, in the order in which they came.
            x_forwarded_for: Every `X-Forwarded-For` header.
        """
        if not (forwarded or x_forwarded_for) or not self.trusts(peer):
            return peer
        named = []
        if forwarded:
            named.append(self._first_stranger(_forwarded_hops(forwarded)))
        if x_forwarded_for:
            named.append(self._first_stranger(_listed_hops(x_forwarded_for)))
        client = named[0]
        if client is None or client != named[-1]:
            return peer
        return str(client)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def _first_stranger(self, hops: Iterator[_Address | None]) -> _Address | None:
        """Return the first hop that is not trusted, None where there is none."""
        for hop in islice(hops, MAX_HOPS):
            if hop is None or not self._is_trusted(hop):
                return hop
        return None


def parse_network(text: str) -> _Network:
    """Return a network, or a single address as one.

    Raises:
        ValueError: It is neither; the message is for whoever wrote it.
    """
    if "%" not in text:
        with contextlib.suppress(ValueError):
            return ip_network(text)
    hint = ""
    with contextlib.suppress(ValueError):
        hint = f"; did you mean {str(ip_network(text, strict=False))!r}?"
    raise ValueError(
        f"{text!r} is no network such as 10.0.0.0/8 or 2001:db8::/32{hint}"
    )


def limiter_key(address: str) -> str:
    """Return what a client can't choose of its address, for limits by address.

    Whoever has one IPv6 address usually has the 2^64 of its network.
    """
    if ":" not in address:
        return address
    known = _parse(address.partition("%")[0])
    if not isinstance(known, IPv6Address):
        return address if known is None else str(known)
    return str(ip_network((known, _IPV6_PREFIX), strict=False))


def _parse(text: str) -> _Address | None:
    """Return an address, None where it is none; an IPv4 one in IPv6 clothes is IPv4."""
    if "%" in text:
        # A zone means something on the machine alone that wrote it.
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _parse_hop(text: str) -> _Address | None:
    """Return the address of a hop, which may have a port."""
    match = _WITH_PORT.match(text)
    if match is None:
        return _parse(text)
    return _parse(match[1] if match[1] is not None else match[2])


def _listed_hops(values: Sequence[str]) -> Iterator[_Address | None]:
    """Yield the hops of `X-Forwarded-For`, the last one first; None is no address."""
    for value in reversed(values):
        for hop in reversed(value.split(",")):
            yield _parse_hop(hop.strip(" \t"))


def _forwarded_hops(values: Sequence[str]) -> Iterator[_Address | None]:
    """Yield the hops of `Forwarded`, the last one first; None is no address."""
    for value in reversed(values):
        # Each line by itself: a quote that a client left open ends with its line.
        yield from reversed(_elements(value))


def _elements(value: str) -> list[_Address | None]:
    """Return the client of each element of one `Forwarded`, None where it is none."""
    clients: list[_Address | None] = []
    names: dict[str, str] = {}
    behind, at = ",", 0
    while behind:
        pair = _PAIR.match(value, at)
        if pair is None or pair[1].lower() in names:
            return [None]
        names[pair[1].lower()] = pair[2] or pair[3]
        at = pair.end()
        behind = value[at : at + 1]
        at += 1
        if behind == ";":
            continue
        if behind not in ("", ","):
            return [None]
        clients.append(_parse_hop(names.get("for", "")))
        names = {}
    return clients
