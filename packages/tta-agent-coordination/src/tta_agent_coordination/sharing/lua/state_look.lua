--! state
-- Tells what is there. ARGV: now, version that is known, watcher, ms to wait for another (0: not at all;
-- -1: it waits no more). Returns ms to wait for a note (0: this is it), the version, when the value ends,
-- and the value, if there is one.
if ARGV[4] == '-1' then
  call('ZREM', W, ARGV[3])
  call('DEL', K .. ':o:' .. ARGV[3])
  return { 0, '0', '0' }
end
if body and ends > 0 and ends <= now then
  call('HDEL', V, '') -- a full server then takes what follows
  expire()
end
local reply, park = { 0, ms(version), ms(ends) }, tonumber(ARGV[4])
if body then reply[4] = body end
if park == 0 or ms(version) ~= ARGV[2] then return reply end
local wake = now + park
if body and ends > 0 then wake = math.min(wake, ends) end
call('ZREMRANGEBYSCORE', W, '-inf', ms(now))
call('ZADD', W, ms(now + park), ARGV[3])
call('PEXPIRE', W, ms(park + KEEP))
reply[1] = math.max(1, wake - now)
return reply
