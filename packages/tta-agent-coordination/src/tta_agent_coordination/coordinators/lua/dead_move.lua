--! mailbox
-- Redrives or deletes dead letters. ARGV: now, mailbox, request, `redrive` or `purge`, ids.
-- A redriven message is as new: no attempts, no time to live. Returns how many there were.
local box, request, redrive = open(ARGV[2]), ARGV[3], ARGV[4] == 'redrive'
local before = answered(request)
if before then return tonumber(before) end
local moved, e, entries = 0, box.M .. ':e', {}
for i = 5, #ARGV do
  entries[i] = call('HGET', e, ARGV[i])
  sound(box, redrive and entries[i] and read(entries[i]).key)
end
for i = 5, #ARGV do
  if entries[i] and call('HDEL', e, ARGV[i]) == 1 then
    call('ZREM', box.M .. ':d', ARGV[i])
    if redrive then
      local head = read(entries[i])
      head.attempts, head.expires, head.failure, head.error = 0, '0', '-', '-'
      head.more = string.gsub(head.more, ' x%S+', '')
      local entry = write(head, entries[i])
      if admit(box, head, entry) then push(box, head.level, entry, 'RPUSH') end
    end
    moved = moved + 1
  end
end
if redrive and moved > 0 and not box.paused then notify(box, math.min(16, moved)) end
return tonumber(answer(request, moved))
