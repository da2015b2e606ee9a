"""Identities of customers in Redis, for the stream; `connectors.redis_decision_state` says how they and grants lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from connectors.redis_client import RedisAddress
from engine.identity import IDENTITY_KEPT_MS, MERGED_SESSIONS, Identity

_decode_identity = msgspec.msgpack.Decoder(list[str]).decode
_decode_grants = msgspec.msgpack.Decoder(dict[str, bytes]).decode

# Arguments: who draws where nobody was drawn yet, the session that was anonymous or '', sessions kept, ms to keep.
IDENTIFY = """
local found = redis.call('GET', KEYS[1])
local identity = found and cmsgpack.unpack(found) or {ARGV[1]}
local is_new = ARGV[2] ~= ''
for i = 2, #identity do
    if identity[i] == ARGV[2] then is_new = false end
end
if is_new then
    identity[#identity + 1] = ARGV[2]
    if #identity > 1 + tonumber(ARGV[3]) then table.remove(identity, 2) end
end
if is_new or not found then
    found = cmsgpack.pack(identity)
    redis.call('SET', KEYS[1], found, 'PX', ARGV[4])
end
return found
"""


def identity_key(prefix: str, customer_id: str) -> str:
    """The key of an identity."""
    return f"{prefix}identity:{customer_id}"


def grants_key(prefix: str, session_id: str) -> str:
    """The key of a session's grants."""
    return f"{prefix}grants:{session_id}"


def identify_arguments(customer_id: str, session_id: str, *, was_anonymous: bool) -> list[str | int]:
    """The arguments of `IDENTIFY`."""
    drawn_as = session_id if was_anonymous else customer_id
    return [drawn_as, session_id if was_anonymous else "", MERGED_SESSIONS, IDENTITY_KEPT_MS]


def decode_identity(value: bytes) -> Identity:
    """An identity as stored."""
    drawn_as, *sessions = _decode_identity(value)
    return Identity(drawn_as, tuple(sessions))


def decode_grants(value: bytes | None) -> Mapping[str, bytes]:
    """Grants as stored."""
    return _decode_grants(value) if value else {}


class RedisIdentities:
    """`Identities` in Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._redis = address.connect()
        self._identify = self._redis.register_script(IDENTIFY)

    def read(self, who: Sequence[tuple[str, str]]) -> Sequence[tuple[Identity | None, Mapping[str, bytes]]]:
        """Read all in one round trip."""
        if not who:
            return []
        prefix = self._address.prefix
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for session_id, customer_id in who:
                pipe.get(identity_key(prefix, customer_id))
                pipe.get(grants_key(prefix, session_id))
            found: Any = pipe.execute()
        pairs = zip(found[::2], found[1::2], strict=True)
        return [(None if value is None else decode_identity(value), decode_grants(grants)) for value, grants in pairs]

    def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """As `DecisionState.identify`, by the same script."""
        arguments = identify_arguments(customer_id, session_id, was_anonymous=was_anonymous)
        with self._address.explained():
            found: Any = self._identify(keys=[identity_key(self._address.prefix, customer_id)], args=arguments)
        return decode_identity(found)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
