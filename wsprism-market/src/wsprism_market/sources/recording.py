"""A source that plays a recording: NDJSON or CSV, a quote on every line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from wsprism_market.quotes import MAX_MANTISSA, Quote, parse_quote
from wsprism_market.sources.port import BadLine, Due, Item
from wsprism_market.symbols import is_symbol

__all__ = ("FIELDS", "Recording")

#: What every record holds; anything else in it is passed over.
FIELDS: Final = ("ts", "symbol", "bid", "ask", "last")

_TIMESTAMP: Final = re.compile(r"[0-9]{1,16}\Z")

#: A line's fields by name. Texts and numbers are strings, so that no digit is lost.
Record: TypeAlias = Mapping[str, Any]


class Recording:
    """Quotes from a file, at the pace at which they were recorded or at another.

    A line that is no quote is told with its number and skipped.

    Args:
        path: `.csv`, whose first line names the columns; anything else is NDJSON.
        speed: 1 is as recorded, 2 twice as fast, 0 as fast as possible.
    """

    def __init__(self, path: str, speed: float) -> None:
        self._path = path
        self._speed = speed

    def play(self) -> Generator[Item, None, None]:
        """Yield the quotes and the bad lines, in the file's order, then end.

        Raises:
            OSError: The file cannot be opened.
            ValueError: The first line of a CSV file does not name the columns.
        """
        # Bytes that are no UTF-8 are escaped, so that they spoil one line at the most.
        with open(self._path, encoding="utf-8-sig", errors="backslashreplace") as lines:
            numbered = enumerate(lines, start=1)
            parse = self._parser(numbered)
            began: int | None = None
            for number, line in numbered:
                text = line.rstrip()
                if not text:
                    continue
                try:
                    quote = _to_quote(parse(text))
                except (ValueError, RecursionError) as error:
                    yield BadLine(f"{self._path}:{number}", str(error))
                    continue
                if began is None:
                    began = quote.ts
                yield Due(self._after(quote.ts - began), quote)

    def _after(self, elapsed_ms: int) -> float:
        return elapsed_ms / 1_000 / self._speed if self._speed else 0.0

    def _parser(self, lines: Iterator[tuple[int, str]]) -> Callable[[str], Record]:
        """Return what reads a line, once the head of the file is read."""
        if not self._path.endswith(".csv"):
            return _read_json
        _, head = next(lines, (1, ""))
        try:
            columns = _read_row(head.rstrip())
        except ValueError as error:
            raise ValueError(f"{self._path}:1: {error}") from None
        missing = [name for name in FIELDS if name not in columns]
        if missing:
            raise ValueError(f"{self._path}:1: no column {', '.join(missing)}")
        return partial(_read_csv, columns)


def _read_json(line: str) -> Record:
    try:
        record = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        # Its own text counts lines too, from 1 on every line.
        raise ValueError(f"no JSON: {error.msg} (column {error.colno})") from None
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    return record


def _read_csv(columns: Sequence[str], line: str) -> Record:
    row = _read_row(line)
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} columns instead of {len(columns)}")
    return dict(zip(columns, row, strict=True))


def _read_row(line: str) -> list[str]:
    # A row is a line: a quote left open must not swallow the lines behind it.
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from None
    return [field.strip() for field in rows[0]] if rows else []


def _to_quote(record: Record) -> Quote:
    for name in FIELDS:
        if not isinstance(record.get(name), str):
            raise ValueError(f"{name} is missing or neither text nor number")
    symbol, ts = record["symbol"], record["ts"]
    if not is_symbol(symbol):
        raise ValueError(f"no symbol: {symbol!r:.80}")
    if _TIMESTAMP.match(ts) is None or int(ts) > MAX_MANTISSA:
        raise ValueError(f"ts is no number of milliseconds: {ts!r:.40}")
    prices = {name: record[name] for name in ("bid", "ask", "last")}
    return parse_quote(symbol, int(ts), **prices)
