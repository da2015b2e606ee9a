"""How a partition's state lies in Redis: keys and encodings, for everything that reads or writes it.

All keys of partition N share the hash tag `{p:N}`, so that they lie on one node of a Redis Cluster:

| key | type | holds |
|---|---|---|
| `{p:N}:position` | hash | `generation`, `offset`, `step`, `brought`, `watermark`; `bucket` of seen ids; `outputs`: how many there ever were; `regime`: the present one; `replacing`, while a copy is being put in the place of all this |
| `{p:N}:s:<session>` | string | msgpack `[snapshot, time, due, customer]`; expires `session_ttl_ms` after its last write |
| `{p:N}:due` | sorted set | all sessions by `due`; without one they are at infinity |
| `{p:N}:recent` | sorted set | the latest `RECENT` sessions by clock |
| `{p:N}:seen:0` to `:4` | set | ids of 6 hours of the watermark each, used in turn |
| `{p:N}:outbox` | sorted set | 16-digit number + msgpack `[id, kind, key, value, offset, ordinal]`, by offset |
| `{p:N}:regimes` | list | `<offset> <step> ` + msgpack `[revision, bundle, models, lateness]` |

Expiry is a safety net only: the worker deletes a session when it ends.
"""

from __future__ import annotations

import msgspec

from engine.ports import Output, OutputKind, SessionState
from engine.regime import Regime
from engine.values import Millis

BUCKET_MS: Millis = 6 * 3_600_000
BUCKETS = 5
"""The bucket being filled and the four before it: ids are remembered for 24 to 30 hours of the watermark. A bucket leaves
as a whole, in the background (UNLINK), so that no batch waits for it."""

SESSION_TTL_MS: Millis = 30 * 86_400_000

RECENT = 1_000
"""Sessions of each partition that `recent` can list."""

ORDER_DIGITS = 16

_encode = msgspec.msgpack.Encoder().encode
_encode_sorted = msgspec.msgpack.Encoder(order="sorted").encode
_decode_session = msgspec.msgpack.Decoder(tuple[bytes, int, int | None, str | None]).decode
_decode_terms = msgspec.msgpack.Decoder(tuple[int, str, dict[str, str], int]).decode


class _Waiting(msgspec.Struct, array_like=True):
    """An output as stored; `ordinal` was not written before there were places."""

    id: str
    kind: OutputKind
    key: str
    value: bytes
    offset: int
    ordinal: int = 0


_decode_output = msgspec.msgpack.Decoder(_Waiting).decode


def partition_key(prefix: str, partition: int, name: str) -> str:
    """A key of a partition."""
    return f"{prefix}{{p:{partition}}}:{name}"


def session_key(prefix: str, partition: int, session_id: str) -> str:
    """The key of a session."""
    return f"{prefix}{{p:{partition}}}:s:{session_id}"


def seen_keys(prefix: str, partition: int) -> list[str]:
    """The keys of the ids seen."""
    return [f"{prefix}{{p:{partition}}}:seen:{number}" for number in range(BUCKETS)]


def encode_session(state: SessionState) -> bytes:
    """A session as it is stored."""
    return _encode((state.snapshot, state.time, state.due, state.customer_id))


def decode_session(value: bytes) -> SessionState:
    """The opposite of `encode_session`."""
    return SessionState(*_decode_session(value))


def encode_output(output: Output) -> bytes:
    """An output as it waits, without its number."""
    return _encode((output.id, output.kind, output.key, output.value, output.offset, output.ordinal))


def decode_output(member: bytes) -> Output:
    """A member of the outbox."""
    each = _decode_output(member[ORDER_DIGITS:])
    return Output(each.id, each.kind, each.key, each.value, each.offset, each.ordinal)


def encode_terms(regime: Regime | None) -> bytes:
    """What a regime is like, the same bytes for what is alike; empty for none."""
    return b"" if regime is None else _encode_sorted(regime.terms)


def decode_regime(member: bytes) -> Regime:
    """A member of the list of regimes."""
    offset, step, terms = member.split(b" ", 2)
    return Regime(int(offset), int(step), *_decode_terms(terms))


def encode_regime(regime: Regime) -> bytes:
    """The opposite of `decode_regime`."""
    return b"%d %d %b" % (regime.offset, regime.step, encode_terms(regime))
