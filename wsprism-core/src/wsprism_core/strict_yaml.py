"""YAML without its surprises: no tags that run code, no key twice."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ("YamlError", "parse")

#: The text is no YAML, or has a key twice; says where.
YamlError = yaml.YAMLError


def parse(text: str) -> Any:
    """Return what a YAML document holds.

    Raises:
        YamlError: It is no YAML, or a key stands twice in one mapping.
    """
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """A safe loader for which a key that stands twice is a fault."""


def _mapping_without_duplicates(
    loader: _Loader, node: yaml.MappingNode
) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if isinstance(key, list | dict):
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
