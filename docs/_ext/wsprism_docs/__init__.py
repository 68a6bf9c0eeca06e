"""Directives that make reference tables of the source while the pages are built.

What the source says (names, numbers, defaults) is read from it; what only people can
say stands in the directive's body, one `name: meaning` for each. A name that is missing
there or not in the source fails the build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsprism_docs.metrics import MetricTable
from wsprism_docs.protocol import Vectors, WireTable
from wsprism_docs.services import ServiceReference
from wsprism_docs.settings import OptionTable, SettingTable

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ("setup",)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("wire-table", WireTable)
    app.add_directive("vectors", Vectors)
    app.add_directive("service", ServiceReference)
    app.add_directive("settings", SettingTable)
    app.add_directive("options", OptionTable)
    app.add_directive("metrics", MetricTable)
    return {"version": "1", "parallel_read_safe": True}
