"""Two filters that come with chat: words that are not said, and where links may lead.

Both are examples as much as tools: whoever means it has a list of his own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wsprism_chat.filters import (
    Allow,
    Filter,
    FilterInput,
    Reject,
    Rewrite,
    Shadow,
    Verdict,
)

__all__ = ("urls", "words")

_Options = TypeVar("_Options", bound=BaseModel)

#: What looks like a link: with a scheme, or as people write them.
_LINK: Final = re.compile(r"(?i)(?:\b[a-z][a-z0-9+.-]{0,30}://|\bwww\.)\S+")


class _WordOptions(BaseModel):
    """_Options of `words`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    words: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, max_length=10_000
    )
    action: Literal["rewrite", "reject", "shadow"] = "rewrite"


class _UrlOptions(BaseModel):
    """_Options of `urls`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    hosts: list[str] = Field(max_length=1_000)


def words(options: Mapping[str, Any]) -> Filter:
    """Return a filter of whole words, whatever their case.

    Args:
        options: `words`, and `action`: `rewrite` puts stars in their place, `reject`
            refuses the message, `shadow` shows it to its sender alone.

    Raises:
        ValueError: The options are wrong.
    """
    wanted = _checked(_WordOptions, options)
    alternatives = "|".join(map(re.escape, wanted.words))
    pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)

    def check(given: FilterInput) -> Verdict:
        if pattern.search(given.text) is None:
            return Allow()
        if wanted.action == "reject":
            return Reject("the message has a word that is not said here")
        if wanted.action == "shadow":
            return Shadow()
        return Rewrite(pattern.sub(lambda found: "*" * len(found[0]), given.text))

    return check


def urls(options: Mapping[str, Any]) -> Filter:
    """Return a filter of links: only to hosts that are named, and those below them.

    Args:
        options: `hosts`, such as `example.com`; none lets no link pass.

    Raises:
        ValueError: The options are wrong.
    """
    hosts = [host.lower() for host in _checked(_UrlOptions, options).hosts]

    def allowed(link: str) -> bool:
        host = _host_of(link)
        return any(host == one or host.endswith(f".{one}") for one in hosts)

    def check(given: FilterInput) -> Verdict:
        if all(allowed(link) for link in _LINK.findall(given.text)):
            return Allow()
        return Reject("the message has a link that is not allowed here")

    return check


def _host_of(link: str) -> str:
    """Return where a link leads; empty where nobody could say."""
    # Browsers read a backslash as a slash.
    link = link.replace("\\", "/")
    try:
        return (urlsplit(link if "://" in link else f"//{link}").hostname or "").lower()
    except ValueError:
        return ""


def _checked(model: type[_Options], given: Mapping[str, Any]) -> _Options:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
