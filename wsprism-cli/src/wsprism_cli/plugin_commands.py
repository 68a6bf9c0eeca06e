"""Commands that plugins add by the hook `register_commands`."""

from __future__ import annotations

import os

import click

from wsprism_cli.terminal import fail, warn

__all__ = ("commands_by_plugin", "find_command", "selected_plugins")


def selected_plugins() -> tuple[str, ...] | None:
    """Return the plugins that the environment selects for `run`; None is all."""
    from wsprism_core.options import run_options

    return run_options({}, os.environ).plugins


def find_command(name: str) -> click.Command | None:
    """Return a plugin's command; of plugins that are installed and selected."""
    for commands in commands_by_plugin().values():
        if name in commands:
            return commands[name]
    return None


def commands_by_plugin() -> dict[str, dict[str, click.Command]]:
    """Return the commands that each plugin adds.

    A name that is taken, by this package or by a plugin before, is left out with a
    warning; so are all of a plugin whose hook raises.
    """
    from wsprism_cli.main import BUILT_IN
    from wsprism_core import logs
    from wsprism_core.dispatch import compile_each
    from wsprism_core.plugins import PluginError, PluginSet

    logs.configure("warning")
    try:
        plugins = PluginSet.load(selected_plugins())
    except PluginError as error:
        fail(str(error), 2)
    owners = dict.fromkeys(BUILT_IN, "wsprism-cli")
    found: dict[str, dict[str, click.Command]] = {}
    for plugin, register in compile_each(plugins.hook("register_commands")).items():
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
                warn(f"plugin {plugin!r}: command {name!r} is {owners[name]}'s")
                continue
            owners[name] = plugin
            found[plugin][name] = command
    return found
