"""Run a real Redis Cluster on loopback, for tests: three masters, each with a replica.

    with RedisCluster(directory) as cluster:
        client(cluster.url); cluster.move(cluster.slot("key")); cluster.fail_over("key")

Each server is a `RedisServer` in a folder of its own. A master that does not answer for a second is followed by its replica.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot

from tools.ports import HOST, free_ports
from tools.redis_server import RedisServer

SLOTS = 16_384
TIMEOUT_S = 30.0


class RedisCluster:
    """`masters` nodes with slots, each with `replicas`; settings as for `RedisServer`."""

    def __init__(
        self,
        directory: str | Path,
        masters: int = 3,
        replicas: int = 1,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        base = {
            "appendonly": "yes", "cluster-enabled": "yes", "cluster-node-timeout": 1_000,
            "cluster-replica-validity-factor": 0, "repl-diskless-sync-delay": 0, **(settings or {}),
        }  # fmt: skip
        self._masters = masters
        self._buses = free_ports(masters * (1 + replicas))
        self.servers = [
            RedisServer(Path(directory) / f"node-{number}", settings={**base, "cluster-port": bus})
            for number, bus in enumerate(self._buses)
        ]

    @property
    def url(self) -> str:
        """The address as our connector takes it: all nodes, since any may be gone."""
        return "redis+cluster://" + ",".join(f"{HOST}:{each.port}" for each in self.servers)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        for each in self.servers:
            each.kill()

    def start(self) -> Self:
        """Start all servers, and join them where they are new."""
        for each in self.servers:
            each.start()
        first = self.servers[0]
        if self._info(first)["cluster_slots_assigned"] == "0":
            self._join()
        self.wait_until_whole()
        return self

    def _join(self) -> None:
        first, per_master = self.servers[0], SLOTS // self._masters
        for number, each in enumerate(self.servers):
            self.command(each, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if each is not first:
                self.command(each, "CLUSTER", "MEET", HOST, first.port, self._buses[0])
        for number in range(self._masters):
            last = SLOTS - 1 if number == self._masters - 1 else (number + 1) * per_master - 1
            self.command(self.servers[number], "CLUSTER", "ADDSLOTSRANGE", number * per_master, last)
        wait_for(
            lambda: all(self._info(each)["cluster_known_nodes"] == str(len(self.servers)) for each in self.servers)
        )
        for number, each in enumerate(self.servers[self._masters :]):
            self._replicate(each, self._id(self.servers[number % self._masters]))

    def _replicate(self, server: RedisServer, master: str) -> None:
        def told() -> bool:
            with contextlib.suppress(redis.ResponseError):  # it has not heard of the master yet
                self.command(server, "CLUSTER", "REPLICATE", master)
                return True
            return False

        wait_for(told)

    def wait_until_whole(self) -> None:
        """Wait until all servers that run agree that all slots are served, and replicas follow."""

        def is_whole() -> bool:
            running = [each for each in self.servers if each.pid]
            views = [self._view(each) for each in running]
            return all(self._info(each)["cluster_state"] == "ok" for each in running) and all(
                view == views[0] for view in views
            ) and all(self._is_following(each) for each in running)  # fmt: skip

        wait_for(is_whole)

    def master(self, key: str) -> RedisServer:
        """The server that has a key now."""
        slot = key_slot(key.encode())
        for each in self.servers:
            if not each.pid:
                continue
            with contextlib.suppress(redis.RedisError):
                for first, last, node, *_ in self.command(each, "CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(server for server in self.servers if server.port == node[1])
        raise RuntimeError(f"nobody has {key}")

    def replica(self, key: str) -> RedisServer:
        """The server that follows the one that has a key."""
        port = self.master(key).port
        for each in self.servers:
            if each.pid:
                role = self.command(each, "ROLE")
                if role[0] == b"slave" and role[2] == port:
                    return each
        raise RuntimeError(f"nobody follows the one that has {key}")

    def fail_over(self, key: str) -> RedisServer:
        """Kill the master that has a key, and wait until its replica serves. The killed one, which is down, is returned."""
        killed = self.master(key)
        killed.kill()
        wait_for(lambda: self.master(key) is not killed)
        return killed

    def move(
        self,
        key: str,
        *,
        between: Callable[[], object] = lambda: None,
        order: Callable[[bytes], Any] = lambda each: each,
    ) -> RedisServer:
        """Move the slot of a key, with all that is in it, to another master, as `redis-cli --cluster reshard` does.

        Args:
            key: Any key of the slot.
            between: Called after each single key.
            order: What keys are sorted by: servers give them in an order of their own.
        """
        slot, source = key_slot(key.encode()), self.master(key)
        masters = [each for each in self.servers if each.pid and self.command(each, "ROLE")[0] == b"master"]
        target = next(each for each in masters if each is not source)
        self.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        self.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))
        while keys := self.command(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000):
            self.command(source, "MIGRATE", HOST, target.port, "", 0, 5_000, "KEYS", min(keys, key=order))
            between()
        for each in (target, source, *masters):
            self.command(each, "CLUSTER", "SETSLOT", slot, "NODE", self._id(target))
        return target

    def flush(self) -> None:
        """Take everything from all masters."""
        for each in self.servers:
            if each.pid and self.command(each, "ROLE")[0] == b"master":
                self.command(each, "FLUSHALL")

    def command(self, server: RedisServer, *arguments: Any) -> Any:
        """What one server answers."""
        with redis.Redis(port=server.port, socket_timeout=5) as client:
            client.response_callbacks.clear()
            return client.execute_command(*arguments)

    def _id(self, server: RedisServer) -> str:
        return str(self.command(server, "CLUSTER", "MYID").decode())

    def _info(self, server: RedisServer) -> dict[str, str]:
        lines = self.command(server, "CLUSTER", "INFO").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _view(self, server: RedisServer) -> list[Any]:
        """Who has what, as one server sees it."""
        return sorted([first, last, *sorted(node[1] for node in nodes)] for first, last, *nodes in
                      self.command(server, "CLUSTER", "SLOTS"))  # fmt: skip

    def _is_following(self, server: RedisServer) -> bool:
        role = self.command(server, "ROLE")
        return bool(role[0] == b"master" or role[3] == b"connected")


def wait_for(condition: Callable[[], bool], seconds: float = TIMEOUT_S) -> None:
    """Raise where it does not come about in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster did not come to be as it should")
        time.sleep(0.05)
