"""The gateway: what wires protocol, rooms, delivery, policy, plugins and transports.

The way of a message: `connection` decodes it, `ingress` checks it and finds its owner,
`handlers` runs the owner, `egress` performs what the owner returned. `admission`,
`sessions` and `rooms` are the desks where connections, sessions and memberships begin
and end. `gateway` puts them together.
"""

from __future__ import annotations

from wsprism_core.gateway.gateway import Gateway

__all__ = ("Gateway",)
