"""A limit that several processes keep together: GCRA in Lua, by the clock of the server."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import uuid4

from msgspec.structs import replace

from runwright.backends.redis.pool import RedisPool, Script
from runwright.core.model import Quota
from runwright.core.policy import Limit
from runwright.errors import StorageError
from runwright.guard.heard import Heard
from runwright.guard.line import Figures
from runwright.guard.meter import LocalMeter

_MICROS: Final = 1_000_000

# KEYS: a hash with the theoretical arrival times of requests (r) and tokens (t), in microseconds of the server.
# ARGV: "take" or "look"; then for requests and for tokens: amount, microseconds a unit or 0 for no limit, burst.
# Gives the microseconds to wait, and how much is left of each.
RESERVE: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local names, tats, left, wait, last = {'r', 't'}, redis.call('HMGET', KEYS[1], 'r', 't'), {'', ''}, 0, now
for i = 1, 2 do
  local amount, each, burst = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  tats[i] = math.max(tonumber(tats[i] or 0), now)
  if each > 0 and amount > 0 then
    local wanted = ARGV[1] == 'take' and math.min(amount, burst) or amount
    wait = math.max(wait, tats[i] + (wanted - burst) * each - now)
  end
end
if wait < 1 then wait = 0 end
for i = 1, 2 do
  local amount, each, burst = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  if each > 0 then
    if wait == 0 and ARGV[1] == 'take' then
      tats[i] = tats[i] + amount * each
      redis.call('HSET', KEYS[1], names[i], string.format('%.0f', tats[i]))
    end
    last = math.max(last, tats[i])
    left[i] = string.format('%.3f', burst - (tats[i] - now) / each)
  end
end
if ARGV[1] == 'take' and wait == 0 then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (last - now) / 1000 + 60000))
end
return {string.format('%.0f', math.ceil(wait)), left[1], left[2]}
""")

# KEYS: also the number of what this process told last, which is done once however often it is sent; it is remembered
# for a day. ARGV: for requests and for tokens: how much more was used than was taken, or less, and microseconds a unit;
# then the number of what is told.
SETTLE: Final = Script("""
if redis.call('GET', KEYS[2]) == ARGV[5] then return end
redis.call('SET', KEYS[2], ARGV[5], 'PX', 86400000)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local names, tats, last = {'r', 't'}, redis.call('HMGET', KEYS[1], 'r', 't'), now
for i = 1, 2 do
  local more, each, tat = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]), tonumber(tats[i] or 0)
  if each > 0 then
    if more > 0 then
      tat = math.max(tat, now) + more * each
    elseif more < 0 then
      tat = math.max(tat + more * each, math.min(tat, now))
    end
    redis.call('HSET', KEYS[1], names[i], string.format('%.0f', tat))
    last = math.max(last, tat)
  end
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (last - now) / 1000 + 60000))
""")


ALONE: Final = -1.0
"""The permit of a call that was counted here, while the server was away."""


class _Owed(NamedTuple):
    """What the server has to count more than it did, or less, since a time of the loop's clock."""

    requests: int
    tokens: int
    since: float

    def __bool__(self) -> bool:
        return self.requests != 0 or self.tokens != 0


_NOTHING: Final = _Owed(0, 0, 0.0)


class RedisMeter:
    """The count of one target under one limit, of all processes together.

    What the provider tells is followed by each process for itself. While the server is away each keeps the limit alone.
    Where a call was counted its permit tells, and there it is settled; what the server cannot be told now it is told
    when it can be.
    """

    def __init__(self, pool: RedisPool, key: str, *, policy: Limit, heard: Heard | None) -> None:
        self._pool = pool
        self._key = key
        self._heard = LocalMeter(replace(policy, requests=None, tokens=None), heard)
        self._alone = LocalMeter(policy, None)
        self._requests = _cell(policy.requests, policy)
        self._tokens = _cell(policy.tokens, policy)
        self._left: Figures = {}
        self._told_key = f"{key}:by:{uuid4().hex}"
        self._owed = self._batch = _NOTHING
        self._batches = 0
        self._is_telling = False

    async def reserve(self, tokens: int) -> float:
        """Take a request of so many tokens and give a permit; or take nothing and give the seconds until it could."""
        wait_s = await self._heard.reserve(tokens)
        if wait_s:
            return wait_s
        try:
            permit = await self._take(tokens)
        except BaseException:
            self._heard.settle(tokens, None)
            raise
        if permit > 0:
            self._heard.settle(tokens, None)
        return permit

    async def wait_s(self, requests: int, tokens: int) -> float:
        """In how many seconds so many requests with so many tokens together could have passed."""
        told_s = await self._heard.wait_s(requests, tokens)
        try:
            asked = await self._pool.script(RESERVE, [self._key], self._arguments("look", requests, tokens))
        except StorageError:
            return max(told_s, await self._alone.wait_s(requests, tokens))
        return max(told_s, int(asked[0]) / _MICROS)

    def settle(self, reserved: int, used: int | None, permit: float, /) -> None:
        """Put the tokens that were used in the place of those that were reserved; None, it was not sent, all back."""
        self._heard.settle(reserved, used)
        if permit == ALONE:
            self._alone.settle(reserved, used)
        elif used is None:
            self._change(-1, -reserved)
        elif used != reserved and self._tokens[0]:
            self._change(0, used - reserved)

    def seen(self, quota: Quota, reserved: int) -> None:
        """The provider said this in its answer to a call that had reserved so many tokens."""
        self._heard.seen(quota, reserved)

    def refused(self, pause_s: float | None, sent_s: float) -> None:
        """The provider answered 429 to what was sent so many seconds ago, and asked for a pause or did not."""
        self._heard.refused(pause_s, sent_s)

    def figures(self) -> Figures:
        """What was left when it was asked last, or what is left for this process where it is alone."""
        kept: Figures = {**self._alone.figures(), "kept": "alone"} if self._pool.is_away else self._left
        return {**kept, **self._heard.figures()}

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten: what all took is known to the server."""
        return self._heard.is_idle and self._alone.is_idle and not self._owed and not self._batch

    async def _take(self, tokens: int) -> float:
        try:
            asked = await self._pool.script(
                RESERVE, [self._key], self._arguments("take", 1, tokens), late=partial(self._give_back, tokens)
            )
        except StorageError:
            return await self._alone.reserve(tokens) or ALONE
        if self._owed or self._batch:
            self._pool.later(self._tell())
        names = ("requests_left", "tokens_left")
        self._left = {name: float(left) for name, left in zip(names, asked[1:], strict=True) if left}
        return int(asked[0]) / _MICROS

    def _give_back(self, tokens: int, asked: Any) -> None:  # noqa: ANN401 - what the script gave
        """Who asked was cancelled before it was answered."""
        if asked is not None and not int(asked[0]):
            self._change(-1, -tokens)

    def _change(self, requests: int, tokens: int) -> None:
        """Have the server count more than was taken, or less."""
        now = asyncio.get_running_loop().time()
        owed = self._owed
        self._owed = _Owed(owed.requests + requests, owed.tokens + tokens, owed.since if owed else now)
        self._pool.later(self._tell())

    async def _tell(self) -> None:
        """Tell the server what it has to count, until there is nothing more or it is away."""
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._batch or self._owed:
                if not self._batch:
                    self._batch, self._owed = self._owed, _NOTHING
                await self._send(self._batch)
                self._batch = _NOTHING
                self._batches += 1
        except StorageError:
            # It may have been counted all the same: it is sent again under its number.
            return
        finally:
            self._is_telling = False

    async def _send(self, batch: _Owed) -> None:
        age_us = (asyncio.get_running_loop().time() - batch.since) * _MICROS
        (of_requests, _), (of_tokens, _) = self._requests, self._tokens
        requests, tokens = _left(batch.requests, of_requests, age_us), _left(batch.tokens, of_tokens, age_us)
        arguments = (requests, of_requests, tokens, of_tokens, self._batches)
        await self._pool.script(SETTLE, [self._key, self._told_key], arguments)

    def _arguments(self, deed: str, requests: int, tokens: int) -> list[str | float]:
        return [deed, requests, *self._requests, tokens, *self._tokens]


def _left(owed: int, each_us: float, age_us: float) -> float:
    """What is owed by now: what was taken and not used has come back with time, as all that was taken does."""
    return min(0.0, owed + age_us / each_us) if owed < 0 and each_us else owed


def _cell(amount: int | None, policy: Limit) -> tuple[float, float]:
    """Microseconds a unit, and the burst."""
    return (0, 0) if amount is None else (policy.per_s * _MICROS / amount, max(1.0, amount * policy.burst))
