"""The configuration around its models: read, overridden, described, its faults told."""

from __future__ import annotations
