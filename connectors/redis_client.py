"""How Redis is reached: clients with a limit on every wait, and errors that name the server.

A URL says where: `redis://host:port/db`, `rediss://` with TLS (`?ssl_ca_certs=FILE`), a user as `rediss://user@host`,
`unix:///path`. A password is better given apart: URLs end up in process lists and logs. `redis+cluster://host:port,host:port`
and `rediss+cluster://` name some nodes of a Redis Cluster: see `connectors.redis_cluster`.

Nothing is tried again here: whether a write was done when its connection broke is not known, and the caller decides. A
connection that was closed while it was idle, by a restart or a timeout, is noticed when it is taken from the pool. What
every connection does first, because of restarts, says `connectors.redis_restart`.

Where a store annotates a reply as `Any`: the library's types allow text for every reply, which our clients never ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors.redis_cluster import AsyncClusterClient, ClusterClient, Node
from connectors.redis_restart import begin_file, begin_file_async
from engine.ports import PortError
from engine.values import Millis

PORT = 6379
CLUSTER = "+cluster"
"""At the end of the scheme of a URL."""

MAX_CONNECTIONS = 64
"""Of one asynchronous client to one server. A task that finds none free waits for at most `timeout_ms`."""


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis is, and how long to wait for it.

    Attributes:
        url: See the module.
        password: Overrides one in the URL.
        timeout_ms: The longest wait for a connection, and for each answer.
        prefix: Begins every key, so that installations can share a server.
    """

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    timeout_ms: Millis = 1_000
    prefix: str = "salience:"

    @property
    def shown(self) -> str:
        """The server without user, password and options, for messages."""
        if self.is_cluster:
            return ",".join(f"{host}:{port}" for host, port in self._seeds())
        parts = urlsplit(self.url)
        return f"{parts.hostname or parts.path}:{parts.port or PORT}" if parts.hostname else parts.path

    @property
    def is_cluster(self) -> bool:
        """Whether it is a Redis Cluster."""
        return urlsplit(self.url).scheme.endswith(CLUSTER)

    def connect(self) -> redis.Redis:
        """A client; it connects with its first call. Raises `PortError` for a URL that is none."""
        with self.explained():
            return ClusterClient(self._seeds(), self._node) if self.is_cluster else self._server(self.url)

    def connect_async(self) -> redis.asyncio.Redis:
        """A client for one event loop; it connects with its first call."""
        with self.explained():
            if self.is_cluster:
                return AsyncClusterClient(self._seeds(), self._node_async)
            return self._server_async(self.url)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn every failure of the client inside into a `PortError` that names the server."""
        try:
            yield
        except (redis.TimeoutError, TimeoutError) as error:
            raise PortError(f"Redis at {self.shown} did not answer within {self.timeout_ms} ms") from error
        except redis.AuthenticationError as error:
            raise PortError(f"Redis at {self.shown} refuses user or password ({error})") from error
        except redis.ConnectionError as error:
            raise PortError(f"Redis at {self.shown} can't be reached ({error})") from error
        except redis.OutOfMemoryError as error:
            raise PortError(f"Redis at {self.shown} is full; raise its maxmemory, or free some ({error})") from error
        except redis.exceptions.MovedError as error:
            raise PortError(
                f"Redis at {self.shown} is a node of a cluster: name it as redis+cluster://{self.shown}"
            ) from error
        except redis.ReadOnlyError as error:
            raise PortError(f"Redis at {self.shown} is a replica; name the primary in the address") from error
        except (redis.RedisError, OSError, ValueError) as error:
            raise PortError(f"Redis at {self.shown}: {error}") from error

    def _server(self, url: str) -> redis.Redis:
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), redis_connect_func=begin_file, **self._options())

    def _server_async(self, url: str) -> redis.asyncio.Redis:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            retry=AsyncRetry(NoBackoff(), 0),
            max_connections=MAX_CONNECTIONS,
            timeout=self.timeout_ms / 1000,
            redis_connect_func=begin_file_async,
            **self._options(),
        )
        return redis.asyncio.Redis.from_pool(pool)

    def _node(self, node: Node) -> redis.Redis:
        return self._server(self._url_of(node))

    def _node_async(self, node: Node) -> redis.asyncio.Redis:
        return self._server_async(self._url_of(node))

    def _url_of(self, node: Node) -> str:
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        host = f"[{node[0]}]" if ":" in node[0] else node[0]
        return urlunsplit((parts.scheme.removesuffix(CLUSTER), f"{user}{at}{host}:{node[1]}", "", parts.query, ""))

    def _seeds(self) -> list[Node]:
        named = [urlsplit(f"//{each}") for each in urlsplit(self.url).netloc.rpartition("@")[2].split(",")]
        return [(each.hostname, each.port or PORT) for each in named if each.hostname]

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "socket_timeout": self.timeout_ms / 1000,
            "socket_connect_timeout": self.timeout_ms / 1000,
            "decode_responses": False,
        }
        return options | ({"password": self.password} if self.password else {})
