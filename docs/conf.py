"""The documentation: `sphinx-build -W -n docs docs/_build/html`."""

from __future__ import annotations

import sys
from enum import Enum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from wsprism_core import manifest
from wsprism_core.protocol import packets

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "wsPrism"
copyright = "the wsPrism authors"
release = version = installed_version("wsprism-core")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "wsprism_docs",
]
exclude_patterns = ["_build"]
needs_sphinx = "8.2"

html_theme = "furo"
html_title = f"wsPrism {release}"
html_copy_source = False
html_show_sphinx = False

# Docstrings write code in single backticks, as Markdown does.
default_role = "code"
highlight_language = "none"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    "Actions": "wsprism_core.Actions",
    "Publication": "wsprism_core.realtime.channel.Publication",
}
autodoc_default_options = {"members": True}
# The manifest imports these for type checkers alone; autodoc wants to look them up.
vars(manifest).update(BaseModel=pydantic.BaseModel, Packet=packets.Packet)
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# What `-n` may not find. Everything else that is named must have a page to link to.
nitpick_ignore_regex = [
    # The standard library and other projects: their inventories are on the network,
    # and this documentation builds without one.
    (
        r"py:.*",
        r"(asyncio|collections|contextlib|decimal|enum|pathlib|random|ssl|types)\..*",
    ),
    (r"py:.*", r"(click|pluggy|pydantic|pytest|websockets)\..*"),
    # A type variable is no thing of its own.
    (r"py:class", r"wsprism_core\.(protocol\.fields|realtime\.inputs)\.T"),
    # Insides that the testing API hands out; they have no promise and so no page.
    (r"py:class", r"wsprism_core\.(config\.Config|metrics\.Metrics)"),
    (r"py:class", r"(wsprism_core\.gateway\.gateway\.Gateway|MemoryClient)"),
    (r"py:class", r"wsprism_core\.testing\.clock\.VirtualTimer"),
    (r"py:class", r"wsprism_core\.client\.links\.Link"),
]


def _signature(
    app: Sphinx, what: str, name: str, obj: Any, *_: object
) -> tuple[str, str] | None:
    """Show no constructor where nobody calls one: of protocols and of enums."""
    if what != "class":
        return None
    hidden = getattr(obj, "_is_protocol", False) or issubclass(obj, Enum)
    return ("", "") if hidden else None


def _escape(app: Sphinx, context: object, lines: list[str]) -> None:
    """Keep the backslashes of a command's help: it is text and no markup."""
    lines[:] = [line.replace("\\", "\\\\") for line in lines]


def setup(app: Sphinx) -> None:
    """Register what changes signatures and help texts."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("sphinx-click-process-description", _escape)
