"""Facts of customers in Redis: the string `profile:<customer>` holds JSON, without expiry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors.redis_client import RedisAddress


def profile_key(prefix: str, customer_id: str) -> str:
    """The key of a profile, which the decision API reads, too."""
    return f"{prefix}profile:{customer_id}"


class RedisProfiles:
    """`ProfileStore` in Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._redis = address.connect()

    def get(self, customers: Sequence[str]) -> Mapping[str, bytes]:
        """Read profiles in one round trip."""
        if not customers:
            return {}
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for customer in customers:
                pipe.get(profile_key(self._address.prefix, customer))
            found = pipe.execute()
        return {customer: value for customer, value in zip(customers, found, strict=True) if value is not None}

    def put(self, profiles: Mapping[str, bytes | None]) -> None:
        """Write in one round trip; each profile by itself."""
        if not profiles:
            return
        with self._address.explained(), self._redis.pipeline(transaction=False) as pipe:
            for customer, profile in profiles.items():
                key = profile_key(self._address.prefix, customer)
                if profile is None:
                    pipe.delete(key)
                else:
                    pipe.set(key, profile)
            pipe.execute()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
