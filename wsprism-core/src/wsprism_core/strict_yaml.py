"""YAML without its surprises: no tags that run code, no key twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

import yaml

__all__ = ("Document", "YamlError", "parse")

#: The text is no YAML, or has a key twice; says where.
YamlError = yaml.YAMLError

#: What PyYAML says of an alias or a tag that there is not, before it shows which: that
#: may be a secret that begins so and has no quotes.
_QUOTES_FORGOTTEN: Final = (
    "found undefined alias",
    "found undefined tag handle",
    "could not determine a constructor for the tag",
)


class Document:
    """What a YAML text holds, and where in the text it stands.

    Args:
        value: What it holds.
        root: The node that the value was made of; None for an empty text.
    """

    def __init__(self, value: Any, root: yaml.Node | None) -> None:
        self.value = value
        self._root = root

    def line_of(self, path: Iterable[int | str]) -> int | None:
        """Return the line of a key or an item, or of the innermost around it.

        Args:
            path: Keys and indexes from the root. What is not there is passed over.
        """
        node = self._root
        if node is None:
            return None
        line: int = node.start_mark.line
        for part in path:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        line, node = key.start_mark.line, value
                        break
            elif isinstance(node, yaml.SequenceNode):
                if isinstance(part, int) and part < len(node.value):
                    node = node.value[part]
                    line = node.start_mark.line
        return line + 1


def parse(text: str) -> Document:
    """Read a YAML document.

    Raises:
        YamlError: It is no YAML, a key stands twice in one mapping, or a value is none
            of its kind.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        value = None if root is None else loader.construct_document(root)
    except RecursionError:
        raise YamlError("nested too deep") from None
    except yaml.MarkedYAMLError as error:
        if (error.problem or "").startswith(_QUOTES_FORGOTTEN):
            error.problem = "what begins with * or ! has to be in quotes"
        # It would show the text around it.
        error.problem_mark = _without_text(error.problem_mark)
        error.context_mark = _without_text(error.context_mark)
        raise
    finally:
        loader.dispose()
    return Document(value, root)


def _without_text(mark: yaml.Mark | None) -> yaml.Mark | None:
    if mark is None:
        return None
    return yaml.Mark(mark.name, mark.index, mark.line, mark.column, None, 0)


class _Loader(yaml.SafeLoader):
    """A safe loader for which a key that stands twice is a fault."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return what a node stands for; what it cannot stand for is a fault."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # A month 13, or `!!int` before a word: PyYAML lets these through.
            kind = node.tag.rpartition(":")[2]
            text = f"cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(
                None, None, text, node.start_mark
            ) from error


def _mapping_without_duplicates(
    loader: _Loader, node: yaml.MappingNode
) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):
            # PyYAML's own fault.
            continue
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates
)
