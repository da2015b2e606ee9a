"""A batch with all that its evaluation needs, and what it brings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from engine.activation import Catalogue
from engine.language.tree import Rule
from engine.ports import Output, Record
from engine.values import EpochMs, Millis
from service.loading import Loaded
from service.worker.counts import Counts
from service.worker.intake import Reading, Refused
from service.worker.sessions import Profile, Session


@dataclass(frozen=True, slots=True)
class Work:
    """A batch with all that its evaluation needs.

    Attributes:
        offset: Where the partition's state stands; the batch follows it.
        watermark: Of the partition, before the batch.
        records: In order of offset; may be empty where only timers are due.
        readings: What each record is.
        seen: Ids of earlier batches among those of the records.
        due: Stored sessions that come due in the batch, each with its moment.
        lost: Stored sessions that can't be read any more.
        profiles: Of the customers that occur, by id.
        catalogue: Looks facts of things up.
        lateness: Allowed lateness.
        step: Batches written at `offset` before.
        brought: Outputs that the record before `offset` has brought before.
    """

    partition: int
    offset: int
    watermark: EpochMs
    records: Sequence[Record]
    readings: Sequence[Reading]
    seen: Collection[str]
    due: Sequence[tuple[EpochMs, str]]
    profiles: Mapping[str, Profile]
    loaded: Loaded
    lateness: Millis
    lost: Collection[str] = ()
    step: int = 0
    brought: int = 0
    catalogue: Catalogue | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What decides whether a rule's act is sent.

    Attributes:
        token: The id of the act.
        customer_id: Whose the session is, None while anonymous.
        is_named: Whether the event that brought it about names the customer.
    """

    rule: Rule
    token: str
    session_id: str
    customer_id: str | None
    is_named: bool


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be sent; a rule's, where nothing withholds it."""

    outputs: Sequence[Output]
    time: EpochMs
    sending: Sending | None = None


@dataclass(slots=True)
class Outcome:
    """What a batch brought.

    Attributes:
        touched: Sessions that changed; None for one that ended.
        seen: Ids to remember.
        acts: Everything to send, in order.
        signed_in: (session, customer) where an anonymous session was said to be a customer's.
    """

    offset: int
    watermark: EpochMs
    touched: dict[str, Session | None] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    signed_in: list[tuple[str, str]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


def watermark_after(work: Work) -> EpochMs:
    """The watermark after the last record: what comes due until then has to be loaded before."""
    latest = work.watermark + work.lateness
    for reading in work.readings:
        if isinstance(reading, Refused):
            continue
        time = reading if isinstance(reading, int) else reading.time
        latest = max(latest, time)
    return latest - work.lateness
