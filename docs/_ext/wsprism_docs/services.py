"""One service, from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from wsprism_core import Inbound, Opcode, Outbound, Service
from wsprism_core.plugins import PluginSet
from wsprism_docs.generated import GeneratedDirective, code, table
from wsprism_docs.schemas import objects_of

__all__ = ("ServiceReference",)


class ServiceReference(GeneratedDirective):
    """Everything that a plugin's one service declares; the argument is its name."""

    has_content = False

    def markdown(self) -> Iterable[str]:
        """Yield what goes in, what comes out, and what it counts and offers."""
        (plugin,) = PluginSet.load([self.arguments[0]]).loaded
        (service,) = plugin.services
        yield f"{service.summary}. {_facts(service)}"
        yield f"Its plugin is {code(plugin.name)} of {code(plugin.distribution)}."
        yield from _inbound(service)
        yield from _outbound(service)
        yield from _opcodes(service)
        yield from _counters(service)


def _facts(service: Service) -> str:
    facts = [f"`svc` is {code(service.name)}"]
    if service.svc_id is not None:
        facts.append(f"`svc_id` is {service.svc_id}")
    facts.append(f"its lane is {code(service.lane)}")
    if service.offers:
        offers = ", ".join(map(code, service.offers))
        facts.append(f"it offers {offers} to other services")
    return f"{'; '.join(facts)}."


def _inbound(service: Service) -> Iterator[str]:
    if not service.inbound:
        return
    yield "\n**Messages from clients**"
    rows = (
        (
            code(kind.name),
            _meaning(kind),
            code(kind.room.value),
            code(kind.lane or service.lane),
        )
        for kind in service.inbound
    )
    yield from table(("type", "meaning", "room", "answers ride"), rows)
    yield from _data(service.inbound)


def _outbound(service: Service) -> Iterator[str]:
    if not service.outbound:
        return
    yield "\n**Messages to clients**"
    rows = (
        (
            code(kind.name),
            kind.summary,
            code(kind.lane or service.lane),
            code(kind.delivery.value),
            "yes" if kind.recoverable else "no",
        )
        for kind in service.outbound
    )
    yield from table(("type", "meaning", "lane", "delivery", "recoverable"), rows)
    yield from _data(service.outbound)


def _data(kinds: Iterable[Inbound] | Iterable[Outbound]) -> Iterator[str]:
    """Yield a table for each object in the `data` of some message types."""
    users: dict[str, list[str]] = {}
    shown = {}
    for kind in kinds:
        if kind.schema is not None:
            for place, each in enumerate(objects_of(kind.schema)):
                shown[each.name] = each
                users.setdefault(each.name, []).extend([kind.name] if not place else [])
    for name, each in shown.items():
        of = ", ".join(map(code, users[name]))
        yield f"\n`data` of {of}:" if of else f"\n{code(name)} within it:"
        rows = [
            (
                code(field.name),
                field.type if field.required else f"{field.type}; may be left out",
                field.meaning,
            )
            for field in each.fields
        ]
        if any(meaning for _, _, meaning in rows):
            yield from table(("field", "type", "meaning"), rows)
        else:
            yield from table(("field", "type"), (row[:2] for row in rows))


def _opcodes(service: Service) -> Iterator[str]:
    if not service.opcodes:
        return
    yield "\n**Hot frames**"
    rows = []
    for _, group in groupby(service.opcodes, key=_alike):
        first, *others = group
        last = others[-1] if others else first
        number = f"{first.number}-{last.number}" if others else f"{first.number}"
        name = f"{first.name} to {last.name}" if others else first.name
        rows.append(
            (
                number,
                code(name),
                _meaning(first),
                "both" if first.inbound else "out",
                code(first.room.value),
                code(first.delivery.value),
            )
        )
    yield from table(
        ("opcode", "name", "meaning", "direction", "room", "delivery"), rows
    )
    for opcode in service.opcodes:
        if opcode.layout is not None:
            sizes = " or ".join(map(str, opcode.layout.sizes))
            yield f"\nThe payload of {code(opcode.name)}, {sizes} bytes:"
            fields = opcode.layout.fields.items()
            yield from table(
                ("field", "type"), ((code(name), field) for name, field in fields)
            )


def _alike(opcode: Opcode) -> tuple[object, ...]:
    """Return what must be equal for opcodes to share a row."""
    return (
        opcode.summary,
        opcode.inbound,
        opcode.layout,
        opcode.room,
        opcode.lane,
        opcode.delivery,
        opcode.drop_stale,
    )


def _meaning(kind: Inbound | Opcode) -> str:
    """Return what one is for, and where of several only one counts."""
    told = [kind.summary]
    if isinstance(kind, Inbound) and kind.latest:
        key = "" if kind.key is None else f" of its {code(kind.key)}"
        told.append(f"while it waits, the newest{key} counts")
    if isinstance(kind, Inbound) and kind.dedup is not None:
        told.append(f"a retry is known by its {code(kind.dedup)}")
    if kind.drop_stale:
        told.append("stale and duplicate ones are dropped")
    return "; ".join(told)


def _counters(service: Service) -> Iterator[str]:
    if service.counters:
        yield "\n**Counters**"
        rows = ((code(name), help) for name, help in service.counters.items())
        yield from table(("counter", "meaning"), rows)
