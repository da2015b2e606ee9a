"""What goes out of the worker, as JSON: triggers, dead letters, late events; and the tick record that it writes itself."""

from __future__ import annotations

import hashlib

import msgspec

from engine.activation import Activation, TriggerMessage
from engine.ports import NewRecord, Output, OutputKind, Record, partition_of
from engine.values import EpochMs

TICK = "$tick"
"""Reserved type of a record that says what time it is. No vocabulary can declare it: event names are words."""

REJECTIONS = {
    "not-json": "the record is no JSON",
    "not-an-event": "the JSON is no event: a field is missing, or has another shape",
    "bad-tick": "a record of the type `$tick` without a time; only workers write those",
    "from-the-future": "the event's time is more than an hour after the log received it",
    "evaluation-failed": "the engine failed on the event; the reason names the error, the log has its traceback",
    "late": "the event came later than the allowed lateness",
}
"""The worker's own codes of `Rejected`; the others are those of `engine.vocabulary`."""


class Trigger(msgspec.Struct, frozen=True):
    """A message of a rule's `trigger` action.

    Attributes:
        id: Deterministic; a receiver that keeps it sees each message once.
        trigger: The name in the rule.
        time: When the rule became true.
        revision: The revision that it was evaluated with.
    """

    id: str
    trigger: str
    rule: str
    session_id: str
    customer_id: str | None
    time: EpochMs
    payload: object
    revision: int
    bundle: str


class Rejected(msgspec.Struct, frozen=True):
    """A record that was not applied: why, where it stands in the log, and its bytes as they came (base64 in JSON).

    Attributes:
        code: Stable: one of `REJECTIONS`, or a code of `engine.vocabulary.EventRefusedError`.
        field: The field that does not fit, where there is one.
        received: When it was appended to the log.
    """

    code: str
    reason: str
    field: str
    partition: int
    offset: int
    key: str
    received: EpochMs
    value: bytes


class Tick(msgspec.Struct, frozen=True):
    """A record that the worker appends to a partition in which nothing comes, so that time passes in the log itself."""

    type: str
    session_id: str
    time: EpochMs


_encode = msgspec.json.Encoder().encode


def act_id(partition: int, offset: int, session_id: str, cause: str, rule: str, ordinal: int) -> str:
    """The id of an act: the same whenever the same record is evaluated again.

    Args:
        partition: Of the record.
        offset: Of the record that brought it about, be it by moving the time.
        session_id: In which the rule acted.
        cause: `event` or `timer`: one record can do both to a session.
        rule: Rule id.
        ordinal: Which act of this rule by this cause, from 0.
    """
    text = f"{partition}\0{offset}\0{session_id}\0{cause}\0{rule}\0{ordinal}"
    return hashlib.sha256(text.encode()).hexdigest()


def trigger_outputs(
    act: str, offset: int, session_id: str, customer_id: str | None, activation: Activation, revision: int, bundle: str
) -> list[Output]:
    """The messages of an act, one for each of its triggers."""
    return [
        _trigger(act if not n else f"{act}.{n}", offset, session_id, customer_id, activation, each, revision, bundle)
        for n, each in enumerate(activation.triggers)
    ]


def _trigger(
    message_id: str,
    offset: int,
    session_id: str,
    customer_id: str | None,
    activation: Activation,
    message: TriggerMessage,
    revision: int,
    bundle: str,
) -> Output:
    body = Trigger(
        id=message_id,
        trigger=message.name,
        rule=activation.rule,
        session_id=session_id,
        customer_id=customer_id,
        time=activation.time,
        payload=message.payload,
        revision=revision,
        bundle=bundle,
    )
    return Output(message_id, OutputKind.TRIGGER, session_id, _encode(body), offset)


def rejected_output(kind: OutputKind, record: Record, code: str, reason: str, field: str = "") -> Output:
    """A record on its way to the dead letters or the late events."""
    body = Rejected(code, reason, field, record.partition, record.offset, record.key, record.time, record.value)
    return Output(f"{record.partition}-{record.offset}", kind, record.key, _encode(body), record.offset)


def tick_record(partition: int, partitions: int, time: EpochMs) -> NewRecord:
    """A tick for a partition; its key is one that falls there."""
    key = next(key for key in map("$tick-{}".format, range(1_000_000)) if partition_of(key, partitions) == partition)
    return NewRecord(key, _encode(Tick(TICK, key, time)))
