"""Free ports for servers that are started, killed and started again on the same port."""

import contextlib
import random
import socket

HOST = "127.0.0.1"
# Below Linux's default ephemeral range: a client's outgoing connection can then never take
# the port of a server that is down, nor connect to itself while it retries.
PORTS = range(20000, 32000)


def free_ports(count: int) -> list[int]:
    """Return `count` ports of `PORTS` on which nothing listens now.

    Raises:
        OSError: there are not so many.
    """
    free: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            free.append(port)
        if len(free) == count:
            return free
    raise OSError(f"no {count} free ports in {PORTS}")
