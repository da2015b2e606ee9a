"""A Redis Cluster behind the interface of one server.

What the stores send are commands whose keys share a slot, alone or several in a pipeline; what must be as of one moment is
one script. So this is all there is to it: each command goes to the node that has its slot, and

| the node answers | what follows |
|---|---|
| MOVED | the command goes to the node named, as all of the slot from now on |
| ASK | this command goes there, after ASKING: the slot is on its way |
| TRYAGAIN | some of its keys have been moved and some not: again a little later, a few times |
| NOSCRIPT | the script goes along: a node that has just become a master does not know it |
| nothing, or CLUSTERDOWN | the error is the caller's, since whether a write was done is not known; who has what is asked anew before the next command |

The library's own cluster clients are not used: they try writes again whose outcome is not known, connect when they are made,
do not follow a slot to a node that had none, and the asynchronous one sends ASKING and what follows on two connections.

`routed` decides, and does nothing by itself; a synchronous and an asynchronous client do what it yields.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

Node: TypeAlias = "tuple[str, int]"
"""Host and port."""

Command: TypeAlias = "tuple[tuple[Any, ...], dict[str, Any]]"
"""Arguments, and what the library's parser of the reply wants to know."""

Sent: TypeAlias = "dict[Node, list[Command]]"
Answered: TypeAlias = "Mapping[Node, list[Any] | Exception]"
"""The replies of each node, among them exceptions; or why there are none."""

Steps: TypeAlias = "Generator[Sent | float, Answered, list[Any]]"
"""Commands to be sent, or seconds to wait."""

TRIES = 8
PAUSE_S = 0.01

ASKING: Command = (("ASKING",), {})
WHO_HAS_WHAT: Command = (("CLUSTER SLOTS",), {})
SCRIPTS = ("EVAL", "EVALSHA")


class Slots:
    """Which node has which slot, as last heard. Shared by threads: each change is one assignment.

    Args:
        seeds: Nodes to ask first; later any that was heard of.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        if not seeds:
            raise ValueError("the address of a cluster names no node, as in redis+cluster://host:port,host:port")
        self.is_stale = True
        self.scripts: dict[str, str] = {}
        self._seeds = list(seeds)
        self._nodes: list[Node | None] = []
        self._known: list[Node] = []
        self._failed: Node | None = None

    def node(self, key: Any) -> Node:
        """The master that has a key."""
        node = self._nodes[key_slot(key if isinstance(key, bytes) else str(key).encode())] if self._nodes else None
        if node is None:
            self.is_stale = True
            raise redis.ConnectionError("no node of the cluster has the slot of this key")
        return node

    def sources(self) -> list[Node]:
        """Whom to ask, the one that failed last."""
        return sorted(dict.fromkeys([*self._known, *self._seeds]), key=lambda node: node == self._failed)

    def take(self, asked: Node, reply: Sequence[Any]) -> None:
        """What a node says of all slots; it may leave its own host out."""
        nodes: list[Node | None] = [None] * 16_384
        known = []
        for first, last, master, *replicas in reply:
            named = [(_text(host) or asked[0], int(port)) for host, port, *_ in (master, *replicas)]
            nodes[first : last + 1] = [named[0]] * (last + 1 - first)
            known += named
        # The one asked last is asked last: it may be cut off from the others, and not know what they do.
        self._known = [*dict.fromkeys(each for each in known if each != asked), asked]
        self._nodes, self._failed = nodes, None
        self.is_stale = False

    def moved(self, error: MovedError, asked: Node) -> None:
        """One slot has another node."""
        if self._nodes:
            self._nodes[int(error.slot_id)] = _named(error, asked)

    def failed(self, node: Node) -> None:
        """A node did not answer: perhaps another has become the master."""
        self._failed = node
        self.is_stale = True


def routed(slots: Slots, commands: Sequence[Command]) -> Steps:
    """Send commands to where their keys are; the replies in their order, among them exceptions that are no redirection.

    Raises:
        redis.ConnectionError, redis.TimeoutError: A node is gone. Others may have done what they were sent.
    """
    replies: list[Any] = [None] * len(commands)
    waiting = dict(enumerate(commands))
    asking: dict[int, Node] = {}
    for _ in range(TRIES):
        if slots.is_stale:
            yield from _refresh(slots)
        sent: Sent = {}
        places: dict[Node, list[int]] = {}
        for index, command in waiting.items():
            node = asking.get(index) or slots.node(_key(command))
            sent.setdefault(node, []).extend([ASKING, command] if index in asking else [command])
            places.setdefault(node, []).extend([-1, index] if index in asking else [index])
        asking.clear()
        answered = yield sent
        pause = 0.0
        for node, answers in answered.items():
            if isinstance(answers, Exception):
                slots.failed(node)
                raise answers
            for index, answer in zip(places[node], answers, strict=True):
                if index < 0:
                    continue
                replies[index] = answer
                if isinstance(answer, MovedError):  # which is an AskError to the library
                    slots.moved(answer, node)
                elif isinstance(answer, AskError):
                    asking[index] = _named(answer, node)
                elif isinstance(answer, TryAgainError):
                    pause = PAUSE_S
                elif isinstance(answer, NoScriptError):
                    waiting[index] = _in_full(slots, waiting[index])
                else:
                    if isinstance(answer, ClusterDownError):
                        slots.failed(node)
                    del waiting[index]
        if not waiting:
            break
        if pause:
            yield pause
    return replies


def _refresh(slots: Slots) -> Steps:
    """Ask one node after another who has what."""
    last: Any = None
    for node in slots.sources():
        answer = (yield {node: [WHO_HAS_WHAT]})[node]
        last = answer if isinstance(answer, Exception) else answer[0]
        if not isinstance(last, Exception):
            slots.take(node, last)
            return []
    if isinstance(last, redis.AuthenticationError | redis.ResponseError):
        raise last
    raise redis.ConnectionError(f"none of its nodes answers: {last}")


def _key(command: Command) -> Any:
    arguments, _ = command
    return arguments[3] if arguments[0] in SCRIPTS else arguments[1]


def _in_full(slots: Slots, command: Command) -> Command:
    (name, sha, *rest), options = command
    return ("EVAL", slots.scripts[sha], *rest) if name == "EVALSHA" else (name, sha, *rest), options


def _named(error: AskError, asked: Node) -> Node:
    return error.host or asked[0], int(error.port)


def _text(host: bytes | str | None) -> str:
    text = host.decode() if isinstance(host, bytes) else host or ""
    return "" if text == "?" else text


def _first_error(replies: list[Any]) -> list[Any]:
    for each in replies:
        if isinstance(each, Exception):
            raise each
    return replies


class ClusterClient(redis.Redis):
    """A cluster for what the stores use of `redis.Redis`; it connects with its first call.

    Args:
        seeds: Some of its nodes.
        connect: Makes the client of a node.
    """

    def __init__(self, seeds: Sequence[Node], connect: Callable[[Node], redis.Redis]) -> None:
        super().__init__()  # the library's commands end in `execute_command`; its pool is never used
        self._slots = Slots(seeds)
        self._connect = connect
        self._clients: dict[Node, redis.Redis] = {}

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""
        return self.send([(args, options)])[0]

    def pipeline(self, transaction: Any = False, shard_hint: Any = None) -> redis.client.Pipeline:
        """Several commands, each for itself."""
        if transaction:
            raise NotImplementedError("what must be as of one moment is a script")
        return _Pipeline(self)

    def register_script(self, script: Any) -> Any:
        """Know a script, for nodes that don't."""
        registered = super().register_script(script)
        self._slots.scripts[registered.sha] = script
        return registered

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands; raises the first error among the replies."""
        steps = routed(self._slots, commands)
        try:
            todo = next(steps)
            while True:
                if isinstance(todo, float):
                    time.sleep(todo)
                    todo = steps.send({})
                else:
                    todo = steps.send({node: self._ask(node, asked) for node, asked in todo.items()})
        except StopIteration as done:
            return _first_error(done.value)

    def close(self) -> None:
        """Close the connections to all nodes."""
        for client in list(self._clients.values()):
            client.close()

    def _ask(self, node: Node, commands: list[Command]) -> list[Any] | Exception:
        client = self._clients.get(node)
        if client is None:
            client = self._clients.setdefault(node, self._connect(node))
        try:
            with client.pipeline(transaction=False) as pipe:
                pipe.command_stack += commands
                return pipe.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            return error


class _Pipeline(redis.client.Pipeline):
    """Collects commands, and has the cluster send them."""

    def __init__(self, cluster: ClusterClient) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send them."""
        collected: list[Any] = self.command_stack
        self.reset()
        return self._cluster.send(collected)


class AsyncClusterClient(redis.asyncio.Redis):
    """As `ClusterClient`, for one event loop; nodes are asked at once."""

    def __init__(self, seeds: Sequence[Node], connect: Callable[[Node], redis.asyncio.Redis]) -> None:
        super().__init__()
        self._slots = Slots(seeds)
        self._connect = connect
        self._clients: dict[Node, redis.asyncio.Redis] = {}

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""
        return (await self.send([(args, options)]))[0]

    async def mget(self, keys: Any, *args: Any) -> Any:
        """Read keys of any slots."""
        return await self.send([(("GET", key), {}) for key in (*keys, *args)]) if keys else []

    def register_script(self, script: Any) -> Any:
        """As `ClusterClient.register_script`."""
        registered = super().register_script(script)
        self._slots.scripts[registered.sha] = script
        return registered

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """As `ClusterClient.send`."""
        steps = routed(self._slots, commands)
        try:
            todo = next(steps)
            while True:
                if isinstance(todo, float):
                    await asyncio.sleep(todo)
                    todo = steps.send({})
                else:
                    answers = await asyncio.gather(*[self._ask(node, asked) for node, asked in todo.items()])
                    todo = steps.send(dict(zip(todo, answers, strict=True)))
        except StopIteration as done:
            return _first_error(done.value)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all nodes."""
        for client in list(self._clients.values()):
            await client.aclose(close_connection_pool)

    async def _ask(self, node: Node, commands: list[Command]) -> list[Any] | Exception:
        client = self._clients.get(node)
        if client is None:
            client = self._clients.setdefault(node, self._connect(node))
        try:
            async with client.pipeline(transaction=False) as pipe:
                for arguments, options in commands:
                    pipe.execute_command(*arguments, **options)
                return await pipe.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            return error
