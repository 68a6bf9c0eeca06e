"""YAML without its surprises: no tags that run code, no key twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ("YamlError", "parse")

#: The text is no YAML, or has a key twice; says where.
YamlError = yaml.YAMLError


def parse(text: str) -> Any:
    """Return what a YAML document holds.

    Raises:
        YamlError: It is no YAML, a key stands twice in one mapping, or a value is none
            of its kind.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise YamlError("nested too deep") from None


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
