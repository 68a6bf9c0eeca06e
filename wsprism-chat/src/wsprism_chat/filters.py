"""Filters: what a text has to pass before it is said.

A filter is a function of a text and where it stands. Another distribution offers one
in the entry point group `wsprism_chat.filters`, as a function that takes the options of
the configuration and returns the filter. It is called for every message and has to be
quick: while it thinks, the gateway does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, Protocol, TypeAlias

from wsprism_core import ErrorCode, EventLog, ProtocolError

__all__ = (
    "FILTERED",
    "FILTERS_GROUP",
    "FILTER_FAILURES",
    "Allow",
    "Filter",
    "FilterChain",
    "FilterInput",
    "MakeFilter",
    "Passed",
    "Reject",
    "Rewrite",
    "Shadow",
    "Verdict",
    "load_filters",
)

#: The entry point group that filters stand in.
FILTERS_GROUP: Final = "wsprism_chat.filters"
#: Counters: texts that a filter did not let pass as they were, and failures of filters.
FILTERED: Final = "chat_filtered"
FILTER_FAILURES: Final = "chat_filter_failures"


@dataclass(frozen=True, slots=True)
class FilterInput:
    """A text, and where it stands.

    Args:
        tenant: The tenant.
        room: The room that it is for.
        user: Who says it.
        text: What he says, as the filters before have left it.
        edit: Whether it is to replace what he said before.
    """

    tenant: str
    room: str
    user: str
    text: str
    edit: bool


@dataclass(frozen=True, slots=True)
class Allow:
    """Let it pass."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Let it pass with another text."""

    text: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse it, and tell the sender why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """Show it to its sender alone, who is not told."""


Verdict: TypeAlias = Allow | Rewrite | Reject | Shadow
Filter: TypeAlias = Callable[[FilterInput], Verdict]


class MakeFilter(Protocol):
    """What an entry point names."""

    def __call__(self, options: Mapping[str, Any]) -> Filter:
        """Return the filter.

        Args:
            options: What the configuration tells it.

        Raises:
            ValueError: They are wrong.
        """


@dataclass(frozen=True, slots=True)
class Passed:
    """What came of a text that was not refused.

    Args:
        text: How it is said.
        shadow: Whether its sender alone is to see it.
    """

    text: str
    shadow: bool = False


class FilterChain:
    """The filters that a text passes, one after the other.

    Args:
        filters: The filters and their names, in order.
        failure: What becomes of a text where a filter fails.
        max_length: The longest text that a filter may make of one, in characters.
        count: Adds one to a counter.
        log: Where failures are told.
    """

    def __init__(
        self,
        filters: Iterable[tuple[str, Filter]] = (),
        *,
        failure: Literal["reject", "allow"] = "reject",
        max_length: int = 4_000,
        count: Callable[[str], None] | None = None,
        log: EventLog | None = None,
    ) -> None:
        self._filters = tuple(filters)
        self._failure = failure
        self._max_length = max_length
        self._count = count
        self._log = log

    def __bool__(self) -> bool:
        return bool(self._filters)

    def run(self, given: FilterInput) -> Passed:
        """Ask every filter, until one refuses.

        Raises:
            ProtocolError: `NOT_ALLOWED`, a filter refuses it; `INTERNAL`, one failed.
        """
        shadow = False
        changed = False
        for name, one in self._filters:
            try:
                verdict = one(given)
                if isinstance(verdict, Rewrite):
                    given = replace(given, text=self._checked(verdict.text))
                elif not isinstance(verdict, Allow | Reject | Shadow):
                    raise TypeError(f"{verdict!r} is no verdict")
            except Exception as error:
                self._note(FILTER_FAILURES)
                if self._log is not None:
                    self._log.error("filter_failed", filter=name, exc=error)
                if self._failure == "reject":
                    raise ProtocolError(
                        ErrorCode.INTERNAL, "the message could not be checked"
                    ) from None
                continue
            if isinstance(verdict, Reject):
                self._note(FILTERED)
                raise ProtocolError(ErrorCode.NOT_ALLOWED, verdict.reason)
            shadow = shadow or isinstance(verdict, Shadow)
            changed = changed or not isinstance(verdict, Allow)
        if changed:
            self._note(FILTERED)
        return Passed(given.text, shadow)

    def _checked(self, text: str) -> str:
        if not 1 <= len(text) <= self._max_length:
            raise ValueError(f"it made a text of {len(text)} characters")
        return text

    def _note(self, counter: str) -> None:
        if self._count is not None:
            self._count(counter)


def load_filters(
    names: Iterable[str], options: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Filter]]:
    """Return the filters that a configuration names.

    Args:
        names: Their names, in order.
        options: What each is told, by name.

    Raises:
        ValueError: One is not installed, or twice, or refuses its options; or there are
            options for one that is not named.
    """
    names = list(names)
    for name in options:
        if name not in names:
            raise ValueError(
                f"chat: filter_options has {name!r}, which filters does not name"
            )
    installed: dict[str, list[EntryPoint]] = {}
    for found in entry_points(group=FILTERS_GROUP):
        installed.setdefault(found.name, []).append(found)
    filters: list[tuple[str, Filter]] = []
    for name in names:
        candidates = installed.get(name, [])
        if not candidates:
            known = ", ".join(sorted(installed)) or "none"
            raise ValueError(f"chat: no filter {name!r}; installed are {known}")
        if len(candidates) > 1:
            raise ValueError(
                f"chat: {len(candidates)} distributions offer a filter {name!r}; "
                "uninstall all but one"
            )
        make: MakeFilter = candidates[0].load()
        try:
            filters.append((name, make(options.get(name, {}))))
        except ValueError as error:
            raise ValueError(f"chat: filter_options.{name}: {error}") from error
    return filters
