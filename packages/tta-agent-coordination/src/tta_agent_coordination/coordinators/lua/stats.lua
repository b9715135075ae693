--! mailbox
-- Counts what a mailbox holds. ARGV: now, mailbox.
-- Returns { ready 9, 5, 1, scheduled, leased, dead, expired, receivers, paused, age in ms (-1: none),
-- held back }.
local box = open(ARGV[2])
local age = -1
local counts = {}
for i, level in ipairs(LEVELS) do
  local key = box.M .. ':r' .. level
  counts[i] = call('LLEN', key)
  if counts[i] > 0 then
    local head = read(call('LINDEX', key, 0))
    if head then age = math.max(age, now - tonumber(head.enqueued)) end
  end
end
return {
  counts[1], counts[2], counts[3], call('HLEN', box.M .. ':y'), call('HLEN', box.h),
  call('ZCARD', box.M .. ':d'), tonumber(call('HGET', box.s, 'e') or 0),
  call('ZCOUNT', box.M .. ':w', '(' .. ms(now), '+inf'), box.paused and 1 or 0, age,
  tonumber(call('HGET', box.s, 'b') or 0),
}
