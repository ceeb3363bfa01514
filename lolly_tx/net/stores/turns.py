"""What instances agree on when one of them does something for all of them, as Lua: whose turn it is, what came of it.

    SYNC   each instance, all the time: it is there; whose turn is it, and is there anything new?
    TURN   it would be its turn, for one item --> a token; or how long to wait
      SHOW    what all have to have before it goes on (SYNC tells whether they have)
      PUT     what came of it, for all
      END     it is over, or was in vain: then nobody tries again for a while

A turn has a limit by the store's clock, which SYNC extends. After it somebody else may have it, with a greater token,
and from then on nothing is taken from who had it before. What is put has an age: older never takes the place of newer.

Keys: of the turns (a hash), of the members (a sorted set), of those who have what is shown (a set), of an item (a
hash). Values are opaque here. Times are milliseconds unless it says otherwise; versions are texts, ""
where there is none.

Imports: net.stores. Used by: service.acme.
"""

from __future__ import annotations

from lolly_tx.net.stores.scripts import NOW, Script

_MS = "local ms = math.floor(now / 1000)\n"
_STAMP = "local stamp = string.format('%.0f', now)\n"
"""A version: microseconds, so that it is another one also after the store has lost all it knew."""

_MINE = """
local has = redis.call('HMGET', KEYS[1], 'holder', 'token')
if ARGV[2] ~= '' and not has[2] then
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', ARGV[2])
  has = {ARGV[1], ARGV[2]}
end
local mine = ARGV[2] ~= '' and has[1] == ARGV[1] and has[2] == ARGV[2]
"""
"""Whether nobody has had a turn since this one began. Arguments: the member; its token, "" where it has none. A store
that has lost all it knew is told: nobody else has come in between."""

SYNC = Script(
    NOW
    + _MS
    + _MINE
    + """
local keep = tonumber(ARGV[4])
redis.call('ZADD', KEYS[2], ms, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms - keep - 1)
for i = 1, #gone do
  redis.call('ZREM', KEYS[2], gone[i])
  redis.call('SREM', KEYS[3], gone[i])
end
redis.call('PEXPIRE', KEYS[2], keep * 2)
local f = redis.call('HMGET', KEYS[1], 'until', 'shown_at', 'changed')
local left = tonumber(f[1] or 0) - ms
if mine then
  left = tonumber(ARGV[5])
  redis.call('HSET', KEYS[1], 'until', ms + left)
end
local shown = f[2] or ''
if left <= 0 and shown ~= '' then
  redis.call('HDEL', KEYS[1], 'shown', 'shown_at')
  redis.call('DEL', KEYS[3])
  shown = ''
end
local missing = 0
if shown ~= '' then
  if ARGV[3] == shown then
    redis.call('SADD', KEYS[3], ARGV[1])
    redis.call('PEXPIRE', KEYS[3], 3600000)
  end
  missing = redis.call('ZCARD', KEYS[2]) - redis.call('SCARD', KEYS[3])
end
return {has[1] or '', has[2] or '', math.max(0, left), shown, f[3] or '', redis.call('ZCARD', KEYS[2]), missing}
"""
)
"""Turns, members, seen. Arguments: the member; its token, "" where it is not its turn; the version of what it has of
what is shown; for how long a member counts; the limit of a turn.

Returns who had the latest turn, its token, the milliseconds that it has yet (0: over), the version of what is shown,
that of the last thing that was put, the number of members, and of those who do not have what is shown.
"""

TURN = Script(
    NOW
    + _MS
    + """
local f = redis.call('HMGET', KEYS[1], 'holder', 'until', 'token', 'common')
local left = tonumber(f[2] or 0) - ms
if left > 0 and f[1] ~= ARGV[1] then return {0, left, f[1]} end
local item = redis.call('HMGET', KEYS[2], 'next', 'at', 'value')
local wait = tonumber(item[1] or 0) - ms
if wait > 0 then return {0, wait, ''} end
local token = string.format('%.0f', tonumber(f[3] or 0) + 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token, 'until', ms + tonumber(ARGV[2]))
redis.call('HDEL', KEYS[1], 'shown', 'shown_at')
redis.call('DEL', KEYS[3])
return {1, token, f[4] or '', item[2] or '', item[3] or ''}
"""
)
"""Turns, an item, seen. Arguments: the member, the limit. Returns 1, the token, what is common, and the item's version
and value; or 0, the milliseconds to wait, and whose turn it is, "" where the item was in vain a short while ago."""

SHOW = Script(
    NOW
    + _STAMP
    + _MINE
    + """
if not mine then return '' end
redis.call('HSET', KEYS[1], 'shown', ARGV[3], 'shown_at', stamp)
redis.call('DEL', KEYS[2])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'common', ARGV[4], 'common_at', stamp, 'changed', stamp) end
return stamp
"""
)
"""Turns, seen. Arguments: the member, its token, what all are to have, and what is common to all items ("": as it is).
Returns the version of what is shown; "" where it is not its turn any more."""

PUT = Script(
    NOW
    + _STAMP
    + _MINE
    + """
if ARGV[2] ~= '' and not mine then return '' end
local age, there = tonumber(ARGV[3]), tonumber(redis.call('HGET', KEYS[2], 'age') or -1)
if there > age or (ARGV[2] == '' and there == age) then return '' end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'at', stamp, 'age', ARGV[3], 'value', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'changed', stamp)
return stamp
"""
)
"""Turns, an item. Arguments: the member; its token, "" for what was made without a turn; the age, greater is newer; for
how long the item is kept; its value. Returns its version; "" where it is not taken: not its turn, or there is a newer
one."""

READ = Script(
    """
local found = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2])
if not found[1] or found[1] == ARGV[3] then return {found[1] or '', ''} end
return {found[1], found[2] or ''}
"""
)
"""Turns or an item. Arguments: the names of the version and the value; the version that is known. Returns the version,
and the value, "" where the version is known."""

END = Script(
    NOW
    + _MS
    + _MINE
    + """
if not mine then return -1 end
redis.call('HDEL', KEYS[1], 'shown', 'shown_at')
redis.call('HSET', KEYS[1], 'until', 0)
redis.call('DEL', KEYS[2])
if ARGV[3] == '' then return 0 end
local first, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local failures = redis.call('HINCRBY', KEYS[3], 'failures', 1)
local wait = math.min(longest, first * 2 ^ math.min(failures - 1, 30))
redis.call('HSET', KEYS[3], 'next', string.format('%.0f', ms + wait))
if redis.call('HEXISTS', KEYS[3], 'value') == 0 then redis.call('PEXPIRE', KEYS[3], longest * 2) end
return math.floor(wait)
"""
)
"""Turns, seen, an item. Arguments: the member, its token; the first and the longest wait after something in vain,
doubled each time, "" where it was not. Returns the milliseconds until somebody may try again; -1 where it was not its
turn."""
