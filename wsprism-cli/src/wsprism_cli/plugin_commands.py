"""Commands that plugins add by the hook `register_commands`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from wsprism_cli.terminal import fail, warn

if TYPE_CHECKING:
    from wsprism_core.plugins import PluginInfo

__all__ = ("commands_by_plugin", "find_command", "selected_plugins")


def selected_plugins() -> tuple[str, ...] | None:
    """Return the plugins that the environment selects for `run`; None is all."""
    from wsprism_core.options import OptionError, run_options

    try:
        return run_options({}, os.environ).plugins
    except OptionError as error:
        fail(str(error), 2)


def find_command(name: str) -> click.Command | None:
    """Return the command that a plugin adds under a name, if one does."""
    from wsprism_core.plugins import list_plugins

    for commands in commands_by_plugin(list_plugins(selected_plugins())).values():
        if name in commands:
            return commands[name]
    return None


def commands_by_plugin(
    infos: Iterable[PluginInfo],
) -> dict[str, dict[str, click.Command]]:
    """Return the commands that plugins add, by plugin; broken ones add none.

    A name that is taken, by this package or by a plugin before, is left out with a
    warning; so are all commands of a plugin whose hook raises.
    """
    from wsprism_cli.main import BUILT_IN
    from wsprism_core.dispatch import compile_each
    from wsprism_core.plugins import PluginSet, PluginStatus

    names = [
        info.name
        for info in infos
        if info.status is PluginStatus.LOADED and "register_commands" in info.hooks
    ]
    hook = PluginSet.load(names).hook("register_commands")
    owners = dict.fromkeys(BUILT_IN, "wsprism-cli")
    found: dict[str, dict[str, click.Command]] = {}
    for plugin, register in compile_each(hook).items():
        # A group for each, so that none takes another's command away.
        group = click.Group("wsprism")
        try:
            register(group)
        except Exception as error:
            warn(f"plugin {plugin!r} adds no commands: {type(error).__name__}: {error}")
            continue
        found[plugin] = {}
        for name, command in group.commands.items():
            if name in owners:
                warn(f"plugin {plugin!r}: the command {name!r} is {owners[name]}'s")
                continue
            owners[name] = plugin
            found[plugin][name] = command
    return found
