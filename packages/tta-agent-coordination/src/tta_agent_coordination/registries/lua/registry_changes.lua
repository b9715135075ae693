--! registry
-- What has changed. ARGV: now, epoch, version that the watcher knows, watcher, ms to wait (0: not at
-- all; -1: it waits no more). Returns ms to wait for a note (0: look at the changes), epoch, version,
-- whether changes are missing, and the changes.
if ARGV[5] == '-1' then
  call('ZREM', W, ARGV[4])
  call('DEL', R .. ':o:' .. ARGV[4])
  return { 0, epoch, ms(version), 0 }
end
begin(true)
done()
local known, park = tonumber(ARGV[3]), tonumber(ARGV[5])
if ARGV[2] ~= epoch or known > version or version - known > call('LLEN', C) then
  return { 0, epoch, ms(version), 1 }
end
if known < version or park == 0 then
  local reply = { 0, epoch, ms(version), 0 }
  if known < version then
    for i, text in ipairs(call('LRANGE', C, known - version, -1)) do reply[4 + i] = text end
  end
  return reply
end
-- A watcher looks thrice in a time to live, so that silence of the agents is known from a stall.
local wake = now + park
if life > 0 then wake = math.min(wake, now + math.max(1, math.floor(life / 3))) end
local cut = limit()
local next = call('ZRANGEBYSCORE', L, '(' .. ms(cut), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if next[2] then
  local at = tonumber(next[2])
  if cut < now then at = math.max(at, after + life) end
  wake = math.min(wake, at)
end
call('ZREMRANGEBYSCORE', W, '-inf', ms(now))
call('ZADD', W, ms(now + park), ARGV[4])
call('PEXPIRE', W, ms(park + KEEP))
return { math.max(1, wake - now), epoch, ms(version), 0 }
