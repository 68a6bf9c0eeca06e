"""`wsprism check`: whether a gateway can run with a configuration file, and why not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsprism_cli.terminal import fail, printable, warn

if TYPE_CHECKING:
    from wsprism_core.config import TenantConfig
    from wsprism_core.options import RunOptions
    from wsprism_core.plugins import PluginSet
    from wsprism_core.runner import Prepared, RunError

__all__ = ("check",)

_EPILOG: Final = """\
\b
Examples:
  wsprism check wsprism.yaml
  wsprism check wsprism.yaml --strict --json
  wsprism check wsprism.yaml --explain acme chat:send
  wsprism check wsprism.yaml --explain acme 1:7
"""
_FRAME: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,3})\Z")
_TEXT: Final = re.compile(r"([a-z][a-z0-9_-]*):([A-Za-z0-9_.-]+)\Z")


@click.command(
    short_help="Say whether a configuration file can be used.", epilog=_EPILOG
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--plugins",
    metavar="NAMES",
    help="The plugins to check it with, such as chat,game; where left out, those that "
    "wsprism run would load.",
)
@click.option("--strict", is_flag=True, help="As wsprism run --strict.")
@click.option("--dev", is_flag=True, help="As wsprism run --dev.")
@click.option(
    "--explain",
    "asked",
    nargs=2,
    multiple=True,
    metavar="TENANT MESSAGE",
    help="Say whether a tenant may send a message, svc:type or id:opcode, and "
    "which rule decides.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def check(
    ctx: click.Context,
    file: Path,
    plugins: str | None,
    strict: bool,
    dev: bool,
    asked: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Say whether wsprism run --config FILE could start, and what is wrong if not.

    Nothing is started. The environment counts as it does for wsprism run. It exits with
    0 where the file can be used, warnings or not, and else with 2.
    """
    prepared, problems = _prepared(_options(file, plugins, strict=strict, dev=dev))
    explained = [_explained(prepared, *one) for one in asked] if prepared else []
    if as_json:
        answer = {
            "valid": not problems,
            "problems": problems,
            "warnings": list(prepared.warnings) if prepared else [],
            "explained": explained,
        }
        click.echo(json.dumps(answer, indent=2))
        ctx.exit(2 if problems else 0)
    if prepared is None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        fail(f"{file} cannot be used:\n{lines}", 2)
    for warning in prepared.warnings:
        warn(warning)
    for one in explained:
        click.echo(printable(f"{one['tenant']} {one['message']}: {one['why']}"))
    if not explained:
        click.echo(printable(f"{file} can be used"))


def _options(file: Path, plugins: str | None, *, strict: bool, dev: bool) -> RunOptions:
    import os

    from wsprism_core.options import RUN_OPTIONS, OptionError, run_options

    parsers = {option.name: option.parse for option in RUN_OPTIONS}
    given = {"config": file, "strict": strict, "dev": dev, "log_level": "error"}
    if plugins is not None:
        given["plugins"] = parsers["plugins"](plugins)
    try:
        return run_options(given, os.environ)
    except OptionError as error:
        fail(str(error), 2)


def _prepared(options: RunOptions) -> tuple[Prepared | None, list[str]]:
    """Return what would run, or None and why nothing would."""
    from wsprism_core.runner import RunError, check, prepare

    try:
        prepared = prepare(options)
        check(prepared)
    except RunError as error:
        return None, _problems(error)
    return prepared, []


def _problems(error: RunError) -> list[str]:
    """Return a line for each fault, without the file's name before them."""
    from wsprism_core.config import ConfigError

    cause = error.__cause__
    return cause.problems if isinstance(cause, ConfigError) else [str(error)]


# --------------------------------------------------------------------- explaining


def _explained(prepared: Prepared, tenant: str, message: str) -> dict[str, Any]:
    """Return whether a message may pass, and why."""
    by_id = {one.id: one for one in prepared.config.tenants}
    if tenant not in by_id:
        fail(f"there is no tenant {tenant!r}, but {', '.join(by_id)}", 2)
    passes, rule, why = _ruled(by_id[tenant], message)
    if passes and (missing := _missing(prepared.plugins, message)):
        why = f"{why}, but {missing}"
    return {
        "tenant": tenant,
        "message": message,
        "passes": passes,
        "rule": rule,
        "why": why,
    }


def _ruled(tenant: TenantConfig, message: str) -> tuple[bool, str | None, str]:
    """Return whether a message passes, the rule that decides, and all in words."""
    from wsprism_core.policy.ruling import rule_on_frame, rule_on_text

    patterns: Sequence[str]
    if (frame := _FRAME.match(message)) and max(map(int, frame.groups())) < 256:
        key, patterns = "hot_allowlist", tenant.policy.hot_allowlist
        ruling = rule_on_frame(patterns, int(frame[1]), int(frame[2]))
    elif text := _TEXT.match(message):
        key, patterns = "ext_allowlist", tenant.policy.ext_allowlist
        ruling = rule_on_text(patterns, text[1], text[2])
    else:
        fail(f"{message!r} is neither svc:type nor id:opcode, such as chat:send", 2)
    if ruling.place is not None:
        rule = f"policy.{key}[{ruling.place}]"
        return True, rule, f"may pass, by {rule} {patterns[ruling.place]!r}"
    if ruling.passes:
        return True, None, "may pass, as sys always does"
    return False, None, f"may not pass: no pattern of policy.{key} fits"


def _missing(plugins: PluginSet, message: str) -> str:
    """Return what there is not that a message would need; empty where it is there."""
    owner, _, kind = message.partition(":")
    if owner in ("sys", "room"):
        return ""
    services = [service for info in plugins.loaded for service in info.services]
    for service in services:
        if owner == service.name:
            types = [inbound.name for inbound in service.inbound]
            return "" if kind in types else f"{owner} has no type {kind!r}"
        if owner == str(service.svc_id):
            numbers = [str(one.number) for one in service.opcodes if one.inbound]
            return "" if kind in numbers else f"{service.name} has no opcode {kind}"
    return f"no loaded plugin owns the service {owner!r}"
