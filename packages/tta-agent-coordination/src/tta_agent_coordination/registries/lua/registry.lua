--! server/clock
-- What the scripts of the registry share. KEYS[1] is `{prefix:*registry}`.
--
-- Keys, R = KEYS[1]:
--   R:n      hash: agents: the nonce of the registration that holds now
--   R:i      hash: registrations: ms to live, incarnation, registered at, then what the agent can do
--   R:l      zset: registrations that are alive, by the time at which they fall silent
--   R:x      zset: registrations that have fallen silent, by that time
--   R:k:<c>  sets: registrations that can do <c>
--   R:r      zset: nonces that are over (replaced, deregistered), by time: what comes late is refused
--   R:c      list: the last changes: version, kind, agent, incarnation, time, info
--   R:w      zset: parked watchers, by the time until which they wait
--   R:o:<w>  inbox of a parked watcher: a note to look again
--   R:s      hash: e epoch, v version of the last change, n last incarnation, t last run, a b the last
--            stall, m ms to live, f ms until a silent agent is forgotten
-- A registration is written `agent nonce`: so one command renews a hundred, and none that is over.
-- PEXPIRE only clears away what nobody will read again.
--
-- While agents live, something runs here all the time. If nothing has for half a time to live, it is not
-- the agents that were silent, but the server or the net: whoever was alive when it began then has a
-- whole time to live to say so.
local R = KEYS[1]
local OVER = 3600000 -- so long a nonce that is over is known
local UNUSED = 30 * 86400000
local HISTORY = 1000
local MANY = 500

local N, I, L, X = R .. ':n', R .. ':i', R .. ':l', R .. ':x'
local S, C, W, O = R .. ':s', R .. ':c', R .. ':w', R .. ':r'
local seen = call('HMGET', S, 'e', 'v', 't', 'a', 'b', 'm', 'f')
local epoch, version = seen[1] or '', tonumber(seen[2] or 0)
local last, before, after = tonumber(seen[3] or 0), tonumber(seen[4] or 0), tonumber(seen[5] or 0)
local life, forget = tonumber(seen[6] or 0), tonumber(seen[7] or 0)
local changed = false

-- Takes note of what has happened to a registration; with `full`, also of what the agent can do.
local function change(kind, registration, info, full)
  version = version + 1
  changed = true
  local name, incarnation = string.match(registration, '^%S+'), string.match(info, '^%S+ (%S+)')
  local text = table.concat({ ms(version), kind, name, incarnation, ms(now) }, ' ')
  call('RPUSH', C, full and text .. ' ' .. info or text)
end

local function capabilities(info) -- what an agent can do, as a list
  local words, n = {}, 0
  for word in string.gmatch(info, '%S+') do
    n = n + 1
    if n > 3 then words[#words + 1] = word end
  end
  return words
end

local function drop(registration, info)
  for _, word in ipairs(capabilities(info)) do call('SREM', R .. ':k:' .. word, registration) end
  call('HDEL', N, string.match(registration, '^%S+'))
  call('HDEL', I, registration)
  call('ZREM', L, registration)
  call('ZREM', X, registration)
end

-- Up to this time, whoever was to fall silent has done so; with a time, whoever was to be forgotten so
-- long after that.
local function limit(later)
  later = later or 0
  if now < after + life + later then return math.min(now, before) - later end
  return now - later
end

-- To be called first. Sees whether time stood still, and who has fallen silent.
local function begin(full)
  if full then call('ZREM', L, '') end -- allocates nothing; a full server then takes what follows
  if life > 0 and now - last > life / 2 then
    before, after = last, now
    call('HSET', S, 'a', ms(before), 'b', ms(after))
  end
  if life == 0 then return end -- nobody has ever been here
  last = math.max(last, now)
  call('HSET', S, 't', ms(last))
  call('PEXPIRE', S, ms(UNUSED))
  local silent = call('ZRANGEBYSCORE', L, '-inf', ms(limit()), 'WITHSCORES', 'LIMIT', 0, MANY)
  for i = 1, #silent, 2 do
    local info = call('HGET', I, silent[i])
    call('ZREM', L, silent[i])
    if info then
      call('ZADD', X, silent[i + 1], silent[i])
      change('lost', silent[i], info)
    end
  end
  for _, one in ipairs(call('ZRANGEBYSCORE', X, '-inf', ms(limit(forget)), 'LIMIT', 0, MANY)) do
    drop(one, call('HGET', I, one) or '')
  end
end

-- To be called last. Tells the watchers.
local function done()
  if not changed then return end
  call('HSET', S, 'v', ms(version))
  call('LTRIM', C, -HISTORY, -1)
  call('PEXPIRE', C, ms(UNUSED))
  for _, watcher in ipairs(call('ZRANGE', W, 0, MANY - 1)) do
    call('ZREM', W, watcher)
    local inbox = R .. ':o:' .. watcher
    call('RPUSH', inbox, '')
    call('PEXPIRE', inbox, ms(KEEP))
  end
end

local function retire(nonce)
  call('ZADD', O, ms(now), nonce)
  call('ZREMRANGEBYSCORE', O, '-inf', ms(now - OVER))
  call('PEXPIRE', O, ms(OVER))
end
