"""Triggers, dead letters and late events on Kafka: a topic of each, partitioned like the events, in transactions.

Key = the session id, value as given; headers `id` (deterministic), `offset` and `ordinal` (of the record that brought it
about, and which of its outputs this is).

Each partition of the events has a producer with a transactional id of its own. A transaction carries outputs and one record
of the compacted topic of positions: key = the partition, value = `[offset, ordinal, regimes]`: the place after the last output,
and the latest of what outputs were evaluated with.
Making a producer with the same id fences the former one and undoes what it left open; then the position is read. Marks of
transactions that the brokers left out are written before and after (`connectors.kafka_marks`).
Consumer offsets are no part of the transaction: with a killed coordinator that call never returns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import msgspec

from connectors.kafka_client import KafkaAddress
from connectors.kafka_marks import MARKS_S, TransactionMarks
from connectors.kafka_port import FencedProducerError, Message, NewMessage, Reader, Transactor
from engine.ports import FencedError, Output, OutputKind, Place, PortError, Turn, partition_of
from engine.regime import Regime

SEND_S = 15.0
"""Longer than the client's own limits add up to."""

SETTLING_S = 12.0
"""Where brokers change, so long is waited for them: a turn that ends costs a new producer on top, once they are back."""

READ_S = 10.0

POSITIONS_AT_ONCE = 100
"""Records of the topic of positions that are looked through for the last one; every second is a transaction's mark."""

_encode = msgspec.json.Encoder().encode


class _Position(msgspec.Struct, array_like=True):
    """A record of the topic of positions; there were no regimes in those of earlier releases."""

    offset: int = 0
    ordinal: int = 0
    regimes: tuple[Regime, ...] = ()


_decode_position = msgspec.json.Decoder(_Position).decode


class _Sender:
    """A producer for the outputs of one partition, good until anything fails."""

    def __init__(self, transactor: Transactor, token: int, position: _Position) -> None:
        self.transactor = transactor
        self.token = token
        self.position = position
        self.touched: set[tuple[str, int]] = set()  # partitions whose marks were not seen yet
        self.lock = threading.Lock()


class KafkaOutputs:
    """`OutputLog` on three topics and one of positions; connects with its first call."""

    def __init__(self, address: KafkaAddress, partitions: int) -> None:
        self._address = address
        self._partitions = partitions
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._senders: dict[int, _Sender] = {}
        self._tokens = 0
        self._reader: Reader | None = None
        self._marking = threading.Lock()
        self._marks = TransactionMarks(address)

    def claim(self, partition: int) -> Turn:
        """Make a producer with the partition's transactional id, then read the position."""
        self._retire(partition)
        shared = [(topic, n) for topic in map(self._address.topic, OutputKind) for n in range(self._partitions)]
        with self._address.explained(f"taking over the outputs of partition {partition}"):
            self._complete_now(partition, shared)
            transactor = self._address.client.transactor(self._transactional_id(partition))
            try:
                transactor.init()
                self._complete_now(partition, shared)
                position = self._position(partition)
            except BaseException:
                transactor.close()
                raise
        with self._lock:
            self._tokens += 1
            self._senders[partition] = _Sender(transactor, self._tokens, position)
            return Turn(self._tokens, Place(position.offset, position.ordinal), position.regimes)

    def send(self, partition: int, token: int, outputs: Sequence[Output], regimes: Sequence[Regime] = ()) -> None:
        """Write all with the position in one transaction, looking at the answer for each record before the commit."""
        if not outputs and not regimes:
            return
        with self._using(partition, token, "sending outputs") as sender:
            self._send(sender, partition, outputs, regimes)

    def settle(self, partition: int, token: int) -> bool:
        """Write the marks of what was sent that the brokers left out, before the next mark decides over it."""
        with self._using(partition, token, "settling what was sent") as sender:
            if not self._marking.acquire(blocking=False):
                return False
            try:
                is_settled = self._complete(self._marks, partition, sorted(sender.touched), SETTLING_S)
            finally:
                self._marking.release()
            if is_settled:
                sender.touched.clear()
            return is_settled

    def read(self, kind: OutputKind, limit: int) -> Sequence[Output]:
        """The latest committed by time; those of a key in reverse of the order in which they were sent."""
        topic = self._address.topic(kind)
        with self._address.explained(f"reading {topic}"), closing(self._address.client.reader()) as reader:
            partitions = range(self._partitions)
            firsts, ends = reader.firsts(topic, partitions), reader.ends(topic, partitions)
            # Aborted transactions and their markers take offsets, too: some may be less than asked for.
            starts = {number: max(firsts[number], ends[number] - 2 * limit) for number in partitions}
            records = list(reader.read(topic, starts, ends, READ_S))
        records.sort(key=lambda record: (record.time, record.partition, record.offset), reverse=True)
        return [_output(kind, record) for record in records[:limit]]

    def close(self) -> None:
        """Close the connections."""
        for partition in list(self._senders):
            self._retire(partition)
        with self._reading:
            self._drop_reader()
        with self._marking:
            self._marks.close()

    def _transactional_id(self, partition: int) -> str:
        return f"{self._address.prefix}outputs-{partition}"

    def _send(self, sender: _Sender, partition: int, outputs: Sequence[Output], regimes: Sequence[Regime]) -> None:
        messages = [
            NewMessage(
                self._address.topic(output.kind),
                partition_of(output.key, self._partitions),
                output.key.encode(),
                output.value,
                [
                    ("id", output.id.encode()),
                    ("offset", str(output.offset).encode()),
                    ("ordinal", str(output.ordinal).encode()),
                ],
            )
            for output in outputs
        ]
        position = _Position(sender.position.offset, sender.position.ordinal, tuple(regimes) or sender.position.regimes)
        if outputs:
            position.offset, position.ordinal = outputs[-1].offset, outputs[-1].ordinal + 1
        messages.append(NewMessage(self._address.positions, partition, str(partition).encode(), _encode(position)))
        sender.touched.update((message.topic, message.partition) for message in messages[:-1])
        sender.transactor.begin()
        sender.transactor.write(messages, SEND_S)
        sender.transactor.commit()
        sender.position = position

    @contextmanager
    def _using(self, partition: int, token: int, doing: str) -> Iterator[_Sender]:
        """The sender of a turn. What fails inside ends the turn: what was written is not known, nor the producer's state."""
        with self._lock:
            sender = self._senders.get(partition)
        if sender is None or sender.token != token:
            raise FencedError(
                f"Kafka at {self._address.shown}: the turn for the outputs of partition {partition} is over"
            )
        with sender.lock:
            try:
                with self._address.explained(f"{doing} of partition {partition}"):
                    yield sender
            except PortError as error:
                with self._lock:
                    if self._senders.get(partition) is sender:
                        del self._senders[partition]
                if isinstance(error.__cause__, FencedProducerError):
                    raise FencedError(str(error)) from error
                raise
            finally:
                if self._senders.get(partition) is not sender:
                    sender.transactor.close()

    def _complete(
        self,
        marks: TransactionMarks,
        partition: int,
        shared: Sequence[tuple[str, int]],
        patience_s: float = MARKS_S,
    ) -> bool:
        """Write the marks of the partition's transactions that are missing; whether all is decided."""
        own = (self._address.positions, partition)
        return marks.complete(self._transactional_id(partition), own, shared, patience_s)

    def _complete_now(self, partition: int, shared: Sequence[tuple[str, int]]) -> None:
        """Without waiting for another partition, whose brokers may be away: by connections of our own where need be."""
        if self._marking.acquire(blocking=False):
            try:
                self._complete(self._marks, partition, shared)
            finally:
                self._marking.release()
            return
        with closing(TransactionMarks(self._address)) as marks:
            self._complete(marks, partition, shared)

    def _position(self, partition: int) -> _Position:
        """The last committed position, up to the end that the broker names now; without waiting, as above."""
        if not self._reading.acquire(blocking=False):
            with closing(self._address.client.reader()) as reader:
                return self._last_position(reader, partition)
        try:
            if self._reader is None:
                self._reader = self._address.client.reader()
            return self._last_position(self._reader, partition)
        except BaseException:
            self._drop_reader()
            raise
        finally:
            self._reading.release()

    def _last_position(self, reader: Reader, partition: int) -> _Position:
        topic = self._address.positions
        first = reader.firsts(topic, [partition])[partition]
        end = reader.ends(topic, [partition])[partition]
        back = POSITIONS_AT_ONCE
        while end > first:
            start = max(first, end - back)
            records = reader.read(topic, {partition: start}, {partition: end}, READ_S)
            if records:
                return _decode_position(max(records, key=lambda record: record.offset).value or b"")
            if start == first:
                break
            back *= 10
        return _Position()

    def _retire(self, partition: int) -> None:
        """End the turn of this process, if it has one. A send on its way is not waited for: the next claim fences it."""
        with self._lock:
            sender = self._senders.pop(partition, None)
        if sender is not None and sender.lock.acquire(blocking=False):
            try:
                sender.transactor.close()
            finally:
                sender.lock.release()

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(PortError), self._address.explained("closing"):
                reader.close()


def _output(kind: OutputKind, record: Message) -> Output:
    headers = dict(record.headers)
    return Output(
        id=headers.get("id", b"").decode(errors="replace"),
        kind=kind,
        key=(record.key or b"").decode(errors="replace"),
        value=record.value or b"",
        offset=int(headers.get("offset", b"-1")),
        ordinal=int(headers.get("ordinal", b"0")),
    )
