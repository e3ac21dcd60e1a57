"""What the ledger does at the server. Amounts come in the order USD (nano), tokens, calls.

Of each account there are three keys: a hash with what is spent (usd, tokens, calls) and reserved (r_usd, r_tokens,
r_calls), and a sorted set of reservations, `id|usd|tokens|calls`, by the microsecond in which their lease ends. A
reservation whose lease has ended counts as spent; a sorted set keeps its id for a day, in case it is settled after all.
The hash also keeps since when it is there (born): one that is younger than a reservation has forgotten it.
"""

from __future__ import annotations

from typing import Final

from runwright.backends.redis.pool import Script

_NAMES: Final = "local names = {'usd', 'tokens', 'calls'}\n"
_NOW: Final = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n"
_ADD: Final = """
local function add(key, field, amount)
  if amount ~= 0 then redis.call('HINCRBY', key, field, string.format('%.0f', amount)) end
end
"""
_KEEP: Final = """
local function keep(i)
  for part = 2, 1, -1 do redis.call('PEXPIRE', KEYS[3 * i - part], 40 * 86400000) end
end
"""

# ARGV: JSON with the id of the reservation or nothing to just look, what it wants, its lease, of each account what
# was spent at least, and bounds: the number of the account and its limits, -1 for none.
# Gives "held" and when each account was born; or "short", the number of the bound and of the unit, what is spent, and
# what is reserved where that is all that stands in the way.
RESERVE: Final = Script(
    _NAMES
    + _NOW
    + _ADD
    + _KEEP
    + """
local asked = cjson.decode(ARGV[1])
local sums = {}
for i, seed in ipairs(asked.seeds) do
  local sum, held, lapsed = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', string.format('%.0f', now))) do
    local id, usd, tokens, calls = string.match(member, '^(%w+)|(%d+)|(%d+)|(%d+)$')
    for unit, amount in ipairs({usd, tokens, calls}) do
      add(sum, names[unit], tonumber(amount))
      add(sum, 'r_' .. names[unit], -tonumber(amount))
    end
    redis.call('ZREM', held, member)
    redis.call('ZREMRANGEBYSCORE', lapsed, '-inf', string.format('%.0f', now - 86400000000))
    redis.call('ZADD', lapsed, string.format('%.0f', now), id)
    redis.call('PEXPIRE', lapsed, 86400000)
  end
  sums[i] = redis.call('HMGET', sum, 'usd', 'tokens', 'calls', 'r_usd', 'r_tokens', 'r_calls')
  for field = 1, 6 do sums[i][field] = tonumber(sums[i][field] or 0) end
  for unit = 1, 3 do sums[i][unit] = math.max(sums[i][unit], seed[unit]) end
end
local passing = nil
for number, bound in ipairs(asked.bounds) do
  local sum = sums[bound[1]]
  for unit = 1, 3 do
    local most, wanted = bound[unit + 1], sum[unit] + asked.want[unit]
    if most >= 0 and wanted > most then
      return {'short', number, unit, string.format('%.0f', sum[unit]), 0}
    end
    if most >= 0 and wanted + sum[unit + 3] > most and not passing then
      passing = {'short', number, unit, string.format('%.0f', sum[unit]), string.format('%.0f', sum[unit + 3])}
    end
  end
end
if passing then return passing end
local held = {'held'}
if asked.id ~= '' then
  local want = asked.want
  local member = string.format('%s|%.0f|%.0f|%.0f', asked.id, want[1], want[2], want[3])
  for i, _ in ipairs(asked.seeds) do
    for unit = 1, 3 do
      redis.call('HSET', KEYS[3 * i - 2], names[unit], string.format('%.0f', sums[i][unit]))
      add(KEYS[3 * i - 2], 'r_' .. names[unit], want[unit])
    end
    redis.call('ZADD', KEYS[3 * i - 1], string.format('%.0f', now + asked.lease), member)
    redis.call('HSETNX', KEYS[3 * i - 2], 'born', string.format('%.0f', now))
    held[i + 1] = redis.call('HGET', KEYS[3 * i - 2], 'born')
    keep(i)
  end
end
return held
"""
)

# ARGV: JSON with the id of a reservation, its member, what it wanted and what was used, and when its accounts were
# born. It is done once: a reservation that its account does not know any more was settled before.
SETTLE: Final = Script(
    _NAMES
    + _ADD
    + _KEEP
    + """
local told = cjson.decode(ARGV[1])
for i = 1, #KEYS / 3 do
  local sum, held, lapsed = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local is_held = redis.call('ZREM', held, told.member) == 1
  local is_counted = not is_held and redis.call('ZREM', lapsed, told.id) == 1
  if is_held or is_counted or tonumber(redis.call('HGET', sum, 'born') or 0) ~= told.born[i] then
    for unit = 1, 3 do
      add(sum, names[unit], told.used[unit] - (is_counted and told.want[unit] or 0))
      if is_held then add(sum, 'r_' .. names[unit], -told.want[unit]) end
    end
  end
  keep(i)
end
"""
)

# ARGV: JSON with the member of a reservation and its lease.
RENEW: Final = Script(
    _NOW
    + """
local told = cjson.decode(ARGV[1])
for i = 1, #KEYS / 3 do
  redis.call('ZADD', KEYS[3 * i - 1], 'XX', string.format('%.0f', now + told.lease), told.member)
end
"""
)
