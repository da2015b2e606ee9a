"""The control tables in Redis. All keys of a table share a hash tag:

| key | type | holds |
|---|---|---|
| `{t:<table>}:values` | hash | values by row key |
| `{t:<table>}:versions` | hash | versions by row key; they stay when a row is deleted, so that they go on |
| `{t:<table>}:version` | string | how often the table was written |

They are the one thing here that can't be had again from the log: run Redis with `appendonly yes`.
"""  # noqa: D415  # a table follows

from __future__ import annotations

from collections.abc import Mapping

from connectors.redis_client import RedisAddress
from engine.ports import ConflictError, Row

# Answers {1, new version}, or {0, version that is there} where the expected one (-1: any) is another.
PUT = """
local values, versions, key = KEYS[1], KEYS[2], ARGV[1]
local exists = redis.call('HEXISTS', values, key) == 1
local version = tonumber(redis.call('HGET', versions, key) or 0)
local expected = tonumber(ARGV[2])
if expected >= 0 and expected ~= (exists and version or 0) then return {0, exists and version or 0} end
if #ARGV < 3 and not exists then return {1, version} end
if #ARGV < 3 then redis.call('HDEL', values, key) else redis.call('HSET', values, key, ARGV[3]) end
redis.call('HSET', versions, key, version + 1)
redis.call('INCR', KEYS[3])
return {1, version + 1}
"""

GET = "return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('HGET', KEYS[2], ARGV[1])}"
ROWS = "return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}"


class RedisTables:
    """`Tables` in Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._redis = address.connect()
        self._put = self._redis.register_script(PUT)
        self._get = self._redis.register_script(GET)
        self._rows = self._redis.register_script(ROWS)

    def get(self, table: str, key: str) -> Row | None:
        """Read a row in one script."""
        with self._address.explained():
            value, version = self._get(keys=self._keys(table), args=[key])
        return None if value is None else Row(value, int(version))

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        """Compare the version and write, in one script. Deleting what is not there writes nothing."""
        arguments: list[str | int | bytes] = [key, -1 if expected is None else expected]
        with self._address.explained():
            written, version = self._put(keys=self._keys(table), args=arguments + ([] if value is None else [value]))
        if not written:
            raise ConflictError(f"{table}/{key} is at version {version}, expected {expected}")
        return int(version)

    def rows(self, table: str) -> Mapping[str, Row]:
        """Read all rows in one script."""
        with self._address.explained():
            values, versions = (
                dict(zip(each[::2], each[1::2], strict=True)) for each in self._rows(keys=self._keys(table))
            )
        return {key.decode(): Row(values[key], int(versions[key])) for key in sorted(values)}

    def version(self, table: str) -> int:
        """Read the table's number."""
        with self._address.explained():
            return int(self._redis.get(self._keys(table)[2]) or 0)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _keys(self, table: str) -> tuple[str, str, str]:
        start = f"{self._address.prefix}{{t:{table}}}"
        return f"{start}:values", f"{start}:versions", f"{start}:version"
