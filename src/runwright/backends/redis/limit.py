"""A limit that several processes keep together: GCRA in Lua, by the clock of the server."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

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

# ARGV: for requests and for tokens: how much more was used than was taken, or less, and microseconds a unit.
SETTLE: Final = Script("""
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


class RedisMeter:
    """The count of one target under one limit, of all processes together.

    What the provider tells is followed by each process for itself. While the server is away each keeps the limit alone.
    """

    def __init__(self, pool: RedisPool, key: str, *, policy: Limit, heard: Heard | None) -> None:
        self._pool = pool
        self._key = key
        self._heard = LocalMeter(replace(policy, requests=None, tokens=None), heard)
        self._alone = LocalMeter(policy, None)
        self._taken_alone = 0
        self._requests = _cell(policy.requests, policy)
        self._tokens = _cell(policy.tokens, policy)
        self._left: Figures = {}

    async def reserve(self, tokens: int) -> float:
        """Take a request of so many tokens and give 0; or take nothing and give the seconds until it could pass."""
        wait_s = await self._heard.reserve(tokens)
        if wait_s:
            return wait_s
        try:
            wait_s = await self._take(tokens)
        except BaseException:
            self._heard.settle(tokens, 0, 0)
            raise
        if wait_s:
            self._heard.settle(tokens, 0, 0)
        return wait_s

    async def wait_s(self, requests: int, tokens: int) -> float:
        """In how many seconds so many requests with so many tokens together could have passed."""
        told_s = await self._heard.wait_s(requests, tokens)
        try:
            asked = await self._pool.script(RESERVE, [self._key], self._arguments("look", requests, tokens))
        except StorageError:
            return max(told_s, await self._alone.wait_s(requests, tokens))
        return max(told_s, int(asked[0]) / _MICROS)

    def settle(self, reserved: int, used: int, sends: int) -> None:
        """Put the tokens that were used in the place of those that were reserved, for as often as it was sent."""
        self._heard.settle(reserved, used, sends)
        if self._taken_alone:
            # Whose reservation it was nobody knows any more; so nothing goes back that others may have taken.
            self._taken_alone -= 1
            self._alone.settle(reserved, used, sends)
            return
        # Of a hedge that lost nobody knows what it used.
        requests = sends - 1
        tokens = used + requests * reserved - reserved if sends else -reserved
        if requests or (tokens and self._tokens[0]):
            self._pool.later(self._change(requests, tokens))

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
        return self._heard.is_idle and self._alone.is_idle and not self._taken_alone

    async def _take(self, tokens: int) -> float:
        try:
            asked = await self._pool.script(
                RESERVE, [self._key], self._arguments("take", 1, tokens), late=partial(self._give_back, tokens)
            )
        except StorageError:
            wait_s = await self._alone.reserve(tokens)
            self._taken_alone += not wait_s
            return wait_s
        names = ("requests_left", "tokens_left")
        self._left = {name: float(left) for name, left in zip(names, asked[1:], strict=True) if left}
        return int(asked[0]) / _MICROS

    def _give_back(self, tokens: int, asked: Any) -> None:  # noqa: ANN401 - what the script gave
        """Who asked was cancelled before it was answered."""
        if not int(asked[0]):
            self._pool.later(self._change(-1, -tokens))

    async def _change(self, requests: int, tokens: int) -> None:
        try:
            await self._pool.script(SETTLE, [self._key], [requests, self._requests[0], tokens, self._tokens[0]])
        except StorageError:
            # Too much stays taken for a while, never too little.
            return

    def _arguments(self, deed: str, requests: int, tokens: int) -> list[str | float]:
        return [deed, requests, *self._requests, tokens, *self._tokens]


def _cell(amount: int | None, policy: Limit) -> tuple[float, float]:
    """Microseconds a unit, and the burst."""
    return (0, 0) if amount is None else (policy.per_s * _MICROS / amount, max(1.0, amount * policy.burst))
