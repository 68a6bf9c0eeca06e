"""The configuration file: strict YAML, read once, wrong keys refused.

Every key has a default, so that an empty file (but for `version` and a tenant) runs. An
unknown or wrong key refuses to start; all of them are told at once, each with its path.
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from wsprism_core.protocol.errors import WsPrismError

__all__ = (
    "AdminConfig",
    "Config",
    "ConfigError",
    "DeflateConfig",
    "GatewayConfig",
    "HandshakeLimit",
    "HistoryConfig",
    "HotErrorMode",
    "KeptRooms",
    "LaneBounds",
    "OnExceed",
    "RateLimitScope",
    "SessionMode",
    "SessionsPolicy",
    "TenantConfig",
    "TenantLimits",
    "TenantPolicy",
    "describe",
    "load_config",
    "out_of_the_box",
)

#: 0 means unlimited.
Unlimited = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Pattern = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_-]*):(\*|[A-Za-z0-9_.-]+)$")]
HotPattern = Annotated[str, Field(pattern=r"^(\*|[0-9]{1,3}):(\*|[0-9]{1,3})$")]


_API_KEY: Final = re.compile(r"[!-~]{16,}\Z")


class ConfigError(WsPrismError):
    """The configuration cannot be used; `problems` has one line for each fault."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems

    def __str__(self) -> str:
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        return f"{self.source} cannot be used:\n{lines}"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RateLimitScope(StrEnum):
    """Whose messages a rate limit counts together."""

    TENANT = "tenant"
    CONNECTION = "connection"
    BOTH = "both"


class SessionMode(StrEnum):
    """Whether a user may have several connections."""

    SINGLE = "single"
    MULTI = "multi"


class OnExceed(StrEnum):
    """What happens to a user's connection beyond the limit."""

    DENY = "deny"
    KICK_OLDEST = "kick_oldest"


class HotErrorMode(StrEnum):
    """Whether a client is told of a refused hot frame."""

    SYS_ERROR = "sys_error"
    SILENT = "silent"


def _with_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080")
    return value


class HandshakeLimit(_Section):
    """How many connections may be tried a second."""

    enabled: bool = False
    global_rps: Positive = 100
    global_burst: Positive = 200
    per_ip_rps: Positive = 10
    per_ip_burst: Positive = 50
    max_ip_entries: Positive = 50_000


class DeflateConfig(_Section):
    """How messages are compressed for WebSocket clients that offer it."""

    enabled: bool = False
    min_bytes: Positive = 256
    level: Annotated[int, Field(ge=1, le=9)] = 1


class LaneBounds(_Section):
    """What may wait in a lane of one session; what is left out stays as it is."""

    max_bytes: Positive | None = None
    max_messages: Positive | None = None
    max_message_bytes: Positive | None = None


class KeptRooms(_Section):
    """How much is kept of some rooms; 0 bytes or seconds are no bound."""

    rooms: Annotated[str, Field(min_length=1, max_length=128)]
    messages: Annotated[int, Field(ge=0)] = 1_000
    bytes: Annotated[int, Field(ge=0)] = 4 * 1024 * 1024
    age_s: Annotated[int, Field(ge=0)] = 0


class HistoryConfig(_Section):
    """Where recoverable messages are kept, and how much of rooms without a class."""

    file: str | None = None
    sync: Literal["normal", "full"] = "normal"
    max_waiting: Positive = 10_000
    messages: Annotated[int, Field(ge=0)] = 1_000
    bytes: Annotated[int, Field(ge=0)] = 4 * 1024 * 1024
    age_s: Annotated[int, Field(ge=0)] = 0
    classes: tuple[KeptRooms, ...] = ()

    @field_validator("classes", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class AdminConfig(_Section):
    """Where operators look into the gateway, and with which key."""

    listen: str = "127.0.0.1:8081"
    api_key: SecretStr | None = None

    _has_a_port = field_validator("listen")(_with_port)

    @field_validator("api_key")
    @classmethod
    def _is_strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _API_KEY.match(value.get_secret_value()):
            raise ValueError(
                "must be at least 16 characters of ASCII without spaces, such as "
                "`openssl rand -hex 24` prints"
            )
        return value


class GatewayConfig(_Section):
    """What holds for the whole gateway; times in milliseconds."""

    listen: str = "0.0.0.0:8080"
    ping_interval_ms: Milliseconds = 20_000
    pong_timeout_ms: Positive = 10_000
    idle_timeout_ms: Milliseconds = 60_000
    writer_send_timeout_ms: Milliseconds = 1_500
    drain_grace_ms: Milliseconds = 5_000
    auth_timeout_ms: Positive = 5_000
    handshake_timeout_ms: Positive = 10_000
    message_timeout_ms: Positive = 30_000
    close_timeout_ms: Positive = 2_000
    max_fragments: Positive = 4_096
    control_frames_per_second: Positive = 100
    max_unfinished_bytes: Positive = 64 * 1024 * 1024
    presence_batch_ms: Milliseconds = 100
    presence_max_members: Annotated[int, Field(ge=0)] = 100
    max_strikes: Positive = 10
    max_async_queue: Positive = 64
    history: HistoryConfig = HistoryConfig()
    dedup_window: Annotated[int, Field(ge=0)] = 1_000
    max_idle_rooms: Annotated[int, Field(ge=0)] = 1_000
    max_state_items: Annotated[int, Field(ge=0)] = 250_000
    max_state_bytes: Positive = 1024 * 1024
    resume_window_ms: Milliseconds = 30_000
    max_detached: Annotated[int, Field(ge=0)] = 10_000
    max_recover_messages: Annotated[int, Field(ge=0)] = 1_000
    max_recover_bytes: Annotated[int, Field(ge=0)] = 4 * 1024 * 1024
    min_write_bytes_per_s: Annotated[int, Field(ge=0)] = 1_024
    lanes: dict[str, LaneBounds] = Field(default_factory=dict)
    deflate: DeflateConfig = DeflateConfig()
    slow_handler_ms: Milliseconds = 250
    full_gc_interval_ms: Milliseconds = 0
    handshake_limit: HandshakeLimit = HandshakeLimit()
    allowed_origins: tuple[str, ...] | None = None
    admin: AdminConfig | None = None

    _has_a_port = field_validator("listen")(_with_port)

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class TenantLimits(_Section):
    """How much a tenant may have; 0 is unlimited for every `max_*` but the first."""

    max_frame_bytes: Positive = 4_096
    max_sessions_total: Unlimited = 0
    max_rooms_total: Unlimited = 0
    max_users_per_room: Unlimited = 0
    max_rooms_per_user: Unlimited = 0


class SessionsPolicy(_Section):
    """How many connections a user may have."""

    mode: SessionMode = Field(default=SessionMode.MULTI, strict=False)
    max_sessions_per_user: Unlimited = 4
    on_exceed: OnExceed = Field(default=OnExceed.DENY, strict=False)


class TenantPolicy(_Section):
    """What a tenant's clients may do; without an allowlist, join and leave rooms."""

    rate_limit_rps: Unlimited = 200
    rate_limit_burst: Positive = 400
    rate_limit_scope: RateLimitScope = Field(
        default=RateLimitScope.CONNECTION, strict=False
    )
    rate_limit_max_spent: Positive = 10_000
    sessions: SessionsPolicy = SessionsPolicy()
    ext_allowlist: tuple[Pattern, ...] = ("room:join", "room:leave")
    hot_allowlist: tuple[HotPattern, ...] = ()
    hot_error_mode: HotErrorMode = Field(default=HotErrorMode.SYS_ERROR, strict=False)
    hot_requires_active_room: bool = True

    @field_validator("ext_allowlist", "hot_allowlist", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class TenantConfig(_Section):
    """One isolated domain of users, rooms and policy."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    limits: TenantLimits = TenantLimits()
    policy: TenantPolicy = TenantPolicy()


class Config(_Section):
    """The whole file."""

    version: Annotated[int, Field(ge=1, le=1)]
    gateway: GatewayConfig = GatewayConfig()
    tenants: Annotated[list[TenantConfig], Field(min_length=1)]
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("tenants")
    @classmethod
    def _unique(cls, value: list[TenantConfig]) -> list[TenantConfig]:
        ids = [tenant.id for tenant in value]
        for id in ids:
            if ids.count(id) > 1:
                raise ValueError(f"tenant {id!r} is configured twice")
        return value


def out_of_the_box() -> Config:
    """Return what runs without a file: one open tenant on the loopback address."""
    return Config(
        version=1,
        gateway=GatewayConfig(listen="127.0.0.1:8080"),
        tenants=[
            TenantConfig(
                id="default",
                limits=TenantLimits(max_frame_bytes=65_536),
                policy=TenantPolicy(
                    rate_limit_rps=0,
                    sessions=SessionsPolicy(max_sessions_per_user=0),
                    ext_allowlist=("*:*",),
                    hot_allowlist=("*:*",),
                ),
            )
        ],
    )


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: It cannot be read, is no YAML, or has wrong keys; all are named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
    # Imported here: without a file the gateway starts the sooner.
    from wsprism_core.strict_yaml import YamlError, parse

    try:
        raw = parse(text)
    except YamlError as error:
        raise ConfigError(str(path), [f"is no YAML: {error}"]) from None
    if not isinstance(raw, dict):
        raise ConfigError(str(path), ["must be a mapping with `version` and `tenants`"])
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(str(path), describe(error, Config)) from None


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each fault: where it is, what it is, what may be meant."""
    problems = []
    for fault in error.errors():
        where = _path(fault["loc"])
        if fault["type"] == "extra_forbidden":
            names = _names_beside(fault["loc"], model)
            near = difflib.get_close_matches(str(fault["loc"][-1]), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{where}: unknown key{hint}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {message}")
    return problems


def _path(loc: tuple[int | str, ...]) -> str:
    """Return `tenants[0].policy` for `("tenants", 0, "policy")`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _names_beside(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the keys that are known where an unknown one stands."""
    here: Any = model
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        here = here.model_fields[part].annotation
        for inner in getattr(here, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                here = inner
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            return []
    return list(here.model_fields)
