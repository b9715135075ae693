--! server/clock server/answer
-- What the scripts of shared state share. KEYS[1] is `{prefix:*state:<key>}`.
--
-- Keys, K = KEYS[1]:
--   K:v      hash: n version, b body (absent: nothing is there), x when that ends (0: it does not)
--   K:q:<r>  the answer to a request
--   K:w      zset: parked watchers, by the time until which they wait
--   K:o:<w>  inbox of a parked watcher: a note to look again
-- A version is the time of its making, or one more than the last: so versions only grow, also after
-- everything about a key was cleared away. PEXPIRE does no more than that.
local K = KEYS[1]
local V, W = K .. ':v', K .. ':w'
local seen = call('HMGET', V, 'n', 'b', 'x')
local version, body, ends = tonumber(seen[1] or 0), seen[2], tonumber(seen[3] or 0)

-- Puts a body, or false for nothing, and tells the watchers.
local function put(new, until_)
  version, body, ends = math.max(version + 1, now), new, until_
  if new then
    call('HSET', V, 'n', ms(version), 'b', new, 'x', ms(ends))
  else
    call('HDEL', V, 'b')
    call('HSET', V, 'n', ms(version), 'x', 0)
  end
  if new and ends == 0 then
    call('PERSIST', V)
  else
    call('PEXPIRE', V, ms(math.max(version, ends) - now + KEEP))
  end
  for _, watcher in ipairs(call('ZRANGE', W, 0, 499)) do
    call('ZREM', W, watcher)
    local inbox = K .. ':o:' .. watcher
    call('RPUSH', inbox, '')
    call('PEXPIRE', inbox, ms(KEEP))
  end
end

local function expire()
  if body and ends > 0 and ends <= now then put(false, 0) end
end
