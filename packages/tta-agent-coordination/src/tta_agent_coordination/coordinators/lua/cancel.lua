--! mailbox
-- Takes a message out of a mailbox, or gives a scheduled one another time.
-- ARGV: now, mailbox, request, id, mode: `cancel`, `at`, or a level to search, then the time in ms
-- (`at`), or how many entries from the tail were searched before (a level).
-- Returns 1 done, 0 not found, or -n: n entries searched, go on from there.
local box, request, id, mode = open(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local before = answered(request)
if before then return tonumber(before) end
local y = box.M .. ':y'
if mode == 'at' then
  if call('HEXISTS', y, id) == 0 then return 0 end
  call('ZADD', box.t, ARGV[6], 'D' .. id)
  timer_set(box, tonumber(ARGV[6]))
  return tonumber(answer(request, 1))
end
if mode == 'cancel' then
  if call('HDEL', y, id) == 0 then return 0 end
  call('ZREM', box.t, 'D' .. id)
  return tonumber(answer(request, 1))
end
-- From the tail: what comes and goes meanwhile can then make us see an entry twice, but miss none.
local key, seen = box.M .. ':r' .. mode, tonumber(ARGV[6])
local entries = call('LRANGE', key, -(seen + 500), -(seen + 1))
for i = #entries, 1, -1 do
  local head = read(entries[i])
  if head and head.id == id then
    call('LREM', key, -1, entries[i])
    return tonumber(answer(request, 1))
  end
end
if #entries < 500 then return 0 end
return -(seen + 500)
