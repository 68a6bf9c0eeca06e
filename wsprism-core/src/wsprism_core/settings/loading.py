"""What a gateway is to run with: read, and checked against the plugins it loads."""

from __future__ import annotations

import os
from collections.abc import Iterator

from wsprism_core.config import Config, ConfigError, out_of_the_box
from wsprism_core.options import RunOptions
from wsprism_core.plugins import PluginSet

__all__ = ("configuration", "idle_patterns")

#: Services that the core answers itself; an allowlist may always name them.
_BUILT_IN = ("room", "sys", "*")
_PREFIX = "WSPRISM_"


def configuration(options: RunOptions, plugins: PluginSet) -> Config:
    """Return what the file and the environment say.

    Args:
        options: Which file, and how strict.
        plugins: What checks its own sections, and owns what allowlists name.

    Raises:
        ConfigError: One of them is wrong; told to be strict, also where an allowlist
            names a service that no plugin has.
    """
    named = any(name.startswith(_PREFIX) for name in os.environ)
    if options.config is None and not named:
        return out_of_the_box()
    # Imported here: without a file the gateway starts the sooner.
    from wsprism_core.settings.file import load_config

    config = load_config(options.config, environ=os.environ, sections=plugins.sections)
    if options.strict and (idle := list(idle_patterns(config, plugins))):
        source = "the configuration" if options.config is None else str(options.config)
        raise ConfigError(source, idle)
    return config


def idle_patterns(config: Config, plugins: PluginSet) -> Iterator[str]:
    """Yield a line for each pattern of an allowlist that lets nothing pass."""
    services = [service for info in plugins.loaded for service in info.services]
    names = {*_BUILT_IN, *(service.name for service in services)}
    ids = {"*", *(str(one.svc_id) for one in services if one.svc_id is not None)}
    for tenant in config.tenants:
        policy = tenant.policy
        for key, patterns, known in (
            ("ext_allowlist", policy.ext_allowlist, names),
            ("hot_allowlist", policy.hot_allowlist, ids),
        ):
            for pattern in patterns:
                owner = pattern.partition(":")[0]
                if owner not in known:
                    yield (
                        f"tenant {tenant.id!r}: {key} has {pattern!r}, but no plugin"
                        f" that is loaded owns the service {owner!r}"
                    )
