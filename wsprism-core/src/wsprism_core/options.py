"""The options of `wsprism run`, in one table.

Two programs have a `run`: the plain one of this package and the one of wsprism-cli.
Both are built from `RUN_OPTIONS`, so that they take the same options and explain them
in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

__all__ = ("RUN_OPTIONS", "Option", "OptionError", "RunOptions", "run_options")

#: How large a recording may become unless told, in bytes.
DEFAULT_RECORD_BYTES: Final = 1024 * 1024 * 1024

_LEVELS: Final = ("debug", "info", "warning", "error")
_ON: Final = ("1", "true", "yes", "on")
_OFF: Final = ("0", "false", "no", "off")


class OptionError(ValueError):
    """An environment variable holds what its option cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    Args:
        name: The attribute of `RunOptions`.
        flag: Such as `--port`.
        metavar: What its value is called in the help; None is a switch without one.
        env: The environment variable that counts where the flag is not given.
        parse: Returns the value of a text. Raises ValueError, which says what it must
            be.
        summary: What it does, for the help.
        default: The value where neither flag nor variable is given.
    """

    name: str
    flag: str
    metavar: str | None
    env: str | None
    parse: Callable[[str], Any]
    summary: str
    default: Any

    @property
    def help(self) -> str:
        """The summary, with its variable and its default."""
        notes = [f"env: {self.env}"] if self.env else []
        if isinstance(self.default, str):
            notes.append(f"default: {self.default}")
        return f"{self.summary} [{'; '.join(notes)}]" if notes else self.summary


# ------------------------------------------------------------------------ parsing


def _switch(text: str) -> bool:
    if text.lower() in _ON:
        return True
    if text.lower() in _OFF:
        return False
    raise ValueError(f"must be one of {', '.join(_ON + _OFF)}")


def _host(text: str) -> str:
    host = text.strip().removeprefix("[").removesuffix("]")
    if not host:
        raise ValueError("must be an address or a name, such as 127.0.0.1")
    return host


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError("must be a number from 0 to 65535")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = (name.strip() for name in text.split(","))
    return tuple(name for name in names if name)


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ValueError("must be a number of bytes, more than 0")
    return int(text)


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise ValueError(f"must be one of {', '.join(_LEVELS)}")
    return text.lower()


# ---------------------------------------------------------------------- the table


def _option(
    flag: str,
    summary: str,
    *,
    metavar: str | None = None,
    parse: Callable[[str], Any] = _switch,
    env: str | None = None,
) -> dict[str, Any]:
    """Return a row; it is kept as the metadata of the attribute that it fills."""
    return {
        "flag": flag,
        "metavar": metavar,
        "env": env,
        "parse": parse,
        "summary": summary,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `wsprism run` was told; a plugin's `register_transports` gets it too.

    Host, port and the development switches have no environment variable: Kubernetes
    sets `WSPRISM_PORT` beside a service of that name, and a forgotten variable must not
    open a gateway.

    Attributes:
        config: The configuration file; None runs out of the box.
        host: Where to listen; None is what the configuration says.
        port: Likewise.
        tcp_port: The port for plain TCP; None does not listen for it.
        admin_port: The port for operators; None is what the configuration says.
        plugins: Names of plugins in the order of calling; None is all.
        strict: Whether an allowlist may name only services that are there.
        pid_file: Where the number of the process is written; None is nowhere.
        dev: Whether development tickets are good beside a configuration file.
        allow_insecure_dev: Whether they are good beyond the loopback address.
        record: The file that a recording is written to; None records nothing.
        record_max_bytes: How large it may become.
        log_level: The least level that is logged.
        log_json: Whether each log line is a JSON object.
    """

    config: Path | None = field(
        default=None,
        metadata=_option(
            "--config",
            "The configuration file (YAML). Without one there is one open tenant on "
            "127.0.0.1:8080 that accepts development tickets.",
            metavar="FILE",
            parse=Path,
            env="WSPRISM_CONFIG",
        ),
    )
    host: str | None = field(
        default=None,
        metadata=_option(
            "--host",
            "Listen on this address, whatever the file says.",
            metavar="HOST",
            parse=_host,
        ),
    )
    port: int | None = field(
        default=None,
        metadata=_option(
            "--port",
            "Listen on this port, whatever the file says; 0 takes a free one.",
            metavar="PORT",
            parse=_port,
        ),
    )
    tcp_port: int | None = field(
        default=None,
        metadata=_option(
            "--tcp-port",
            "Listen for plain TCP too, on this port; 0 takes a free one.",
            metavar="PORT",
            parse=_port,
        ),
    )
    admin_port: int | None = field(
        default=None,
        metadata=_option(
            "--admin-port",
            "Let operators look in on this port, for wsprism top; 0 takes a free one.",
            metavar="PORT",
            parse=_port,
        ),
    )
    plugins: tuple[str, ...] | None = field(
        default=None,
        metadata=_option(
            "--plugins",
            "The plugins to run, such as chat,game; where left out, all that are "
            "installed.",
            metavar="NAMES",
            parse=_names,
            env="WSPRISM_PLUGINS",
        ),
    )
    strict: bool = field(
        default=False,
        metadata=_option(
            "--strict",
            "Refuse to start where an allowlist names a service that no loaded plugin "
            "has, instead of warning.",
        ),
    )
    pid_file: Path | None = field(
        default=None,
        metadata=_option(
            "--pid-file",
            "Write the number of the process into this file while it runs, for "
            "wsprism reload.",
            metavar="FILE",
            parse=Path,
        ),
    )
    dev: bool = field(
        default=False,
        metadata=_option(
            "--dev",
            "Accept development tickets beside a configuration file: anybody may be "
            "anybody, the ticket dev:ann is user:ann.",
        ),
    )
    allow_insecure_dev: bool = field(
        default=False,
        metadata=_option(
            "--allow-insecure-dev",
            "Accept development tickets on an address that other machines reach.",
        ),
    )
    record: Path | None = field(
        default=None,
        metadata=_option(
            "--record",
            "Write down what comes in and goes out, into a new file that "
            "wsprism replay runs again. It holds what clients say, and no tickets.",
            metavar="FILE",
            parse=Path,
        ),
    )
    record_max_bytes: int = field(
        default=DEFAULT_RECORD_BYTES,
        metadata=_option(
            "--record-max-bytes",
            "How large the recording may become; then it ends, and the gateway goes "
            f"on. Where left out, {DEFAULT_RECORD_BYTES} (1 GiB).",
            metavar="BYTES",
            parse=_size,
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_option(
            "--log-level",
            "The least level that is logged: debug, info, warning or error.",
            metavar="LEVEL",
            parse=_level,
            env="WSPRISM_LOG_LEVEL",
        ),
    )
    log_json: bool = field(
        default=False,
        metadata=_option(
            "--log-json", "Log one JSON object a line.", env="WSPRISM_LOG_JSON"
        ),
    )


RUN_OPTIONS: Final = tuple(
    Option(name=one.name, default=one.default, **one.metadata)
    for one in fields(RunOptions)
)


def run_options(given: Mapping[str, Any], environ: Mapping[str, str]) -> RunOptions:
    """Return the options: what was given, else the environment's, else the default.

    Args:
        given: Parsed values by name, of the flags on the command line alone.
        environ: The environment; an empty variable counts as none.

    Raises:
        OptionError: A variable that counts cannot be parsed.
    """
    values = dict(given)
    for option in RUN_OPTIONS:
        text = environ.get(option.env) if option.env else None
        if option.name in values or not text:
            continue
        try:
            values[option.name] = option.parse(text)
        except ValueError as error:
            raise OptionError(f"{option.env}: {error}") from None
    return RunOptions(**values)
