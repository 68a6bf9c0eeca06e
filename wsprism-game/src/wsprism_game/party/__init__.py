"""Parties: groups of users that stay together across rooms (svc `party`)."""

from __future__ import annotations

__all__ = ()
