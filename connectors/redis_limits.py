"""Caps and budgets in Redis: one script judges all claims of a decision.

A cap can be shared by all sessions, and a claim takes from several at once, so all keys have one hash tag:

| key | type | holds |
|---|---|---|
| `{limits}:t:<token>` | hash | `h`: held until (-1: for good); `n`: the number of its attempt |
| `{limits}:c:<period>:<cap>` | string | how much is taken; the period is `s` (sliding), `e` (ever) or the calendar period's start |
| `{limits}:w:<cap>` | sorted set | takes of a sliding window by time: `<amount>:<attempt>:<token>` |
| `{limits}:h:<period>:<cap>` | sorted set | takes that are held, by the time at which to look whether they are to be given back |

Before a counter is read, takes that left the window and holds that ran out are taken off it: what is read is exact. The
hash of the token is the truth about a hold: to confirm or to prolong it touches nothing else. Every key expires a day after
its period, on Redis's clock; the scripts know time only as it is given to them.

The scripts also read hashes of tokens that they meet in sorted sets, and so are not named as keys. They have the same tag, so
that Redis Cluster has them at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.redis_client import RedisAddress
from engine.ports import Cap, Claim, Verdict
from engine.values import EpochMs, Millis

EVER_MS: Millis = 400 * 86_400_000
"""A cap without a period is forgotten this long after its last take: longer than "once a year" can mean."""

SLACK_MS: Millis = 86_400_000
"""Keys stay a day longer than needed, for callers whose clock is behind, such as a replay."""

# Makes the counter of a cap exact at `now` and returns it.
SETTLE = """
local function settle(counter, window, holds, sliding, now, prefix)
    if sliding > 0 then
        -- a take counts for exactly `sliding` ms: at its time plus that it is free again
        local passed = redis.call('ZRANGEBYSCORE', window, '-inf', now - sliding)
        if #passed > 0 then
            local amount = 0
            for _, member in ipairs(passed) do amount = amount + tonumber(string.match(member, '^%d+')) end
            redis.call('ZREMRANGEBYSCORE', window, '-inf', now - sliding)
            redis.call('DECRBY', counter, amount)
        end
    end
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', now)) do
        local amount, attempt, token = string.match(member, '^(%d+):(%d+):(.*)$')
        redis.call('EXISTS', prefix .. token, holds)  -- fails where a cluster is moving the slot, and the hash is elsewhere
        local held = redis.call('HMGET', prefix .. token, 'h', 'n')
        local is_same = held[2] == attempt
        if is_same and held[1] ~= '-1' and tonumber(held[1]) > now then
            redis.call('ZADD', holds, held[1], member)  -- prolonged meanwhile
        else
            redis.call('ZREM', holds, member)
            if not (is_same and held[1] == '-1') then  -- nobody confirmed it
                if sliding > 0 then
                    if redis.call('ZREM', window, member) == 1 then redis.call('DECRBY', counter, amount) end
                elseif redis.call('EXISTS', counter) == 1 then
                    redis.call('DECRBY', counter, amount)
                end
            end
        end
    end
    return tonumber(redis.call('GET', counter) or 0)
end
"""

# What is taken of a cap, and of those that count with it.
USED_WITH = """
local function used_with(key, others, sliding, now, prefix)
    local used = 0
    for each = key, key + 3 * others, 3 do
        used = used + settle(KEYS[each], KEYS[each + 1], KEYS[each + 2], sliding, now, prefix)
    end
    return used
end
"""

# Arguments: prefix of token hashes, msgpack [slots, now, hold or -1, slack, claims]; a claim is [token, caps], a cap
# [most, amount, sliding or 0, ms to keep, n]. Keys: of each claim its hash, then counter, window and holds of each cap and
# of the n that count with it. Answers for each claim: 0 granted, -1 not asked, n refused by its n-th cap.
TAKE = (
    SETTLE
    + USED_WITH
    + """
local prefix = ARGV[1]
local slots, now, hold, slack, claims = unpack(cmsgpack.unpack(ARGV[2]))
local answers, at = {}, 0
for number, claim in ipairs(claims) do
    local token, caps = claim[1], claim[2]
    local hash, first = KEYS[at + 1], {}
    at = at + 1
    for i, cap in ipairs(caps) do
        first[i] = at + 1
        at = at + 3 * (1 + cap[5])
    end
    local answer = 0
    if slots <= 0 then
        answer = -1
    else
        local held = redis.call('HMGET', hash, 'h', 'n')
        if held[1] and (held[1] == '-1' or tonumber(held[1]) > now) then
            if held[1] ~= '-1' then
                redis.call('HSET', hash, 'h', hold < 0 and -1 or math.max(tonumber(held[1]), now + hold))
                local ttl = math.max(redis.call('PTTL', hash), hold + slack)
                redis.call('PEXPIRE', hash, ttl)
            end
        else
            for i, cap in ipairs(caps) do
                if used_with(first[i], cap[5], cap[3], now, prefix) + cap[2] > cap[1] then
                    answer = i
                    break
                end
            end
            if answer == 0 then
                local attempt = tonumber(held[2] or 0) + 1
                local keep = math.max(hold, 0) + slack
                for i, cap in ipairs(caps) do
                    local key = first[i]
                    local member = string.format('%d:%d:', cap[2], attempt) .. token
                    local ttl = cap[4] + slack
                    redis.call('INCRBY', KEYS[key], cap[2])
                    redis.call('PEXPIRE', KEYS[key], ttl)
                    if cap[3] > 0 then
                        redis.call('ZADD', KEYS[key + 1], now, member)
                        redis.call('PEXPIRE', KEYS[key + 1], ttl)
                    end
                    if hold >= 0 then
                        redis.call('ZADD', KEYS[key + 2], now + hold, member)
                        redis.call('PEXPIRE', KEYS[key + 2], math.max(ttl, hold + slack))
                    end
                    keep = math.max(keep, ttl)
                end
                redis.call('HSET', hash, 'h', hold < 0 and -1 or now + hold, 'n', attempt)
                redis.call('PEXPIRE', hash, keep)
            end
        end
        if answer == 0 then slots = slots - 1 end
    end
    answers[number] = answer
end
return answers
"""
)

USED = (
    SETTLE
    + USED_WITH
    + """
local answers, key = {}, 1
for i, cap in ipairs(cmsgpack.unpack(ARGV[3])) do
    answers[i] = used_with(key, cap[2], cap[1], tonumber(ARGV[2]), ARGV[1])
    key = key + 3 * (1 + cap[2])
end
return answers
"""
)

CONFIRM = """
local held = redis.call('HGET', KEYS[1], 'h')
if not held then return 0 end
if held == '-1' then return 1 end
if tonumber(held) <= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'h', -1)
return 1
"""

_encode = msgspec.msgpack.Encoder().encode

Arguments = tuple[list[str], list[str | bytes | int]]
"""Keys and arguments of a script."""


def take_arguments(prefix: str, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Arguments:
    """What `TAKE` is called with."""
    keys: list[str] = []
    listed = []
    for claim in claims:
        keys.append(_token_prefix(prefix) + claim.token)
        for cap in claim.caps:
            keys += _cap_keys(prefix, cap)
        listed.append(
            (claim.token, [(c.most, c.amount, c.sliding or 0, _keep(c, now), len(c.also)) for c in claim.caps])
        )
    request = (slots, now, -1 if hold is None else hold, SLACK_MS, listed)
    return keys, [_token_prefix(prefix), _encode(request)]


def verdicts(claims: Sequence[Claim], answers: Sequence[int]) -> list[Verdict]:
    """What `TAKE` answered."""
    return [
        Verdict(
            claim.token,
            granted=answer == 0,
            refused_by=claim.caps[answer - 1].key if answer > 0 else None,
            asked=answer >= 0,
        )
        for claim, answer in zip(claims, answers, strict=True)
    ]


def confirm_arguments(prefix: str, token: str, now: EpochMs) -> Arguments:
    """What `CONFIRM` is called with."""
    return [_token_prefix(prefix) + token], [now]


class RedisLimits:
    """`LimitStore` in Redis.

    A token that is taken again while it is held holds for `hold` from then on; with `hold` None it is confirmed.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._redis = address.connect()
        self._take = self._redis.register_script(TAKE)
        self._used = self._redis.register_script(USED)
        self._confirm = self._redis.register_script(CONFIRM)

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """Judge the claims in order, in one script."""
        if not claims:
            return []
        keys, arguments = take_arguments(self._address.prefix, claims, slots, now, hold)
        with self._address.explained():
            return verdicts(claims, self._take(keys=keys, args=arguments))

    def confirm(self, token: str, now: EpochMs) -> bool:
        """Make a held token one that is taken for good."""
        keys, arguments = confirm_arguments(self._address.prefix, token, now)
        with self._address.explained():
            return bool(self._confirm(keys=keys, args=arguments))

    def used(self, caps: Sequence[Cap], now: EpochMs) -> Sequence[int]:
        """Read the counters as they are at this moment."""
        if not caps:
            return []
        prefix = self._address.prefix
        keys = [key for cap in caps for key in _cap_keys(prefix, cap)]
        listed = _encode([(cap.sliding or 0, len(cap.also)) for cap in caps])
        with self._address.explained():
            return list(self._used(keys=keys, args=[_token_prefix(prefix), now, listed]))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _token_prefix(prefix: str) -> str:
    return f"{prefix}{{limits}}:t:"


def _cap_keys(prefix: str, cap: Cap) -> list[str]:
    period = "s" if cap.sliding is not None else "e" if cap.bucket is None else cap.bucket
    start = f"{prefix}{{limits}}"
    keys: list[str] = []
    for key in (cap.key, *cap.also):
        keys += (f"{start}:c:{period}:{key}", f"{start}:w:{key}", f"{start}:h:{period}:{key}")
    return keys


def _keep(cap: Cap, now: EpochMs) -> Millis:
    if cap.sliding is not None:
        return cap.sliding
    return EVER_MS if cap.expires is None else max(0, cap.expires - now)
