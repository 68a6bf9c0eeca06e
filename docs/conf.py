"""The documentation: `sphinx-build -W -n docs docs/_build/html`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

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
autodoc_default_options = {"members": True, "show-inheritance": False}
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# What `-n` may not find. Everything else that is named must have a page to link to.
nitpick_ignore_regex = [
    # The standard library and other projects: their inventories are on the network,
    # and this documentation builds without one.
    (r"py:.*", r"(asyncio|collections|contextlib|enum|logging|pathlib|random|re)\..*"),
    (r"py:.*", r"(click|pluggy|pydantic|pytest|websockets)\..*"),
]
