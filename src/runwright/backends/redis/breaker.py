"""A breaker that several processes share: all their outcomes count, and one probe of them all sees who is back."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple
from uuid import uuid4

from runwright.backends.redis.pool import RedisPool, Script
from runwright.core.policy import Breaker
from runwright.errors import StorageError
from runwright.guard.breaker import PROBING_S, BreakerState, Change, LocalBreaker, Outcome, Position

LEASE_S: Final = 15.0
"""Seconds after which the probe of a process that died is given up."""

GLANCE_S: Final = 0.05
"""Seconds for which nobody asks again whether another one's probe is over."""

_MICROS: Final = 1_000_000
_BITS: Final = {"good": 0, "failed": 1, "slow": 2, "neutral": 3}

# KEYS: a hash, and the list of the last outcomes. ARGV: the probe's name, microseconds of its lease.
# Gives what may be done, the number of the stretch, the microseconds of rest, and seen, failed and slow calls.
ENTER: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('HMGET', KEYS[1], 'stretch', 'until', 'leased', 'failed', 'slow')
for i = 1, 5 do held[i] = tonumber(held[i] or 0) end
local may, rest = 'send', 0
if held[2] > now then
  may, rest = 'rest', held[2] - now
elseif held[2] > 0 and held[3] > now then
  may = 'wait'
elseif held[2] > 0 then
  may = 'probe'
  redis.call('HSET', KEYS[1], 'probe', ARGV[1], 'leased', string.format('%.0f', now + ARGV[2]))
end
return {may, held[1], string.format('%.0f', rest), redis.call('LLEN', KEYS[2]), held[4], held[5]}
""")

# ARGV: the probe's name, microseconds of its lease.
RENEW: Final = Script("""
if redis.call('HGET', KEYS[1], 'probe') == ARGV[1] then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'leased', string.format('%.0f', time[1] * 1000000 + time[2] + ARGV[2]))
end
""")

# ARGV: the probe's name or nothing, the stretch of the permit, the outcome (0 good, 1 failed, 2 slow, 3 neutral),
# then of the policy: window, minimum, failure rate, slow rate, microseconds open at first and at the most; the share
# of the time to stay open. Gives what changed, seen, failed and slow calls, and the microseconds it stays open.
LEAVE: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('HMGET', KEYS[1], 'stretch', 'until', 'openings', 'failed', 'slow')
for i = 1, 5 do held[i] = tonumber(held[i] or 0) end
local outcome, change, open, failed, slow = ARGV[3], '', 0, held[4], held[5]
local function open_it()
  local full = math.min(tonumber(ARGV[9]), tonumber(ARGV[8]) * 2 ^ math.min(held[3], 60))
  open, change = full * (0.5 + 0.5 * tonumber(ARGV[10])), 'opened'
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + open), 'openings', held[3] + 1,
    'stretch', held[1] + 1)
end
if ARGV[1] ~= '' then
  if redis.call('HGET', KEYS[1], 'probe') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'probe', 'leased')
    if outcome == '0' then
      change, failed, slow = 'closed', 0, 0
      redis.call('DEL', KEYS[2])
      redis.call('HSET', KEYS[1], 'until', 0, 'openings', 0, 'stretch', held[1] + 1, 'failed', 0, 'slow', 0)
    elseif outcome ~= '3' then
      open_it()
    end
  end
elseif held[2] == 0 and tonumber(ARGV[2]) == held[1] then
  local seen, gone = redis.call('RPUSH', KEYS[2], outcome), '0'
  if seen > tonumber(ARGV[4]) then
    gone, seen = redis.call('LPOP', KEYS[2]), seen - 1
  end
  failed = failed + (outcome == '1' and 1 or 0) - (gone == '1' and 1 or 0)
  slow = slow + (outcome == '2' and 1 or 0) - (gone == '2' and 1 or 0)
  redis.call('HSET', KEYS[1], 'failed', failed, 'slow', slow)
  if outcome ~= '0' and seen >= math.min(tonumber(ARGV[5]), tonumber(ARGV[4]))
    and ((failed > 0 and failed >= ARGV[6] * seen) or (slow > 0 and slow >= ARGV[7] * seen)) then
    open_it()
  end
end
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], string.format('%.0f', 86400000 + open / 1000)) end
return {change, redis.call('LLEN', KEYS[2]), failed, slow, string.format('%.0f', open)}
""")


class _Probe(NamedTuple):
    """A probe on its way from here, by which name the server knows it, and who keeps it from being given up."""

    name: str
    stretch: int
    renewing: asyncio.Task[Any]


class RedisBreaker(BreakerState):
    """The breaker of one target, of all processes together. While the server is away each has one of its own.

    How long it rests is known from the last answer; whether a call may be sent is asked just before.
    """

    def __init__(self, pool: RedisPool, key: str, policy: Breaker) -> None:
        self._pool = pool
        self._keys = (key, f"{key}:last")
        self._alone = LocalBreaker("", policy)
        self._rules = (
            *(policy.window, policy.minimum, policy.failure_rate, policy.slow_rate),
            *(policy.open_s * _MICROS, policy.open_cap_s * _MICROS),
        )
        self.failed = self.slow = 0
        self.open_s = 0.0
        self._rests_until = 0.0
        self._waits_until = 0.0
        self._may = "send"
        self._calls = 0
        # By the number of the probe, which its permit holds: one that is over speaks for no later one.
        self._probes: dict[int, _Probe] = {}
        self._begun = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten: what all saw is known to the server."""
        return not self._probes and self._alone.is_idle

    @property
    def position(self) -> Position:
        """Whether calls pass, none does, or one to see, as it was known last."""
        if self._pool.is_away:
            return self._alone.position
        if self._may == "send":
            return "closed"
        return "open" if asyncio.get_running_loop().time() < self._rests_until else "half_open"

    @property
    def seen(self) -> int:
        """How many calls are in the window."""
        return self._alone.seen if self._pool.is_away else self._calls

    def rest_s(self) -> float:
        """How long nobody is let through, as far as it is known here; 0 when a call may try."""
        if self._pool.is_away:
            return self._alone.rest_s()
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            return self._rests_until - now
        return PROBING_S if now < self._waits_until else 0.0

    async def enter(self) -> int | None:
        """A permit to send, or None. Of those who come when the rest is over, in any process, one gets one."""
        probe = uuid4().hex
        try:
            asked = await self._pool.script(ENTER, self._keys, [probe, LEASE_S * _MICROS], late=self._unused(probe))
        except StorageError:
            permit = await self._alone.enter()
            self._take_figures(self._alone.failed, self._alone.slow)
            # The last bit tells whose the permit is.
            return None if permit is None else permit << 1 | 1
        may, stretch, rest_us, self._calls, failed, slow = asked
        self._may = may.decode()
        self._take_figures(failed, slow)
        now = asyncio.get_running_loop().time()
        self._rests_until = now + int(rest_us) / _MICROS
        if self._may == "wait":
            self._waits_until = now + GLANCE_S
        if self._may == "probe":
            self._begun += 1
            self._probes[self._begun] = _Probe(probe, stretch, self._pool.tend(self._renew(probe)))
            return ~self._begun << 1
        return stretch << 1 if self._may == "send" else None

    async def leave(self, permit: int, outcome: Outcome, *, share: float) -> Change:
        """Give a permit back. `share`, from 0 to 1, draws how long it stays open."""
        own = permit >> 1
        if permit & 1:
            change = await self._alone.leave(own, outcome, share=share)
            self._take_figures(self._alone.failed, self._alone.slow)
            self.open_s = self._alone.open_s
            return change
        if own < 0:
            probe = self._end_probe(own)
            # One that has begun to answer has closed it already.
            return await self._tell(probe.name, probe.stretch, outcome, share=share) if probe else ""
        if outcome == "neutral":
            return ""
        told = self._tell("", own, outcome, share=share)
        if outcome == "good":
            # It opens and closes nothing, so that nobody needs to wait for it.
            self._pool.later(told)
            return ""
        return await told

    def begin(self, permit: int) -> Change:
        """The probe has begun to answer."""
        if permit & 1:
            return self._alone.begin(permit >> 1)
        probe = self._end_probe(permit >> 1)
        if probe is None:
            return ""
        self._pool.later(self._tell(probe.name, probe.stretch, "good", share=0.0))
        return "closed"

    def _end_probe(self, permit: int) -> _Probe | None:
        """The probe of this permit, which is over; None where it was over before."""
        probe = self._probes.pop(~permit, None)
        if probe is not None:
            probe.renewing.cancel()
        return probe

    async def _tell(self, probe: str, stretch: int, outcome: Outcome, *, share: float) -> Change:
        arguments = (probe, stretch, _BITS[outcome], *self._rules, share)
        try:
            change, self._calls, failed, slow, open_us = await self._pool.script(LEAVE, self._keys, arguments)
        except StorageError:
            # The lease of a probe ends by itself, and of other outcomes one is missing.
            return ""
        self._take_figures(failed, slow)
        match change:
            case b"opened":
                self._may, self.open_s = "rest", int(open_us) / _MICROS
                self._rests_until = asyncio.get_running_loop().time() + self.open_s
                return "opened"
            case b"closed":
                self._may, self._rests_until, self._waits_until = "send", 0.0, 0.0
                return "closed"
            case _:
                return ""

    async def _renew(self, probe: str) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            try:
                await self._pool.script(RENEW, self._keys, [probe, LEASE_S * _MICROS])
            except StorageError:
                continue

    def _unused(self, probe: str) -> Any:  # noqa: ANN401 - gets what the script gave
        """Gives a probe back whose caller was cancelled before it was told that it may."""

        def give_back(asked: Any) -> None:  # noqa: ANN401 - what the script gave
            if asked is not None and asked[0] == b"probe":
                self._pool.later(self._tell(probe, asked[1], "neutral", share=0.0))

        return give_back

    def _take_figures(self, failed: int, slow: int) -> None:
        self.failed, self.slow = failed, slow
