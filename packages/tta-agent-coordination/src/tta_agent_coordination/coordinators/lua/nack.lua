--! mailbox
-- Marks a delivery as failed. ARGV: now, mailbox, token, failure, error, deliveries before a message is
-- given up, back-off: first ms, factor, longest ms, and the fraction of it to wait.
-- Returns 0 stale, 1 it comes again, 2 it is a dead letter.
local box, token = open(ARGV[2]), ARGV[3]
local failure, error, most = ARGV[4], ARGV[5], tonumber(ARGV[6])
local entry = call('HGET', box.h, token)
if not entry then
  return was_settled(box, 'N' .. token) and 1 or 0
end
local head = read(entry)
sound(box, head.key)
call('HDEL', box.h, token)
call('ZREM', box.t, 'L' .. token)
settled(box, 'N', { token })
if head.attempts >= most then entry = uncount(box, head, entry) end
if failure == 'permanent' or head.attempts >= most then
  bury(box, entry, failure, error)
  release(box, head.key)
  return 2
end
head.failure = failure
if error ~= '-' then head.error = error end
local delay = tonumber(ARGV[7]) * tonumber(ARGV[8]) ^ math.min(head.attempts - 1, 1000)
delay = math.floor(math.min(delay, tonumber(ARGV[9])) * tonumber(ARGV[10]))
entry = write(head, entry)
if delay > 0 then
  wait_until(box, now + delay, head.id, entry)
else
  push(box, head.level, entry, 'LPUSH')
  if not box.paused then notify(box, 1) end
end
return 1
