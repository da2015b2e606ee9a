"""The schema of the settings: which there are, of which type, in which range.

Values come from `defaults.yaml`, files, variables and flags; `service.settings` reads them. No default stands
here, so that there is one place for it.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from config.secret import Secret

Port = Annotated[int, Meta(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose."""
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
"""How many of something, at least one."""
Amount = Annotated[int, Meta(ge=0, le=1_000_000)]
"""How many of something, none included."""
Percent = Annotated[int, Meta(ge=0, le=100)]
"""A share, 0 to 100."""
Millis = Annotated[int, Meta(ge=1, le=86_400_000)]
"""A duration in ms, a day at most."""
Retention = Annotated[int, Meta(ge=0, le=10 * 366 * 86_400_000)]
"""How long records are kept in ms, ten years at most; 0 keeps them for ever."""
Bytes = Annotated[int, Meta(ge=1024, le=1 << 30)]
"""A size in bytes, 1 KiB to 1 GiB."""
Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="1 to 100 letters, digits, dots, underscores or hyphens")
]
"""A name that Kafka takes: letters, digits, dot, underscore and hyphen."""
Prefix = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$", description="up to 100 letters, digits, dots, underscores or hyphens")
]
"""The beginning of a `Name`, or nothing."""
Host = Annotated[str, Meta(pattern=r"^\S+$", description="a host name or address")]
"""A host name or address to listen on."""
Address = Annotated[str, Meta(pattern=r"^\S+:[0-9]{1,5}$", description="host:port")]
"""host:port."""
Origin = Annotated[
    str, Meta(pattern=r"^https?://[^/\s]+$", description="an origin such as https://shop.example, without a path")
]
"""An origin as browsers send it: scheme, host, port, and no path."""
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^(|(rediss?(\+cluster)?|unix)://[^\s@]*)$",
        description=(
            "an address such as redis://host:6379/0 or redis+cluster://host:6379,host:6379, without a password "
            "(which is redis.password), or empty"
        ),
    ),
]
"""An address without user and password, or nothing."""


VerifyKey = Annotated[
    str,
    Meta(
        pattern=r"^salience-ed25519 [A-Za-z0-9+/]{43}=( .*)?$",
        description="a line that `salience signing create` prints, such as salience-ed25519 MCow...",
    ),
]
"""A public key that vouches for revisions."""


HttpUrl = Annotated[
    str,
    Meta(pattern=r"^(|https?://[^\s@?#]+)$", description="an address such as https://crm.example/customers, or empty"),
]
"""An address without user, query and fragment, or nothing."""


class KafkaSettings(Struct, frozen=True):
    """The event log."""

    bootstrap: tuple[Address, ...]
    topic_prefix: Prefix
    group: Name
    partitions: Count
    replicas: Count
    min_insync_replicas: Count
    events_retention_ms: Retention
    outputs_retention_ms: Retention
    client: Literal["kafka-python", "librdkafka"]
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"]
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
    ssl_ca: Path | None
    ssl_certificate: Path | None
    ssl_key: Path | None
    ssl_key_password: Secret
    ssl_check_hostname: bool
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    sasl_username: str
    sasl_password: Secret


class RedisSettings(Struct, frozen=True):
    """The state store."""

    url: RedisUrl
    password: Secret
    timeout_ms: Millis


class CrmSettings(Struct, frozen=True):
    """Facts of customers from another system over HTTP."""

    url: HttpUrl
    token: Secret
    deadline_ms: Millis
    max_age_ms: Millis


class ApiSettings(Struct, frozen=True):
    """The decision API."""

    host: Host
    port: Port
    workers: Count
    deadline_ms: Millis
    cors_origins: tuple[Origin, ...]
    max_body_bytes: Bytes
    max_batch_events: Count
    holdout_percent: Percent
    max_in_flight: Count
    storefront_requests_per_s: Amount
    server_requests_per_s: Amount
    tls_certificate: str
    tls_key: str
    http2_cleartext: bool
    grpc_port: Port | None


class AdminSettings(Struct, frozen=True):
    """The admin UI."""

    host: Host
    port: Port
    secret_key: Secret
    session_hours: Count
    secure_cookies: bool


class ShopSettings(Struct, frozen=True):
    """The example shop and its simulated shoppers."""

    host: Host
    port: Port
    sessions_per_minute: Amount


class WorkerSettings(Struct, frozen=True):
    """The stream worker."""

    batch_events: Count
    poll_ms: Millis
    allowed_lateness_ms: Annotated[int, Meta(ge=0, le=86_400_000)]
    idle_ms: Millis


class BundleSettings(Struct, frozen=True):
    """Where rules come from."""

    folder: Path
    watch: bool
    poll_ms: Millis
    trusted_keys: tuple[VerifyKey, ...]


class ModelSettings(Struct, frozen=True):
    """Scores."""

    registry: Path
    deadline_ms: Millis


class LogSettings(Struct, frozen=True):
    """What the processes tell."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["text", "json"]


class Settings(Struct, frozen=True):
    """All settings of one process. Paths are absolute; an empty `kafka.bootstrap` or `redis.url` means embedded."""

    data_dir: Path
    kafka: KafkaSettings
    redis: RedisSettings
    crm: CrmSettings
    api: ApiSettings
    admin: AdminSettings
    shop: ShopSettings
    worker: WorkerSettings
    bundle: BundleSettings
    models: ModelSettings
    log: LogSettings
