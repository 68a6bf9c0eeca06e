"""Schemas: `data` against what the manifest says it looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, TypeAlias

import orjson
from pydantic import TypeAdapter, ValidationError

from wsprism_core.gateway.failures import STOPS_THE_PROCESS
from wsprism_core.manifest import Service
from wsprism_core.protocol.errors import ProtocolError
from wsprism_core.protocol.layout import ErrorCode

__all__ = ("Check", "compile_checks")

#: Returns the data that the service gets, or raises ProtocolError.
Check: TypeAlias = Callable[[Any], Any]

#: What pydantic calls it, in a dataclass and elsewhere.
_UNKNOWN_KEY: Final = ("unexpected_keyword_argument", "extra_forbidden")


def compile_checks(
    services: Iterable[Service], failed: Callable[[str, BaseException], None]
) -> dict[tuple[str, str], Check]:
    """Return a check for each inbound type that has a schema, by service and type.

    Args:
        services: The manifests.
        failed: Told of a service whose schema itself raised something, and what.
    """
    return {
        (service.name, kind.name): _compile(kind.schema, partial(failed, service.name))
        for service in services
        for kind in service.inbound
        if kind.schema is not None
    }


def _compile(schema: Any, failed: Callable[[BaseException], None]) -> Check:
    # As JSON, for that is what strictness is about: an object is as good as a dataclass
    # or a model there, and a string as good as an enum.
    validate = TypeAdapter(schema).validator.validate_json

    def check(data: Any) -> Any:
        try:
            return validate(orjson.dumps(data), strict=True, extra="forbid")
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            # Key names of the sender's own are not repeated: they may be anything.
            where = "" if fault["type"] in _UNKNOWN_KEY else _path(fault["loc"])
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, f"data{where}: {fault['msg']}"
            ) from None
        except STOPS_THE_PROCESS:
            raise
        except BaseException as error:
            failed(error)
            raise ProtocolError(ErrorCode.INTERNAL, "the service failed") from error

    return check


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)
