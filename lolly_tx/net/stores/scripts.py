"""What stores do for us in one step each, as Lua: nothing of somebody else comes between.

Times are those of the store, so that instances need not agree on one; numbers with a fraction are sent as texts,
because a reply has none.

Imports: nothing of ours. Used by: net.stores.news, net.stores.store, net.stores.turns,
proxy.middleware, service.acme, service.stores.
"""

from __future__ import annotations

from hashlib import sha1


class Script:
    """`text`: Lua. `digest`: what the store calls it."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip().encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()


NOW = """
if redis.replicate_commands then redis.replicate_commands() end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
"""
"""Microseconds. Stores before version 7 want to be told that what a script does depends on the time."""

HEARTBEAT = Script(
    NOW
    + """
local ms = math.floor(now / 1000)
local keep = tonumber(ARGV[2])
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], ms, ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - keep)
redis.call('PEXPIRE', KEYS[1], keep * 2)
return {redis.call('ZCARD', KEYS[1]), tonumber(t[1]), tonumber(t[2])}
"""
)
"""Key: of the members. A member or ""; the milliseconds that one counts. Returns how many there are, and the time."""

ADMIT = Script(
    NOW
    + """
local window, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local slack, most, parts = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local owed = tonumber(ARGV[6])
local width = window / parts
local all = redis.call('HGETALL', KEYS[1])
local due, total, oldest, gone = now, 0, nil, {}
for i = 1, #all, 2 do
  if all[i] == 'due' then
    due = tonumber(all[i + 1])
  else
    local part = tonumber(all[i])
    if (part + 1) * width + window <= now or part * width > now then
      gone[#gone + 1] = all[i]
    else
      total = total + tonumber(all[i + 1])
      if not oldest or part < oldest then oldest = part end
    end
  end
end
local latest, part = now + slack + interval, string.format('%.0f', math.floor(now / width))
local keep = math.ceil((2 * window + slack + interval) / 1000) + 1
if owed > 0 then
  due = math.max(due, now) + owed * interval
  total = total + owed
  if not oldest then oldest = tonumber(part) end
  redis.call('HINCRBY', KEYS[1], part, owed)
  redis.call('HSET', KEYS[1], 'due', string.format('%.3f', math.min(due, latest)))
  redis.call('PEXPIRE', KEYS[1], keep)
end
due = math.min(due, latest)
local wait = due - slack - now
if total >= most then wait = math.max(wait, (oldest + 1) * width + window - now) end
if wait > 0 then return math.ceil(wait) end
if due < now then due = now end
for i = 1, #gone do redis.call('HDEL', KEYS[1], gone[i]) end
redis.call('HSET', KEYS[1], 'due', string.format('%.3f', due + interval))
redis.call('HINCRBY', KEYS[1], part, 1)
redis.call('PEXPIRE', KEYS[1], keep)
return 0
"""
)
"""Key: of what is counted. Microseconds of the window, of one's interval, of GCRA's slack; the most in a window; parts
that the window is counted in; how many were admitted that it has not heard of. Microseconds to wait, 0 = one more was
admitted. It is GCRA, and in no window more than
the most, as `domain.access.rates`: a part leaves when its last moment does, so never too early."""

STAND = Script(
    NOW
    + """
local ms = math.floor(now / 1000)
local keep, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}
for i = 1, #KEYS do
  local key, count, before = KEYS[i], tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  for n = count + 1, before do redis.call('ZREM', key, ARGV[1] .. ' ' .. n) end
  for n = 1, count do redis.call('ZADD', key, ms, ARGV[1] .. ' ' .. n) end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ms - keep)
  redis.call('ZREMRANGEBYSCORE', key, '(' .. ms, '+inf')
  redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
  if count > 0 then redis.call('PEXPIRE', key, keep) end
  found[i] = redis.call('ZCARD', key) - count
end
return found
"""
)
"""Keys: of targets. A member, the milliseconds that its word counts, the most failures that a key has; for each key how
many stand by its word, and by its last one. Returns how many stand by that of others. What nobody has repeated in time
is forgotten; where there are too many, the oldest."""

PACE = Script(
    NOW
    + """
local interval, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due > now + longest + interval then due = now + longest end
local wait = math.max(0, due - now)
if wait > longest - 1 then return -1 end
if due < now then due = now end
redis.call('SET', KEYS[1], string.format('%.3f', due + interval), 'PX',
  math.ceil((due + interval - now) / 1000) + 1)
return math.ceil(wait)
"""
)
"""Key: of what is counted. Microseconds of one's interval, and of the longest wait. Returns the microseconds to wait
before one more goes on; -1 = too many wait already."""
