"""A worker process that ends or stops itself at a named step, or works without one of its guards.

The steps and guards are put around the real classes here, so that nothing of it is in what ships.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

from connectors import kafka_librdkafka, kafka_outputs, kafka_python, kafka_source, redis_state
from connectors.kafka_librdkafka_writing import RdTransactor
from connectors.kafka_marks import TransactionMarks
from connectors.kafka_outputs import KafkaOutputs
from connectors.kafka_python_reading import PythonMember
from connectors.kafka_python_writing import PythonTransactor
from connectors.redis_state import RedisState
from engine.ports import Place, Turn
from service.settings import load
from service.worker.process import WorkerProcess

SESSION_MS = 3_000
"""Members that died or were stopped leave the group so soon; the brokers of the harness allow it."""

STATE = (RedisState,)
TRANSACTORS = (PythonTransactor, RdTransactor)

STEPS: Mapping[str, tuple[tuple[type[Any], ...], str, bool]] = {
    "claimed": (STATE, "claim", True),
    "evaluated": (STATE, "apply", False),
    "beside": (STATE, "apply", False),
    "applied": (STATE, "apply", True),
    "begun": (TRANSACTORS, "begin", True),
    "flushed": (TRANSACTORS, "commit", False),
    "committed": (TRANSACTORS, "commit", True),
    "trimmed": (STATE, "trim", True),
}
"""By name, the call before or after (True) which it is; `beside`: while another partition's call is on its way."""

GUARDS = ("offset", "fence", "suppression")


@dataclass(frozen=True)
class Fault:
    """What happens to a worker: at the `after`th time at `step` it gets `signum`."""

    step: str
    after: int
    signum: int = signal.SIGKILL


def run(environment: Mapping[str, str], folder: str, log: str, fault: Fault | None, without: str) -> None:
    """The whole process."""
    descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for library in ("kafka", "librdkafka"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    kafka_source.SESSION_MS = SESSION_MS
    if without:
        _take_out(without)
    if fault is not None:
        _arm(fault)
    process = WorkerProcess(load(environ=environment, folder=Path(folder)).settings, watch=False)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGUSR1, lambda *_: _tell(process))
    process.run()


def _tell(process: WorkerProcess) -> None:
    """Where each partition stands, for the message about one that does not move."""
    worker = process.worker
    for holding in worker._holdings:
        each = holding.partition
        standing = f"{each.standing} at {each.position}, generation {each.generation}, out {each.out}"
        retry = holding.retry_at - worker._elapsed()
        member = getattr(worker._ports.source, "_member", None)
        held = member and member.standing()
        paused = getattr(member, "_paused", None)
        if isinstance(member, PythonMember):
            paused = sorted(tp.partition for tp in member._consumer.paused())
        logging.getLogger("faults").info(
            "partition %d: %s, retry in %.1f s; held %s, paused %s", each.number, standing, retry, held, paused
        )


def _arm(fault: Fault) -> None:
    left = [fault.after]
    under_way: list[None] = []
    log = logging.getLogger("faults")

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            log.info("signal %d at %s", fault.signum, fault.step)
            # To this very thread: told to the process, the signal may meet another first, and this one goes on a while.
            signal.pthread_kill(threading.get_ident(), fault.signum)

    def armed(step: str, is_after: bool, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if step == fault.step and not is_after and (step != "beside" or under_way):
            strike()
        # Of a stop before a call that very call, of one after it the next of any: threads stop in the midst of others.
        is_on_again = left[0] == 0 and (step == fault.step or STEPS[fault.step][2])
        outcome = "done"
        marks = [None] if step == "beside" else []
        under_way.extend(marks)
        try:
            answer = call(*args, **kwargs)
        except BaseException as error:
            outcome = repr(error)
            raise
        finally:
            del under_way[: len(marks)]
            if is_on_again:
                left[0] = -1
                log.info("%d went on, %s: %s", os.getpid(), step, outcome)
        if step == fault.step and is_after:
            strike()
        return answer

    for step, (kinds, name, is_after) in STEPS.items():
        for kind in kinds:
            setattr(kind, name, partialmethod(partial(armed, step, is_after, getattr(kind, name))))


def _take_out(guard: str) -> None:
    """What each guard is good for is seen when it is missing."""
    fence = "if tonumber(ARGV[1]) < tonumber(stored[1] or 0) then return 2 end"
    claim = "if stored[1] and generation < tonumber(stored[1]) then return false end"
    offset = "if tonumber(ARGV[2]) ~= tonumber(stored[2] or 0) or tonumber(ARGV[9]) ~= tonumber(stored[5] or 0) then"
    assert fence in redis_state.APPLY
    assert claim in redis_state.CLAIM
    assert offset in redis_state.APPLY
    if guard == "offset":
        redis_state.APPLY = redis_state.APPLY.replace(offset, "if false then")
    elif guard == "fence":
        redis_state.APPLY = redis_state.APPLY.replace(fence, "")
        redis_state.CLAIM = redis_state.CLAIM.replace(claim, "")
        named = KafkaOutputs._transactional_id
        KafkaOutputs._transactional_id = lambda self, partition: f"{named(self, partition)}-{os.getpid()}"  # type: ignore[method-assign]
        # Reading the position would see the other's transaction, and wait until it is undone.
        TransactionMarks.complete = lambda *_: True  # type: ignore[method-assign]
        kafka_python.TRANSACTOR["transaction_timeout_ms"] = 60_000
        kafka_librdkafka.TRANSACTOR["transaction.timeout.ms"] = 60_000
    elif guard == "suppression":
        claimed = kafka_outputs.KafkaOutputs.claim
        KafkaOutputs.claim = lambda self, partition: Turn(claimed(self, partition).token, Place())  # type: ignore[method-assign]
    else:
        raise ValueError(guard)
