"""What all the directives have in common: rows in, a table out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import yaml
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from docutils import nodes

__all__ = ("GeneratedDirective", "code", "table")


class GeneratedDirective(SphinxDirective):
    """A directive that writes Markdown from what the source says."""

    required_arguments = 1
    has_content = True

    def markdown(self) -> Iterable[str]:
        """Yield lines of Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return what the Markdown makes."""
        # What it reads is code, so nobody knows when the page is out of date.
        self.env.note_reread()
        return self.parse_text_to_nodes("\n".join(self.markdown()))

    def meanings(
        self, names: Iterable[str], told: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return what the body says of each name; it must say it of exactly these.

        Args:
            names: The names.
            told: What the source says of them, where the body does not.
        """
        said = {**(told or {}), **(yaml.safe_load("\n".join(self.content)) or {})}
        known = list(names)
        if missing := [name for name in known if name not in said]:
            raise self.error(f"the body does not explain {', '.join(missing)}")
        if stray := [str(name) for name in said if name not in known]:
            raise self.error(f"the body explains {', '.join(stray)}: no such name")
        return {name: str(said[name]) for name in known}


def code(text: object) -> str:
    """Return an inline literal."""
    return f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Yield the lines of a table, with an empty line on each side."""
    yield ""
    yield _row(head)
    yield _row(["---"] * len(head))
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: Sequence[object]) -> str:
    texts = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |"
