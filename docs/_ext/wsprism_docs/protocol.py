"""The wire: tables of `wsprism_core.protocol.layout`, and the golden vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from wsprism_core.protocol import layout
from wsprism_core.realtime import lanes
from wsprism_docs.generated import GeneratedDirective, code, table

__all__ = ("Vectors", "WireTable")

_VECTORS: Final = Path(__file__).parents[3] / "tests" / "vectors"


class WireTable(GeneratedDirective):
    """One table of the wire, named by the argument."""

    tables: ClassVar[Mapping[str, Callable[[WireTable], Iterable[str]]]]

    def markdown(self) -> Iterable[str]:
        """Yield the table."""
        try:
            make = self.tables[self.arguments[0]]
        except KeyError:
            raise self.error(f"no table {self.arguments[0]!r}") from None
        return make(self)

    def envelope(self) -> Iterable[str]:
        """Yield the fields of an envelope."""
        rows = (
            (code(f.name), f.type, _mark(f.inbound), _mark(f.outbound), _text(f))
            for f in layout.ENVELOPE_FIELDS
        )
        return table(("field", "type", "in", "out", "meaning"), rows)

    def envelope_flags(self) -> Iterable[str]:
        """Yield the bits of `flags`."""
        return self._members(layout.EnvelopeFlag, "bit", "{:#04x}")

    def hot_header(self) -> Iterable[str]:
        """Yield the fields of a hot frame's header."""
        rows = (
            (
                code(f.name),
                f.type,
                "always" if f.flag is None else code(f.flag.name),
                _text(f),
            )
            for f in layout.HOT_HEADER_FIELDS
        )
        return table(("field", "type", "present", "meaning"), rows)

    def hot_flags(self) -> Iterable[str]:
        """Yield the bits of a hot frame's flags."""
        return self._members(layout.HotFlag, "bit", "{:#04x}")

    def frame_kinds(self) -> Iterable[str]:
        """Yield the kinds of TCP frames."""
        return self._members(layout.FrameKind, "kind", "{}")

    def error_codes(self) -> Iterable[str]:
        """Yield the codes of `sys.error`."""
        said = self.meanings(layout.ErrorCode.__members__)
        return table(("code", "meaning"), ((code(n), said[n]) for n in said))

    def close_codes(self) -> Iterable[str]:
        """Yield the close codes."""
        codes = layout.CloseCode
        said = self.meanings(member.name for member in codes)
        rows = (
            (
                member.value,
                code(member.name),
                "yes" if member.reconnect else "no",
                said[member.name],
            )
            for member in codes
        )
        return table(("code", "name", "reconnect", "meaning"), rows)

    def service_ids(self) -> Iterable[str]:
        """Yield who owns which service id."""
        third, private = layout.THIRD_PARTY_SERVICE_IDS, layout.PRIVATE_SERVICE_IDS
        rows: list[tuple[str, str]] = [
            (str(number), code(name)) for name, number in layout.SERVICE_IDS.items()
        ]
        rows.append((f"{third[0]}-{third[-1]}", "third parties"))
        rows.append((f"{private[0]}-{private[-1]}", "private"))
        return table(("id", "owner"), rows)

    def lanes(self) -> Iterable[str]:
        """Yield the default lanes."""
        said = self.meanings(lane.name for lane in lanes.DEFAULT_LANES)
        rows = (
            (
                code(lane.name),
                f"{lane.max_bytes // 1024} KiB",
                lane.max_messages,
                said[lane.name],
            )
            for lane in lanes.DEFAULT_LANES
        )
        return table(("lane", "bytes", "messages", "what rides it"), rows)

    def delivery(self) -> Iterable[str]:
        """Yield the delivery classes."""
        said = self.meanings(each.value for each in lanes.Delivery)
        return table(("class", "meaning"), ((code(n), said[n]) for n in said))

    def _members(self, enum: Any, head: str, shape: str) -> Iterable[str]:
        said = self.meanings(enum.__members__)
        rows = (
            (shape.format(int(member)), code(name), said[name])
            for name, member in enum.__members__.items()
        )
        return table((head, "name", "meaning"), rows)


WireTable.tables = {
    "envelope": WireTable.envelope,
    "envelope-flags": WireTable.envelope_flags,
    "hot-header": WireTable.hot_header,
    "hot-flags": WireTable.hot_flags,
    "frame-kinds": WireTable.frame_kinds,
    "error-codes": WireTable.error_codes,
    "close-codes": WireTable.close_codes,
    "service-ids": WireTable.service_ids,
    "lanes": WireTable.lanes,
    "delivery": WireTable.delivery,
}


class Vectors(GeneratedDirective):
    """Golden vectors, by file and section: `hotframe inbound`."""

    required_arguments = 2
    has_content = False

    def markdown(self) -> Iterable[str]:
        """Yield a table of name, bytes and meaning."""
        file, section = self.arguments
        vectors = json.loads((_VECTORS / f"{file}.json").read_text(encoding="utf-8"))
        rows = (
            (row["name"], code(row["hex"]) if row["hex"] else "none", _outcome(row))
            for row in vectors[section]
        )
        return table(("what", "bytes, hex", "means"), rows)


def _outcome(row: dict[str, Any]) -> str:
    """Return what a vector says that its bytes are."""
    if "frames" in row:
        return _frames(row)
    if "error" in row:
        error = row["error"]
        if isinstance(error, int):
            return f"close {error}"
        strike = ", a strike" if error["strike"] else ""
        ref = "" if error["ref"] is None else f", `ref` {error['ref']}"
        return f"{code(error['code'])}{strike}{ref}"
    fields = row.get("frame") or {"code": row["code"], "reason": row["reason"]}
    said = (f"{key} {code(item)}" for key, item in fields.items() if item or item == 0)
    return ", ".join(said)


def _frames(row: dict[str, Any]) -> str:
    """Return what arrives of a TCP stream."""
    parts = [
        f"kind {each['kind']} {code(each['hex'])}"
        if each["hex"]
        else f"kind {each['kind']}, empty"
        for each in row["frames"]
    ]
    if "error" in row:
        parts.append(f"close {row['error']}")
    elif row["partial"]:
        parts.append("the beginning of a frame")
    return "; ".join(parts) or "nothing"


def _mark(present: bool) -> str:
    return "x" if present else ""


def _text(field: layout.EnvelopeField | layout.HotField) -> str:
    # The layout writes plain text; what looks like a pattern is one.
    return field.meaning if "[" not in field.meaning else code(field.meaning)
