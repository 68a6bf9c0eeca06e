"""The configuration, as the models of its file: each key, its type and its default.

Every key has a default, so that an empty file (but for `version` and a tenant) runs. An
unknown or wrong key is refused. How the file is read stands in `settings`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)

from wsprism_core.auth_config import AuthConfig
from wsprism_core.log_sampling import WARNINGS_PER_SECOND
from wsprism_core.policy.origins import check_origin_pattern
from wsprism_core.policy.proxies import parse_network
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
    "ShadowPolicy",
    "TenantConfig",
    "TenantLimits",
    "TenantPolicy",
    "TlsConfig",
    "out_of_the_box",
)

#: 0 means unlimited.
Unlimited = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Pattern = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_-]*):(\*|[A-Za-z0-9_.-]+)$")]
_BYTE: Final = r"(\*|25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
HotPattern = Annotated[str, Field(pattern=f"^{_BYTE}:{_BYTE}$")]


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
    """How many connections may be tried a second.

    Attributes:
        enabled: Whether there is a limit.
        global_rps: Handshakes a second from everybody.
        global_burst: The same at once.
        per_ip_rps: Handshakes a second from one address.
        per_ip_burst: The same at once.
        max_ip_entries: Addresses that are remembered; the one unheard of longest is
            forgotten.
    """

    enabled: bool = False
    global_rps: Positive = 100
    global_burst: Positive = 200
    per_ip_rps: Positive = 10
    per_ip_burst: Positive = 50
    max_ip_entries: Positive = 50_000


class DeflateConfig(_Section):
    """How messages are compressed for WebSocket clients that offer it.

    Attributes:
        enabled: Whether it is offered.
        min_bytes: Messages that are smaller are sent as they are.
        level: From 1, the fastest, to 9, the smallest.
    """

    enabled: bool = False
    min_bytes: Positive = 256
    level: Annotated[int, Field(ge=1, le=9)] = 1


class LaneBounds(_Section):
    """What may wait in a lane of one session; what is left out stays as it is.

    Attributes:
        max_bytes: What may wait in the lane for one session, in bytes on the wire.
        max_messages: The same in messages.
        max_message_bytes: The largest single message, which holds up what is more
            urgent for as long as it is under way; its sender is told
            `PAYLOAD_TOO_LARGE`.
    """

    max_bytes: Positive | None = None
    max_messages: Positive | None = None
    max_message_bytes: Positive | None = None


class KeptRooms(_Section):
    """How much is kept of some rooms.

    Attributes:
        rooms: Names, with `*` for anything, such as `team-*`.
        messages: How many such a room keeps.
        bytes: How much, about as it is in JSON. 0 is no bound.
        age_s: For how many seconds. 0 is no bound.
    """

    rooms: Annotated[str, Field(min_length=1, max_length=128)]
    messages: Annotated[int, Field(ge=0)] = 1_000
    bytes: Annotated[int, Field(ge=0)] = 4 * 1024 * 1024
    age_s: Annotated[int, Field(ge=0)] = 0


class HistoryConfig(_Section):
    """Where recoverable messages are kept, and how much of rooms without a class.

    Attributes:
        file: A file of SQLite, made where there is none; beside it are its log and a
            lock, for it belongs to one gateway at a time. None is memory.
        sync: With `normal` a stored message survives the end of the process, whatever
            ends it; where the machine ends uncleanly, rooms begin new epochs, for the
            last ones may be lost. `full` waits for the disk at each commit and loses
            nothing then either.
        max_waiting: Messages that may wait to be stored; over it their senders hear
            `RESOURCE_EXHAUSTED`.
        max_rooms: Rooms of each tenant in the file; the first message of another is
            refused with `RESOURCE_EXHAUSTED`. Rooms of which nothing is kept any more
            do not count: `age_s` is how a tenant with ever new rooms stays below it. 0
            is no bound.
        messages: How many a room keeps, unless one of the `classes` says otherwise; the
            oldest goes first.
        bytes: How much, about as it is in JSON. 0 is no bound.
        age_s: For how many seconds. 0 is no bound. Rooms that nobody opens are looked
            at too, a hundred a second.
        classes: Rooms of which something else is kept; the first that fits counts.
    """

    file: str | None = None
    sync: Literal["normal", "full"] = "normal"
    max_waiting: Positive = 10_000
    max_rooms: Annotated[int, Field(ge=0)] = 100_000
    messages: Annotated[int, Field(ge=0)] = 1_000
    bytes: Annotated[int, Field(ge=0)] = 4 * 1024 * 1024
    age_s: Annotated[int, Field(ge=0)] = 0
    classes: tuple[KeptRooms, ...] = ()

    @field_validator("classes", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class AdminConfig(_Section):
    """Where operators look into the gateway, and with which key.

    Attributes:
        listen: Address and port. The option `--admin-port` counts more.
        api_key: What a request must bring as `Authorization: Bearer KEY`; 16 or more
            characters of ASCII without spaces.
    """

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


class TlsConfig(_Section):
    """The certificate that clients are shown, as files in PEM.

    Attributes:
        certificate: A file in PEM, with the certificate first and those that signed it
            behind it, from the working directory.
        key: Its private key, a file in PEM that is not encrypted.
        minimum: What a client must speak at least, `1.2` or `1.3`.
    """

    certificate: str
    key: str
    minimum: Literal["1.2", "1.3"] = "1.2"


class GatewayConfig(_Section):
    """What holds for the whole gateway; times in milliseconds.

    Attributes:
        listen: Address and port for WebSocket and HTTP. The option `--host` or `--port`
            counts more.
        tls: The certificate, where the gateway itself speaks TLS.
        ping_interval_ms: How often a client is pinged; 0 sends no pings.
        pong_timeout_ms: How long a client has to answer a ping; after it the connection
            is closed with 4003.
        idle_timeout_ms: How long a client may be silent, pongs counted as words; after
            it 4002. 0 is forever.
        writer_send_timeout_ms: How long a socket that is full may take not one byte;
            after it the session is closed with 4001. 0 is forever.
        min_write_bytes_per_s: What a socket that is full must take at least, over 10
            seconds; under it 4001. 0 is nothing.
        drain_grace_ms: Over how long sessions are closed when the gateway drains; 0
            closes them at once.
        auth_timeout_ms: How long a client has for `sys.auth`, where its ticket comes as
            the first message.
        handshake_timeout_ms: From accepting a connection to the end of its handshake;
            no byte extends it.
        message_timeout_ms: From the first byte of a message to its last; no byte
            extends it. After it the connection is closed 1008.
        close_timeout_ms: How long a peer has to answer a close; after it its socket is
            cut.
        max_fragments: Fragments of one WebSocket message, empty ones counted; over it
            the connection is closed 1009.
        control_frames_per_second: Pings and pongs that one connection may send in a
            second; over it it is closed 1008.
        max_unfinished_bytes: What all connections together may hold of messages that
            are not whole yet; the connection that goes over it is closed 1013.
        max_handshakes: Handshakes under way, of WebSocket, plain requests and TLS
            together, from accept on; over it 503, or where there is no TLS yet the
            socket is closed. 0 is no bound.
        max_handshakes_per_ip: The same of one address; over it 429. The clients of a
            trusted proxy are counted one by one.
        presence_batch_ms: For how long joins and leaves of a room are collected before
            its members are told.
        presence_max_members: Members that a room may have for each to be told who comes
            and goes; in a larger one they are told how many there are.
        max_strikes: How many messages that cannot be decoded a connection may send
            within 10 seconds.
        max_async_queue: How many messages of one session may wait for the async handler
            of one service, and how many of its requests of the bulk lane for their
            turn; over it `RESOURCE_EXHAUSTED`.
        max_rooms_per_session: Rooms that a session may be in for its client to join one
            more, whatever its tenant's `max_rooms_per_user` says; over it
            `RESOURCE_EXHAUSTED`. A room takes some 6 KB. 0 is no bound. Who comes back
            by `resume` is told of all its rooms in one message: of 200 whatever their
            names, of some 400 with short ones. Where they do not fit, its client begins
            anew.
        filter_budget_ms: How long an async `check_message` of a plugin has for one
            message; after it the message is refused, or passes where the plugin says
            so.
        history: Where recoverable messages are kept, and how much of each room.
        max_state_items: Values that one plugin may keep, such as chat's bans and marks;
            with `history.file` they are in that file and outlive the process.
        max_state_bytes: The largest of them.
        resume_window_ms: How long a session whose connection dropped keeps its rooms,
            and may come back; 0 is not at all.
        max_detached: How many such sessions are kept; the one that has been gone
            longest is over first, of the tenant that has most of them. Of one user no
            more are kept than its tenant's `max_sessions_per_user`.
        max_recover_messages: Messages that one join may fetch again; above it the
            answer says `too_many`. One user may fetch ten times as many at once, and as
            many again each second.
        max_recover_bytes: The same in bytes, about as they are in JSON.
        dedup_window: Each sender's own ids that a room remembers, so that a retry is
            not sent again. Where all senders of a room have more together, those are
            forgotten who have been quiet for `resume_window_ms`, or 30 s.
        max_idle_rooms: Rooms of each tenant without members that are kept for their
            history; the one empty longest goes first. With `history.file` they are read
            again, and at most 64 are kept at hand.
        deflate: Whether and how messages are compressed.
        lanes: Bounds of lanes by name, where they are to differ from the defaults.
        slow_handler_ms: From when on a block of the event loop is counted and logged,
            with the plugin that is seen to block it; 0 is never.
        full_gc_interval_ms: How often the garbage collector looks at everything, which
            stops the process for a time that grows with the sessions; 0 is never.
        max_revocations: Revoked tickets and users that are remembered; over it the
            operator is told that a new one is not.
        revocation_ttl_ms: For how long a revocation is remembered, at least; no ticket
            should be good for longer.
        warnings_per_second: Warnings and errors of one kind that are logged one by one;
            what comes beyond that within a second is summed up in one line, `repeated`.
        handshake_limit: How many connections may be tried.
        allowed_origins: Web pages that may connect, as `https://app.example.com`, or
            `https://*.example.com` for every host below it and not itself. Scheme and
            port count; one that no browser sends refuses to start. `null` allows any,
            and while development tickets are on, pages that this machine serves
            (`http://localhost:3000`); a client that is no browser page sends no origin
            and is always allowed.
        trusted_proxies: Proxies whose word about their clients' addresses counts, as
            `10.0.0.0/8` or single addresses.
        public_metrics: Whether `/metrics` is answered on the gateway's port, to whoever
            asks. The admin listener answers it in any case, to whoever has the key.
        admin: Where operators look in.
    """

    listen: str = "0.0.0.0:8080"
    tls: TlsConfig | None = None
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
    max_handshakes: Unlimited = 8_192
    max_handshakes_per_ip: Unlimited = 2_048
    presence_batch_ms: Milliseconds = 100
    presence_max_members: Annotated[int, Field(ge=0)] = 100
    max_strikes: Positive = 10
    max_async_queue: Positive = 64
    max_rooms_per_session: Unlimited = 200
    history: HistoryConfig = HistoryConfig()
    filter_budget_ms: Positive = 250
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
    max_revocations: Positive = 10_000
    revocation_ttl_ms: Positive = 86_400_000
    warnings_per_second: Positive = WARNINGS_PER_SECOND
    handshake_limit: HandshakeLimit = HandshakeLimit()
    allowed_origins: tuple[str, ...] | None = None
    trusted_proxies: tuple[str, ...] = ()
    public_metrics: bool = True
    admin: AdminConfig | None = None

    _has_a_port = field_validator("listen")(_with_port)

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for origin in value or ():
            check_origin_pattern(origin)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            parse_network(network)
        return value


class TenantLimits(_Section):
    """How much a tenant may have; 0 is unlimited for every `max_*` but the first.

    Attributes:
        max_frame_bytes: The largest message from a client, as a whole and inflated;
            over it 1009. Not 0.
        max_sessions_total: Sessions of the tenant; over it 503, or 1013.
        max_rooms_total: Rooms with members; over it `RESOURCE_EXHAUSTED`.
        max_users_per_room: Users in one room, not connections.
        max_rooms_per_user: Distinct rooms over all sessions of a user.
    """

    max_frame_bytes: Positive = 4_096
    max_sessions_total: Unlimited = 0
    max_rooms_total: Unlimited = 0
    max_users_per_room: Unlimited = 0
    max_rooms_per_user: Unlimited = 0


class SessionsPolicy(_Section):
    """How many connections a user may have.

    Attributes:
        mode: `single` is one connection a user, `multi` as many as the next key says.
        max_sessions_per_user: Connections of a user at a time, in mode `multi`; 0 is no
            limit.
        on_exceed: What happens to one too many. `deny` refuses it, `kick_oldest` closes
            the user's oldest with 4502.
    """

    mode: SessionMode = Field(default=SessionMode.MULTI, strict=False)
    max_sessions_per_user: Unlimited = 4
    on_exceed: OnExceed = Field(default=OnExceed.DENY, strict=False)


class ShadowPolicy(_Section):
    """Limits on trial: what they would refuse is counted, and nothing is refused.

    Attributes:
        rate_limit_rps: Messages a second that are refilled, with the tenant's
            `rate_limit_scope`; every connection begins with a full one.
        rate_limit_burst: Messages that may come at once.
        max_sessions_total: Sessions of the tenant.
        max_sessions_per_user: Connections of one user at a time.
        max_rooms_total: Rooms with members.
        max_users_per_room: Users in one room, not connections.
        max_rooms_per_user: Distinct rooms over all sessions of a user.
        ext_allowlist: Text messages that would pass.
        hot_allowlist: Hot frames that would pass.
    """

    rate_limit_rps: Unlimited = 0
    rate_limit_burst: Positive = 400
    max_sessions_total: Unlimited = 0
    max_sessions_per_user: Unlimited = 0
    max_rooms_total: Unlimited = 0
    max_users_per_room: Unlimited = 0
    max_rooms_per_user: Unlimited = 0
    ext_allowlist: tuple[Pattern, ...] | None = None
    hot_allowlist: tuple[HotPattern, ...] | None = None

    @field_validator("ext_allowlist", "hot_allowlist", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class TenantPolicy(_Section):
    """What a tenant's clients may do; without an allowlist, join and leave rooms.

    Attributes:
        rate_limit_rps: Messages a second that are refilled; 0 is no limit.
        rate_limit_burst: Messages that may come at once.
        rate_limit_scope: Whose messages count together, `connection` each one's,
            `tenant` all of the tenant's, `both` each of the two.
        rate_limit_max_spent: Users who left and whose limit is remembered until it is
            whole again, so that reconnecting is no way around it; the one who left
            longest ago is forgotten. As many are remembered for what they have fetched
            of what they missed.
        sessions: Connections of one user.
        ext_allowlist: Text messages that may pass, as `svc:type`, `svc:*`, `*:type` or
            `*:*`. `sys` always passes.
        hot_allowlist: Hot frames that may pass, as `id:opcode`, with numbers from 0 to
            255 or `*`.
        hot_error_mode: Whether a client is told of a hot frame that is refused,
            `sys_error`, or not, `silent`.
        hot_requires_active_room: Whether a hot frame for a room is refused where its
            sender names none and has no active one.
        shadow: Limits on trial.
    """

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
    shadow: ShadowPolicy | None = None

    @field_validator("ext_allowlist", "hot_allowlist", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class TenantConfig(_Section):
    """One isolated domain of users, rooms and policy.

    Attributes:
        id: 1 to 64 of `A-Z a-z 0-9 _ . -`.
        limits: How much it may have.
        policy: What its clients may do.
        auth: Which tickets let its clients in.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    limits: TenantLimits = TenantLimits()
    policy: TenantPolicy = TenantPolicy()
    auth: AuthConfig = AuthConfig()


class Config(_Section):
    """The whole file.

    Attributes:
        version: The version of this file's format.
        gateway: What holds for the whole gateway.
        tenants: One or more, each with an `id` of its own.
        plugins: A section for each plugin, by the name of its entry point.
    """

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
