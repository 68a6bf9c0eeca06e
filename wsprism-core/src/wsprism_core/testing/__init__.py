"""What plugin authors test with."""

from __future__ import annotations
